"""Downloads: checked before they are unpacked, unpacked inside their folder alone, and whole or not there.

apt-get and dpkg-deb are programs on a PATH of the test; the official addresses are files of this machine.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.gafi.config import GafiConfig
from experiments.gafi.data import fetch as module
from experiments.gafi.data.catalogue import SOURCES, Download
from experiments.gafi.data.load import load_raw
from experiments.gafi.stages import STAGES
from suite.config import load_config
from suite.errors import BadInput, Missing, guard
from suite.manifest import file_digest, read_json
from suite.stage import Job
from tests.gafi.data.lookalikes import write_cifar10, write_cinic, write_dermamnist, write_fashion

GOOD_APT = """
echo "$@" >> {notes}
case "$*" in *download*) cp {package} . ;; esac
"""
NEEDS_LISTS_APT = """
echo "$@" >> {notes}
case "$*" in
    *Dir::State=*update*) touch {notes}.lists ;;
    *download*)
        if [ ! -e {notes}.lists ]; then echo "E: Unable to locate package" >&2; exit 100; fi
        cp {package} . ;;
esac
"""
NO_NETWORK_APT = """
echo "$@" >> {notes}
echo "W: a warning" >&2
echo "E: Failed to fetch: no route" >&2
exit 100
"""


@pytest.fixture(autouse=True)
def data_dir(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr("experiments.gafi.data.locate.FASHION_SYSTEM_FOLDER", str(tmp_path / "usr"))
    return tmp_path / "data"


@pytest.fixture
def package(tmp_path, monkeypatch) -> Path:
    """A stand-in for the package, whose four files have the digests that are asked for."""
    content = tmp_path / "package"
    folder = write_fashion(content / "usr/share/datasets/fashion-mnist", num_train=400, num_test=100)
    known = {path.stem: (file_digest(path), "-") for path in folder.iterdir()}
    for place in ("experiments.gafi.data.fetch", "experiments.gafi.data.locate"):
        monkeypatch.setattr(f"{place}.FASHION_FILES", known)
    with tarfile.open(tmp_path / "known.deb", "w") as archive:
        archive.add(content, ".")
    return tmp_path / "known.deb"


@pytest.fixture
def apt(tmp_path, package, monkeypatch):
    """`apt(script)` puts that apt-get and a dpkg-deb first on the PATH; returns where its arguments go."""
    bin_dir, notes = tmp_path / "bin", tmp_path / "notes"
    bin_dir.mkdir()

    def put(name: str, script: str) -> None:
        (bin_dir / name).write_text("#!/bin/sh\n" + script)
        (bin_dir / name).chmod(0o755)

    def make(script: str) -> Path:
        put("apt-get", script.format(notes=notes, package=package))
        put("dpkg-deb", 'mkdir -p "$3" && tar -xf "$2" -C "$3"\n')
        monkeypatch.setenv("PATH", f"{bin_dir}{os.pathsep}{os.environ['PATH']}")
        return notes

    return make


def left(folder: Path) -> list[str]:
    """What lies in a folder, hidden files too."""
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def test_fashion_mnist_comes_out_of_the_package_and_nothing_else_stays(apt, data_dir):
    notes = apt(GOOD_APT)
    folder = module.fetch("FashionMNIST")
    assert folder == data_dir / "fashion-mnist" and left(data_dir) == ["fashion-mnist"]
    assert len(left(folder)) == 4 and load_raw("FashionMNIST").train.images.shape == (400, 28, 28, 1)
    assert notes.read_text() == "-qq download dataset-fashion-mnist\n"


def test_a_complete_folder_is_left_alone(apt):
    notes = apt(GOOD_APT)
    module.fetch("FashionMNIST")
    before = notes.read_text()
    module.fetch("FashionMNIST")
    assert notes.read_text() == before


def test_a_folder_that_lacks_a_file_or_has_a_damaged_one_is_completed(apt, data_dir):
    apt(GOOD_APT)
    folder = module.fetch("FashionMNIST")
    (folder / "train-images-idx3-ubyte.gz").unlink()
    (folder / "t10k-images-idx3-ubyte.gz").write_bytes(b"cut")
    module.fetch("FashionMNIST")
    assert load_raw("FashionMNIST").test.images.shape == (100, 28, 28, 1) and left(data_dir) == [folder.name]


def test_without_package_lists_apt_gets_lists_of_its_own_below_the_scratch_folder(apt, data_dir):
    notes = apt(NEEDS_LISTS_APT)
    module.fetch("FashionMNIST")
    calls = notes.read_text().splitlines()
    assert len(calls) == 3 and calls[1].endswith("update") and calls[2].endswith("dataset-fashion-mnist")
    assert f"Dir::State={data_dir}/.fashion-mnist." in calls[2]
    assert left(data_dir) == ["fashion-mnist"]


def test_without_network_the_remedy_names_the_files_and_the_folder(apt, data_dir):
    apt(NO_NETWORK_APT)
    with pytest.raises(Missing, match="E: Failed to fetch: no route") as error:
        module.fetch("FashionMNIST")
    text = str(error.value)
    assert "train-images-idx3-ubyte" in text and ".gz" in text and str(data_dir / "fashion-mnist") in text
    assert left(data_dir) == []


def test_without_apt_the_remedy_is_the_same(monkeypatch, tmp_path, data_dir):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Missing, match=r"no apt-get; put train-images-idx3-ubyte, .*github\.com/zalando"):
        module.fetch("FashionMNIST")
    assert left(data_dir) == []


def test_a_package_with_other_files_is_refused_and_leaves_nothing(apt, data_dir, monkeypatch):
    apt(GOOD_APT)
    monkeypatch.setattr(module, "FASHION_FILES", {"train-images-idx3-ubyte": ("0" * 64, "-")})
    with pytest.raises(BadInput, match=r"holds another train-images-idx3-ubyte\.gz"):
        module.fetch("FashionMNIST")
    assert left(data_dir) == []


def test_a_package_that_does_not_unpack_is_one_line(apt, package):
    apt(GOOD_APT)
    package.write_bytes(b"no archive")
    with pytest.raises(BadInput, match="does not unpack"):
        module.fetch("FashionMNIST")


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_data_folder_that_cannot_be_written_names_the_setting(apt, data_dir):
    apt(GOOD_APT)
    data_dir.mkdir()
    data_dir.chmod(0o500)
    with pytest.raises(Missing, match="set DATA_DIR"):
        module.fetch("FashionMNIST")


def test_the_stage_fetches_fashion_mnist_on_a_fresh_clone_and_its_key_stays(apt, data_dir, tmp_path):
    apt(GOOD_APT)
    config = load_config(GafiConfig, "experiments/gafi/configs/tiny.yaml")

    def job() -> Job:
        return Job(
            stage=STAGES["import"], config=config, seed=0, device="cpu", inputs={}, out=tmp_path / "import"
        )

    first = job()
    assert first.run() and left(data_dir) == ["fashion-mnist"]
    assert job().key == first.key and not job().run()


def test_the_stage_without_network_is_missing_and_leaves_no_result(apt, tmp_path):
    apt(NO_NETWORK_APT)
    config = load_config(GafiConfig, "experiments/gafi/configs/tiny.yaml")
    job = Job(stage=STAGES["import"], config=config, seed=0, device="cpu", inputs={}, out=tmp_path / "import")
    with pytest.raises(Missing, match="as they are, or with .gz"):
        job.run()
    assert not (tmp_path / "import").exists()


# --- the official addresses ---


@pytest.fixture
def served(tmp_path, monkeypatch):
    """`served(name, path)`: the data set's address is this file, with its size and digest."""

    def serve(name: str, path: Path, **changes: object) -> Download:
        official = SOURCES[name].download
        about = replace(
            official, url=path.as_uri(), num_bytes=path.stat().st_size,
            md5=hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest(), **changes,
        )  # fmt: skip
        monkeypatch.setitem(module.SOURCES, name, replace(SOURCES[name], download=about))
        return about

    return serve


