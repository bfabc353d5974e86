"""Any of the five data sets, by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from experiments.gafi.data import cifar, cinic, fashion_mnist, npz
from experiments.gafi.data.locate import absent, find, source_of
from experiments.gafi.data.raw import RawDataset, check_same_shape

READERS: dict[str, Callable[[Path], RawDataset]] = {
    "FashionMNIST": fashion_mnist.read,
    "CIFAR10": cifar.read_cifar10,
    "CIFAR100": cifar.read_cifar100,
    "CINIC10": cinic.read,
}


def load_raw(name: str, folder: Path | None = None) -> RawDataset:
    """Read a data set from `folder` (or that `.npz`), else from where it is found (locate.py).

    Raises BadInput for an unknown name and for damaged files, Missing where there is nothing.
    """
    source = source_of(name)
    found = find(source.name, folder)
    if found is None:
        raise absent(source, folder)
    if source.name == "DermaMNIST":
        raw = npz.read_dermamnist(found, source)
    elif found.is_file():
        raw = npz.read_npz(found, source)
    else:
        raw = READERS[source.name](found)
    return check_same_shape(raw, found)
