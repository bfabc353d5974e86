"""Each reader gives the bytes and the classes that were written, and one line for anything damaged."""

from __future__ import annotations

import gzip
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from experiments.gafi.data.catalogue import FASHION_SYSTEM_FOLDER, SOURCES
from experiments.gafi.data.idx import read_idx
from experiments.gafi.data.load import load_raw
from experiments.gafi.data.locate import OFFICIAL, candidates, data_state, find, has_official_files
from suite.errors import BadInput, Missing
from suite.paths import data_path
from tests.gafi.data.lookalikes import (
    WRITERS,
    classes,
    npz_arrays,
    pictures,
    write_cifar10,
    write_cinic,
    write_fashion,
    write_idx,
)  # fmt: skip

OFFICIAL_FOLDERS = (data_path("data/fashion-mnist"), Path(FASHION_SYSTEM_FOLDER))


@pytest.fixture(autouse=True)
def data_dir(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr("experiments.gafi.data.locate.FASHION_SYSTEM_FOLDER", str(tmp_path / "usr"))
    return tmp_path / "data"


@pytest.mark.parametrize("name", SOURCES)
def test_a_data_set_is_found_in_its_folder_and_read_with_its_shape(data_dir, name):
    WRITERS[name](data_dir / SOURCES[name].folder)
    raw = load_raw(name)
    assert raw.num_classes == SOURCES[name].num_classes
    for part in raw.parts.values():
        assert part.images.dtype == np.uint8 and part.labels.dtype == np.int64
        assert part.images.shape[1:] == (
            (28, 28, 1) if name == "FashionMNIST" else raw.train.images.shape[1:]
        )
        assert set(part.labels) == set(range(raw.num_classes))
    assert (raw.val is None) == (name in ("FashionMNIST", "CIFAR10", "CIFAR100"))


@pytest.mark.parametrize("suffix", [".gz", ""])
def test_fashion_mnist_is_read_packed_or_plain(tmp_path, suffix):
    raw = load_raw("FashionMNIST", write_fashion(tmp_path / "f", suffix=suffix))
    assert np.array_equal(raw.train.images, pictures(60, 28, 1))
    assert np.array_equal(raw.test.labels, classes(20, 10))


def test_cifar_planes_become_channels_and_files_follow_each_other(tmp_path):
    folder = write_cifar10(tmp_path / "c")
    raw = load_raw("CIFAR10", folder)
    expected = np.concatenate([pictures(12, 32, 3, shift=number) for number in range(1, 6)])
    assert np.array_equal(raw.train.images, expected)
    assert np.array_equal(raw.train.labels, np.tile(classes(12, 10), 5))
    assert np.array_equal(load_raw("CIFAR10", folder / "cifar-10-batches-bin").test.images, raw.test.images)


def test_cifar100_has_the_fine_classes(tmp_path):
    raw = load_raw("CIFAR100", WRITERS["CIFAR100"](tmp_path / "c"))
    assert np.array_equal(raw.train.labels, classes(400, 100)) and raw.class_names[7] == "class07"
    assert np.array_equal(raw.train.images, pictures(400, 32, 3))


def test_cinic_pictures_come_by_class_and_name_and_grey_ones_get_three_equal_channels(tmp_path):
    raw = load_raw("CINIC10", write_cinic(tmp_path / "c"))
    assert np.array_equal(raw.train.labels, np.repeat(np.arange(10), 4))
    image = raw.val.images[4 * 3]  # the first picture of class 3, written in grey
    assert np.array_equal(image, np.repeat(pictures(1, 32, 3, shift=3)[0, :, :, :1], 3, axis=-1))
    assert np.array_equal(raw.val.images[4 * 3 + 2], pictures(4, 32, 3, shift=3)[2])


@pytest.mark.parametrize("name", SOURCES)
def test_the_users_own_npz_stands_for_any_of_the_five(data_dir, name):
    WRITERS[name](data_dir / SOURCES[name].folder)
    before = data_state(name)
    arrays = npz_arrays(side=20, channels=1, num_classes=SOURCES[name].num_classes)
    arrays |= {f"{split}_labels": arrays[f"{split}_labels"] % 7 for split in ("train", "val", "test")}
    np.savez(data_dir / f"{name}.npz", **arrays)
    raw = load_raw(name)
    assert raw.rule == "given" and raw.train.images.shape == (42, 20, 20, 1)
    assert np.array_equal(raw.val.labels, arrays["val_labels"][:, 0])
    assert data_state(name) != before


def test_an_unknown_data_set_is_named_with_its_neighbours():
    with pytest.raises(BadInput, match="no data set 'CIFAR-10'; did you mean CIFAR10"):
        load_raw("CIFAR-10")


@pytest.mark.parametrize("name", SOURCES)
def test_an_absent_data_set_says_where_it_was_looked_for_and_how_to_get_it(data_dir, name):
    assert find(name) is None
    with pytest.raises(Missing) as error:
        load_raw(name)
    assert str(data_dir) in str(error.value) and f"make fetch-{SOURCES[name].folder}" in str(error.value)


def test_the_folder_of_the_system_comes_last_and_a_named_folder_is_the_only_one(tmp_path, data_dir):
    source = SOURCES["FashionMNIST"]
    usual = [data_dir / "FashionMNIST.npz", data_dir / "fashion-mnist", tmp_path / "usr"]
    assert candidates(source) == usual
    assert candidates(source, tmp_path / "mine") == [tmp_path / "mine"]
    write_fashion(tmp_path / "usr")
    assert find("FashionMNIST") == tmp_path / "usr"
    write_fashion(data_dir / "fashion-mnist")
    assert find("FashionMNIST") == data_dir / "fashion-mnist"


def test_an_empty_folder_counts_as_absent(data_dir):
    (data_dir / "cifar10").mkdir(parents=True)
    assert find("CIFAR10") is None


# --- what decides the key of the import ---


def test_the_state_of_absent_fashion_mnist_is_that_of_the_official_files_and_another_copy_has_its_own(
    data_dir,
):
    assert data_state("FashionMNIST") == OFFICIAL
    write_fashion(data_dir / "fashion-mnist")
    assert not has_official_files(data_dir / "fashion-mnist")
    assert data_state("FashionMNIST") not in (OFFICIAL, None)


@pytest.mark.parametrize("name", ["CIFAR10", "DermaMNIST"])
def test_the_state_of_another_data_set_follows_its_files(data_dir, name):
    assert data_state(name) is None
    folder = WRITERS[name](data_dir / SOURCES[name].folder)
    first = data_state(name)
    assert first is not None and data_state(name) == first
    next(path for path in sorted(folder.rglob("*")) if path.is_file()).unlink()
    assert data_state(name) != first


def test_the_official_files_are_recognised_packed_and_plain(tmp_path):
    official = next((folder for folder in OFFICIAL_FOLDERS if has_official_files(folder)), None)
    if official is None:
        pytest.skip("Fashion-MNIST is not on this machine (make fetch-fashion-mnist)")
    for path in official.iterdir():
        shutil.copy(path, tmp_path)
    assert has_official_files(tmp_path)
    packed = tmp_path / "t10k-labels-idx1-ubyte.gz"
    if not packed.exists():
        pytest.skip("the copy on this machine is unpacked already")
    (tmp_path / packed.stem).write_bytes(gzip.decompress(packed.read_bytes()))
    packed.unlink()
    assert has_official_files(tmp_path)
    (tmp_path / packed.stem).write_bytes(b"")
    assert not has_official_files(tmp_path)


# --- damaged files ---


@given(keep=st.integers(0, 59))
def test_an_idx_file_cut_short_anywhere_is_one_line(tmp_path_factory, keep):
    path = tmp_path_factory.getbasetemp() / "cut-idx3-ubyte"
    write_idx(path, pictures(2, 5, 1)[..., 0])  # 16 bytes of header, 50 of pixels
    path.write_bytes(path.read_bytes()[: keep + 6])
    with pytest.raises(BadInput, match="make fetch-fashion-mnist"):
        read_idx(path, 3)


def test_an_idx_file_that_is_longer_than_it_says_or_of_other_kind_is_refused(tmp_path):
    path = tmp_path / "a"
    write_idx(path, pictures(2, 5, 1)[..., 0])
    assert read_idx(path, 3).shape == (2, 5, 5)
    with pytest.raises(BadInput, match="no IDX file of bytes with 1 dimensions"):
        read_idx(path, 1)
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(BadInput, match="promises 50 bytes, there are more"):
        read_idx(path, 3)
    path.write_bytes(bytes([0, 0, 8, 3]) + b"\xff" * 12 + b"x")
    with pytest.raises(BadInput, match="the header promises"):
        read_idx(path, 3)


@pytest.mark.parametrize("keep", [0, 5, 30, -9])
def test_a_packed_file_cut_short_is_one_line(tmp_path, keep):
    path = tmp_path / "a.gz"
    write_idx(path, pictures(9, 9, 1)[..., 0])
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(BadInput, match=re.escape(str(path))):
        read_idx(path, 3)


def test_labels_of_a_class_that_does_not_exist_are_refused(tmp_path):
    folder = write_fashion(tmp_path / "f")
    write_idx(folder / "train-labels-idx1-ubyte.gz", np.full(60, 10, np.uint8))
    with pytest.raises(BadInput, match=r"train: labels go from 10 to 10; class numbers are 0\.\.9"):
        load_raw("FashionMNIST", folder)


def test_a_missing_file_of_four_is_missing_and_names_both_forms(tmp_path):
    folder = write_fashion(tmp_path / "f")
    (folder / "t10k-images-idx3-ubyte.gz").unlink()
    with pytest.raises(Missing, match=r"no t10k-images-idx3-ubyte\.gz and no t10k-images-idx3-ubyte"):
        load_raw("FashionMNIST", folder)


def test_a_cifar_file_cut_short_is_one_line(tmp_path):
    folder = write_cifar10(tmp_path / "c")
    path = folder / "cifar-10-batches-bin/data_batch_3.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BadInput, match=r"data_batch_3\.bin: 36875 bytes are no whole number of records"):
        load_raw("CIFAR10", folder)
    path.unlink()
    with pytest.raises(Missing, match="make fetch-cifar10"):
        load_raw("CIFAR10", folder)


def test_cinic_pictures_of_another_size_or_damaged_are_named(tmp_path):
    folder = write_cinic(tmp_path / "c")
    path = folder / "valid/frog/img1.png"
    Image.new("RGB", (33, 32)).save(path)
    with pytest.raises(BadInput, match=r"img1\.png: is 33x32, not 32x32"):
        load_raw("CINIC10", folder)
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(BadInput, match=r"img1\.png: does not decode"):
        load_raw("CINIC10", folder)
    shutil.rmtree(folder / "test/truck")
    path.unlink()
    with pytest.raises(Missing, match="no pictures"):
        load_raw("CINIC10", folder)


FAULTS = {
    "a key is missing": (lambda a: a.pop("val_labels"), "no val_labels; the keys are"),
    "floats": (lambda a: a.update(train_images=a["train_images"] / 255), "images are float64, not uint8"),
    "not square": (lambda a: a.update(test_images=a["test_images"][:, 1:]), "test: images are 21x27x28x3"),
    "four channels": (
        lambda a: a.update(val_images=np.concatenate([a["val_images"]] * 2, axis=-1)[..., :4]),
        "val: images are 14x28x28x4",
    ),
    "no pictures": (lambda a: a.update(val_images=a["val_images"][:0]), "val: images are 0x28x28x3"),
    "fewer labels": (lambda a: a.update(val_labels=a["val_labels"][1:]), "14 images, but labels are 13"),
    "one-hot labels": (lambda a: a.update(val_labels=np.eye(14, 7, dtype=int)), "but labels are 14x7"),
    "labels as floats": (lambda a: a.update(val_labels=a["val_labels"] * 1.0), "labels are float64"),
    "a class too many": (lambda a: a["test_labels"].__setitem__(0, 7), r"labels go from 0 to 7; .* 0\.\.6"),
    "a negative class": (
        lambda a: a.update(val_labels=a["val_labels"].astype(int) - 1),
        "labels go from -1 to 5",
    ),
    "two sizes": (
        lambda a: a.update(val_images=a["val_images"][:, :20, :20]),
        "different sizes: 20x20x3 and 28x28x3",
    ),
    "objects": (lambda a: a.update(train_labels=np.array([None] * 42)), r"cannot be read as \.npz"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_npz_is_one_line_with_its_name(tmp_path, fault):
    arrays = npz_arrays()
    change, expected = FAULTS[fault]
    change(arrays)
    path = tmp_path / "mine.npz"
    np.savez(path, **arrays)
    with pytest.raises(BadInput, match=expected) as error:
        load_raw("DermaMNIST", path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"no zip at all"])
def test_a_file_that_is_no_npz_is_one_line(tmp_path, content):
    path = tmp_path / "mine.npz"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=r"cannot be read as \.npz"):
        load_raw("DermaMNIST", path)


def test_an_array_file_instead_of_an_archive_is_one_line(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros(3))
    (tmp_path / "a.npy").rename(tmp_path / "mine.npz")
    with pytest.raises(BadInput, match=r"cannot be read as \.npz"):
        load_raw("CIFAR10", tmp_path / "mine.npz")
