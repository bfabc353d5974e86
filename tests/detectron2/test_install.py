"""docker/detectron2/install_detectron2.py: what it refuses, unpacks and asks. No network."""

from __future__ import annotations

import importlib.util
import io
import json
import subprocess
import tarfile
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "docker/detectron2/install_detectron2.py"
spec = importlib.util.spec_from_file_location("install_detectron2", SCRIPT)
installer = importlib.util.module_from_spec(spec)
spec.loader.exec_module(installer)


def archive(*names: str, kind: bytes = tarfile.REGTYPE) -> bytes:
    """A tar.gz whose members all have the text `x`."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name in names:
            info = tarfile.TarInfo(name)
            info.type, info.size = kind, 1 if kind == tarfile.REGTYPE else 0
            info.linkname = "/etc/passwd" if kind == tarfile.SYMTYPE else ""
            tar.addfile(info, io.BytesIO(b"x"))
    return buffer.getvalue()


def test_only_the_package_is_unpacked(tmp_path):
    data = archive("d-0.6/setup.py", "d-0.6/detectron2/__init__.py", "d-0.6/detectron2/a/b.yaml",
                   "d-0.6/tools/x.py")
    assert installer.unpack_package(data, tmp_path) == 2
    files = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert files == ["detectron2/__init__.py", "detectron2/a/b.yaml"]


@pytest.mark.parametrize("data", [
    archive("d-0.6/detectron2/../../evil.py"),                     # climbs out
    archive("d-0.6/detectron2/link", kind=tarfile.SYMTYPE),        # a link to anywhere
    archive("d-0.6/detectron2/device", kind=tarfile.CHRTYPE),      # a device
    archive("d-0.6/other/__init__.py"),                            # no such package
])
def test_an_archive_with_anything_but_plain_files_inside_is_refused(tmp_path, data):
    with pytest.raises(installer.InstallError) as caught:
        installer.unpack_package(data, tmp_path / "in")
    assert caught.value.exit_code == 2
    assert not (tmp_path / "evil.py").exists()


def test_a_changed_archive_is_refused_by_its_digest():
    with pytest.raises(installer.InstallError, match="sha256"):
        installer.check_digest(b"not the sdist")


def test_the_configured_index_is_asked(monkeypatch, tmp_path):
    for name in (*installer.INDEX_VARIABLES, "PIP_CONFIG_FILE"):
        monkeypatch.delenv(name, raising=False)
    config = tmp_path / "pip.conf"
    config.write_text("[global]\nindex-url = https://mirror.invalid/simple/\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    assert installer.configured_index() == "https://mirror.invalid/simple/"
    monkeypatch.setenv("PIP_INDEX_URL", "https://other.invalid/simple/")
    assert installer.configured_index() == "https://other.invalid/simple/"


def test_the_official_way_takes_package_and_configs_of_the_commit(tmp_path):
    repository, target = tmp_path / "official", tmp_path / "target"
    (repository / "detectron2/model_zoo").mkdir(parents=True)
    (repository / "configs/common").mkdir(parents=True)
    target.mkdir()
    (repository / "detectron2/__init__.py").write_text("__version__ = '0.6'\n")
    (repository / "detectron2/model_zoo/__init__.py").write_text("\n")
    (repository / "configs/common/train.py").write_text("\n")

    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
        return subprocess.run(["git", "-C", str(repository), *identity, *arguments], check=True,
                              capture_output=True, text=True).stdout.strip()

    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "a commit")
    commit = git("rev-parse", "HEAD")
    record = installer.fetch_official(target, repository=repository.as_uri(), commit=commit)
    assert record["vcs_info"]["commit_id"] == commit
    assert (target / "detectron2/model_zoo/configs/common/train.py").is_file()


def test_an_installed_source_is_left_alone(tmp_path):
    info = tmp_path / "detectron2-0.6.dist-info"
    info.mkdir()
    record = {"archive_info": {"hashes": {"sha256": installer.SDIST_SHA256}}}
    (info / "direct_url.json").write_text(json.dumps(record))
    assert "already" in installer.install(tmp_path, "sdist")


def test_an_unreachable_index_is_one_line_with_a_remedy_and_exit_3(tmp_path, monkeypatch):
    pytest.importorskip("pypi_simple")
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple/")
    with pytest.raises(installer.InstallError, match="check the network") as caught:
        installer.install(tmp_path, "sdist")
    assert caught.value.exit_code == 3
    assert list(tmp_path.iterdir()) == []
