"""Data sets as one `.npz`: DermaMNIST, and any of the user's.

Keys: {train,val,test}_images and {train,val,test}_labels. Images uint8 (N, H, H) or (N, H, H, 1 or 3), labels
integers (N,) or (N, 1). Nothing is unpickled.
"""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np

from experiments.gafi.data.catalogue import Source
from experiments.gafi.data.raw import Part, RawDataset, as_part
from suite.errors import BadInput, Missing

KEYS = tuple(f"{split}_{kind}" for split in ("train", "val", "test") for kind in ("images", "labels"))


def read_dermamnist(place: Path, source: Source) -> RawDataset:
    """From `dermamnist.npz` or the folder that holds it. Raises Missing, BadInput."""
    path = place / "dermamnist.npz" if place.is_dir() else place
    if not path.is_file():
        raise Missing("no such file", file=path, fix=f"run `{source.target}`")
    return read_npz(path, source)


def read_npz(path: Path, source: Source) -> RawDataset:
    """A file that stands for the data set `source`: as many classes, its own three parts. Raises BadInput."""
    arrays = _arrays(path)
    parts: dict[str, Part] = {}
    for split in ("train", "val", "test"):
        images, labels = arrays[f"{split}_images"], arrays[f"{split}_labels"]
        parts[split] = as_part(images, labels, num_classes=source.num_classes, file=path, what=split)
    names = source.class_names or tuple(str(number) for number in range(source.num_classes))
    return RawDataset(source.name, parts["train"], parts["val"], parts["test"], names, "given")


def _arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            absent = [key for key in KEYS if key not in archive.files]
            if absent:
                what = f"no {', '.join(absent)}"
                raise BadInput(what, file=path, fix=f"the keys are {', '.join(KEYS)}")
            return {key: archive[key] for key in KEYS}
    # ValueError: objects that numpy would have to unpickle; AttributeError: an .npy, which is no archive
    except (
        ValueError,
        EOFError,
        KeyError,
        AttributeError,
        TypeError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        what = f"cannot be read as .npz ({type(error).__name__})"
        raise BadInput(what, file=path, fix="write it with numpy.savez, plain arrays only") from None
