"""Any of the five data sets, by name."""

from __future__ import annotations

from pathlib import Path

from experiments.gafi.data import fashion_mnist
from experiments.gafi.data.locate import require, source_of
from experiments.gafi.data.raw import RawDataset, check_same_shape

READERS = {"FashionMNIST": fashion_mnist.read}


def load_raw(name: str, folder: Path | None = None) -> RawDataset:
    """Read a data set from `folder`, or from where it is found (locate.py). Raises BadInput, Missing."""
    found = require(name, folder)
    return check_same_shape(READERS[source_of(name).name](found), found)