def packed(folder: Path, path: Path) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for item in sorted(folder.iterdir()):
            archive.add(item, item.name)
    return path


def test_an_archive_is_unpacked_recorded_and_not_fetched_again(served, tmp_path, data_dir):
    content = write_cifar10(tmp_path / "content")
    (content / "surplus.txt").write_text("not of the data set")
    about = served("CIFAR10", packed(content, tmp_path / "a.tar.gz"))
    folder = module.fetch("CIFAR10")
    assert left(data_dir) == ["cifar10"] and left(folder) == ["cifar-10-batches-bin", "fetched.json"]
    assert load_raw("CIFAR10").train.images.shape == (60, 32, 32, 3)
    record = read_json(folder / "fetched.json")
    assert record["sha256"] == file_digest(tmp_path / "a.tar.gz") and record["md5_published"] == about.md5
    (tmp_path / "a.tar.gz").unlink()
    assert module.fetch("CIFAR10") == folder


def test_the_tree_of_cinic_and_the_single_file_of_dermamnist_arrive_where_they_are_read(served, tmp_path):
    served("CINIC10", packed(write_cinic(tmp_path / "content"), tmp_path / "a.tar.gz"))
    module.fetch("CINIC10")
    assert load_raw("CINIC10").test.images.shape == (40, 32, 32, 3)
    served("DermaMNIST", write_dermamnist(tmp_path / "derma") / "dermamnist.npz")
    module.fetch("DermaMNIST")
    assert load_raw("DermaMNIST").train.images.shape == (42, 28, 28, 3)


