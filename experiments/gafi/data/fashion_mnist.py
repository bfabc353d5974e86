"""Fashion-MNIST: four IDX files, 60,000 and 10,000 grey pictures of 28 pixels, ten classes."""

from __future__ import annotations

from pathlib import Path

from experiments.gafi.data.catalogue import FASHION_CLASSES
from experiments.gafi.data.idx import read_idx
from experiments.gafi.data.raw import Part, RawDataset, as_part
from suite.errors import Missing


def read(folder: Path) -> RawDataset:
    """From a folder with the four files, each packed (`.gz`) or plain. Raises Missing, BadInput."""
    return RawDataset(
        "FashionMNIST", _part(folder, "train"), None, _part(folder, "t10k"), FASHION_CLASSES, "stratified"
    )


def _part(folder: Path, name: str) -> Part:
    images, labels = (_file(folder, f"{name}-{kind}-ubyte") for kind in ("images-idx3", "labels-idx1"))
    return as_part(
        read_idx(images, 3), read_idx(labels, 1), num_classes=len(FASHION_CLASSES), file=folder, what=name
    )


def _file(folder: Path, name: str) -> Path:
    for path in (folder / f"{name}.gz", folder / name):
        if path.is_file():
            return path
    raise Missing(f"no {name}.gz and no {name}", file=folder, fix="run `make fetch-fashion-mnist`")
