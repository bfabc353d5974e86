"""CIFAR-10 and CIFAR-100 in their binary version: records of one or two class bytes and 3072 bytes of colour.

The colour bytes are 1024 of red, 1024 of green, 1024 of blue, each row by row. CIFAR-100 has the coarse class
before the fine one; the fine one is read. The Python version of both is pickled and is not read.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from experiments.gafi.data.catalogue import CIFAR10_CLASSES
from experiments.gafi.data.raw import Part, RawDataset, as_part
from suite.errors import BadInput, Missing

SIDE, CHANNELS = 32, 3
CIFAR10_TRAIN = tuple(f"data_batch_{number}.bin" for number in range(1, 6))


def read_cifar10(folder: Path) -> RawDataset:
    """From the folder of the six `.bin` files, or the one above it. Raises Missing, BadInput."""
    folder = _inner(folder, "cifar-10-batches-bin")
    train, test = (
        _part(folder, files, num_class_bytes=1, num_classes=len(CIFAR10_CLASSES), target="cifar10")
        for files in (CIFAR10_TRAIN, ("test_batch.bin",))
    )
    return RawDataset("CIFAR10", train, None, test, CIFAR10_CLASSES, "stratified")


def read_cifar100(folder: Path) -> RawDataset:
    """From the folder of train.bin, test.bin and fine_label_names.txt, or the one above it. Raises Missing,
    BadInput.
    """
    folder = _inner(folder, "cifar-100-binary")
    listing = _existing(folder / "fine_label_names.txt", "cifar100")
    names = tuple(listing.read_text(encoding="utf-8", errors="replace").split())
    if len(names) != 100:
        fix = "fetch it again: make fetch-cifar100"
        raise BadInput(f"names {len(names)} classes, not 100", file=listing, fix=fix)
    train, test = (
        _part(folder, files, num_class_bytes=2, num_classes=len(names), target="cifar100")
        for files in (("train.bin",), ("test.bin",))
    )
    return RawDataset("CIFAR100", train, None, test, names, "stratified")


def _inner(folder: Path, name: str) -> Path:
    return folder / name if (folder / name).is_dir() else folder


def _existing(path: Path, target: str) -> Path:
    if not path.is_file():
        raise Missing("no such file", file=path, fix=f"run `make fetch-{target}`")
    return path


def _part(folder: Path, files: Sequence[str], *, num_class_bytes: int, num_classes: int, target: str) -> Part:
    record = num_class_bytes + CHANNELS * SIDE * SIDE
    images, labels = [], []
    for name in files:
        path = _existing(folder / name, target)
        data = np.fromfile(path, np.uint8)
        if len(data) == 0 or len(data) % record:
            what = f"{len(data)} bytes are no whole number of records of {record} bytes"
            raise BadInput(what, file=path, fix=f"fetch it again: make fetch-{target}")
        rows = data.reshape(-1, record)
        labels.append(rows[:, num_class_bytes - 1])
        images.append(rows[:, num_class_bytes:].reshape(-1, CHANNELS, SIDE, SIDE).transpose(0, 2, 3, 1))
    return as_part(
        np.concatenate(images), np.concatenate(labels), num_classes=num_classes, file=folder, what=files[0]
    )