@pytest.mark.parametrize(("change", "message"), [("size", "bytes arrived, published are"), ("md5", "MD5 is")])
def test_another_size_or_digest_is_refused_before_unpacking(served, tmp_path, data_dir, change, message):
    path = packed(write_cifar10(tmp_path / "content"), tmp_path / "a.tar.gz")
    served("CIFAR10", path)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data + b"x" if change == "size" else data)
    with pytest.raises(BadInput, match=message):
        module.fetch("CIFAR10")
    assert left(data_dir) == []


def hostile(path: Path, name: str, kind: bytes = tarfile.REGTYPE) -> Path:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, "/etc/passwd"
    member.size = 4 if kind == tarfile.REGTYPE else 0
    with tarfile.open(path, "w:gz") as archive:
        archive.addfile(member, io.BytesIO(b"evil"))
    return path


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("cifar-10-batches-bin/../../evil", tarfile.REGTYPE, "unsafe path"),
        ("/cifar-10-batches-bin/evil", tarfile.REGTYPE, "unsafe path"),
        ("cifar-10-batches-bin/data_batch_1.bin", tarfile.SYMTYPE, "no plain file"),
        ("cifar-10-batches-bin/data_batch_1.bin", tarfile.LNKTYPE, "no plain file"),
        ("cifar-10-batches-bin/data_batch_1.bin", tarfile.CHRTYPE, "no plain file"),
        ("elsewhere/data_batch_1.bin", tarfile.REGTYPE, "holds nothing below"),
    ],
)
def test_a_hostile_archive_writes_nothing(served, tmp_path, data_dir, name, kind, message):
    served("CIFAR10", hostile(tmp_path / "a.tar.gz", name, kind))
    with pytest.raises(BadInput, match=message):
        module.fetch("CIFAR10")
    assert left(data_dir) == [] and not (tmp_path / "evil").exists()


def test_an_archive_that_unpacks_to_too_much_is_refused(served, tmp_path, monkeypatch):
    served("CIFAR10", packed(write_cifar10(tmp_path / "content"), tmp_path / "a.tar.gz"))
    monkeypatch.setattr(module, "MAX_UNPACKED", 1000)
    with pytest.raises(BadInput, match="no plain file of the data set"):
        module.fetch("CIFAR10")


def test_an_archive_cut_short_with_a_digest_of_its_own_is_one_line(served, tmp_path):
    path = packed(write_cifar10(tmp_path / "content"), tmp_path / "a.tar.gz")
    path.write_bytes(path.read_bytes()[:-200])
    served("CIFAR10", path)
    with pytest.raises(BadInput, match="does not unpack"):
        module.fetch("CIFAR10")


def test_without_network_the_remedy_is_the_page_and_the_folder(served, tmp_path, data_dir):
    path = packed(write_cifar10(tmp_path / "content"), tmp_path / "a.tar.gz")
    served("CIFAR10", path)
    path.unlink()
    with pytest.raises(
        Missing, match=r"did not download .* by hand from https://www\.cs\.toronto\.edu"
    ) as error:
        module.fetch("CIFAR10")
    assert str(data_dir / "cifar10") in str(error.value) and left(data_dir) == []


def test_the_licence_is_said_before_anything_is_downloaded(monkeypatch, capsys, tmp_path):
    said = []
    monkeypatch.setattr(
        module, "fetch", lambda name, folder: said.append(capsys.readouterr().out) or tmp_path
    )
    for name, source in SOURCES.items():
        monkeypatch.setattr("sys.argv", ["fetch", source.folder])
        assert guard(module.main) == 0
        assert said[-1].splitlines()[-1].startswith(f"{name}: licence {source.licence}")


def test_every_address_has_a_digest_and_none_is_that_of_a_pickled_version():
    downloads = [source.download for source in SOURCES.values() if source.download]
    assert len(downloads) == 4 and all(len(download.md5) == 32 for download in downloads)
    assert not any("python" in download.file for download in downloads)
