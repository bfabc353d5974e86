"""Small data sets in the layouts of the real ones; every pixel is a closed form of its place."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
from PIL import Image

from experiments.gafi.data.catalogue import CIFAR10_CLASSES


def pictures(num: int, side: int, channels: int, *, shift: int = 0) -> np.ndarray:
    """uint8 (num, side, side, channels): 7 i + 3 row + 5 column + 11 channel + shift, modulo 256."""
    i, row, column, channel = np.indices((num, side, side, channels))
    return ((7 * i + 3 * row + 5 * column + 11 * channel + shift) % 256).astype(np.uint8)


def classes(num: int, num_classes: int) -> np.ndarray:
    """int64 (num,): 3 i modulo the number of classes."""
    return 3 * np.arange(num) % num_classes


def write_idx(path: Path, array: np.ndarray) -> None:
    """An IDX file of bytes, packed where the name ends in .gz."""
    data = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def write_fashion(folder: Path, *, num_train: int = 60, num_test: int = 20, suffix: str = ".gz") -> Path:
    """Four IDX files."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, num in (("train", num_train), ("t10k", num_test)):
        write_idx(folder / f"{part}-images-idx3-ubyte{suffix}", pictures(num, 28, 1)[..., 0])
        write_idx(folder / f"{part}-labels-idx1-ubyte{suffix}", classes(num, 10).astype(np.uint8))
    return folder


def cifar_records(num: int, num_classes: int, *, coarse: bool, shift: int = 0) -> bytes:
    """Records as published: class byte(s), then the red, the green and the blue plane."""
    planes = pictures(num, 32, 3, shift=shift).transpose(0, 3, 1, 2).reshape(num, -1)
    labels = classes(num, num_classes).astype(np.uint8)[:, None]
    columns = [labels // 5, labels, planes] if coarse else [labels, planes]
    return np.concatenate(columns, axis=1).tobytes()


def write_cifar10(folder: Path, *, per_file: int = 12) -> Path:
    """Five files of training records and one of test records, inside the archive's folder."""
    inner = folder / "cifar-10-batches-bin"
    inner.mkdir(parents=True)
    for number in range(1, 6):
        records = cifar_records(per_file, 10, coarse=False, shift=number)
        (inner / f"data_batch_{number}.bin").write_bytes(records)
    (inner / "test_batch.bin").write_bytes(cifar_records(20, 10, coarse=False, shift=100))
    return folder


def write_cifar100(folder: Path) -> Path:
    """One file each, and the names of the fine classes."""
    inner = folder / "cifar-100-binary"
    inner.mkdir(parents=True)
    (inner / "train.bin").write_bytes(cifar_records(400, 100, coarse=True))
    (inner / "test.bin").write_bytes(cifar_records(100, 100, coarse=True, shift=100))
    (inner / "fine_label_names.txt").write_text("".join(f"class{k:02d}\n" for k in range(100)))
    return folder


def write_cinic(folder: Path, *, per_class: int = 4) -> Path:
    """The PNG tree; the first picture of each class is grey."""
    for split in ("train", "valid", "test"):
        for label, name in enumerate(CIFAR10_CLASSES):
            (folder / split / name).mkdir(parents=True)
            for index, image in enumerate(pictures(per_class, 32, 3, shift=label)):
                picture = Image.fromarray(image[..., 0] if index == 0 else image)
                picture.save(folder / split / name / f"img{index}.png")
    return folder


def npz_arrays(*, side: int = 28, channels: int = 3, num_classes: int = 7) -> dict[str, np.ndarray]:
    """The six arrays of MedMNIST's files, labels (N, 1) as there."""
    arrays = {}
    for shift, (split, num) in enumerate((("train", 42), ("val", 14), ("test", 21))):
        arrays[f"{split}_images"] = pictures(num, side, channels, shift=shift)
        arrays[f"{split}_labels"] = classes(num, num_classes).astype(np.uint8)[:, None]
    return arrays


def write_dermamnist(folder: Path) -> Path:
    """dermamnist.npz in a folder."""
    folder.mkdir(parents=True)
    np.savez(folder / "dermamnist.npz", **npz_arrays())
    return folder


WRITERS = {
    "FashionMNIST": write_fashion,
    "CIFAR10": write_cifar10,
    "CIFAR100": write_cifar100,
    "CINIC10": write_cinic,
    "DermaMNIST": write_dermamnist,
}
