"""Downloading the pinned wheels, with a stand-in for pip on PATH."""

from __future__ import annotations

import os
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from experiments.solid.meshes import packages
from experiments.solid.meshes.packages import Pin, download, load_pins
from suite.errors import BadInput, Missing

CONTENT = b"a wheel"


@pytest.fixture
def fake_pip(tmp_path, monkeypatch):
    """A pip3 that records its arguments and puts a file where it is told to."""
    log = tmp_path / "calls"
    script = tmp_path / "bin" / "pip3"
    script.parent.mkdir()
    script.write_text(
        f"#!{sys.executable}\nimport sys\nfrom pathlib import Path\n"
        f"words = sys.argv[1:]\nPath({str(log)!r}).write_text('\\n'.join(words))\n"
        "scratch = Path(words[words.index('--dest') + 1])\n"
        "if 'bad==1.0' in Path(words[words.index('-r') + 1]).read_text():\n"
        "    sys.exit('ERROR: no matching distribution')\n"
        "(scratch / 'toy-1.0-py3-none-any.whl').write_bytes(b'a wheel')\n"
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}{os.pathsep}/usr/bin:/bin")
    monkeypatch.setattr(packages, "HAS_PIP_MODULE", ("-c", "raise SystemExit(1)"))
    return log


def pin(name: str = "toy", content: bytes = CONTENT) -> dict[str, Pin]:
    return {name: Pin(name, "1.0", f"{name}-1.0-py3-none-any.whl", sha256(content).hexdigest())}


def test_a_wheel_is_downloaded_by_digest_and_without_dependencies(fake_pip, tmp_path):
    (path,) = download(tmp_path / "wheels", pin())
    assert path.read_bytes() == CONTENT
    words = fake_pip.read_text().splitlines()
    assert {"download", "--no-deps", "--require-hashes", ":all:"} <= set(words)
    assert not any(word.startswith(("--index", "-i", "--extra")) for word in words)  # the host's own index
    assert sorted(p.name for p in (tmp_path / "wheels").iterdir()) == [path.name]


def test_what_is_there_is_not_downloaded_again(fake_pip, tmp_path):
    download(tmp_path / "wheels", pin())
    fake_pip.unlink()
    download(tmp_path / "wheels", pin())
    assert not fake_pip.exists()


def test_another_digest_is_one_clear_line(fake_pip, tmp_path):
    with pytest.raises(BadInput, match="SHA-256 is .* delete it"):
        download(tmp_path / "wheels", pin(content=b"other"))


def test_a_failed_download_is_exit_3_with_pips_last_line(fake_pip, tmp_path):
    with pytest.raises(Missing, match=r"bad 1.0 did not download .ERROR: no matching distribution"):
        download(tmp_path / "wheels", pin("bad"))


def test_without_any_pip_the_remedy_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(packages, "HAS_PIP_MODULE", ("-c", "raise SystemExit(1)"))
    with pytest.raises(Missing, match="install python3-pip"):
        download(tmp_path / "wheels", pin())


def test_every_pin_names_the_wheel_of_its_version():
    for name, wheel in load_pins().items():
        assert Path(wheel.file).name.startswith(f"{name}-{wheel.version}-")
        assert len(wheel.sha256) == 64
