"""CINIC-10: a tree of PNG files, {train,valid,test}/<class>/<name>.png, of 32 pixels, some of them grey.

The order of the files decides the shuffle; it is that of class numbers, then of names as strings.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from experiments.gafi.data.catalogue import CIFAR10_CLASSES
from experiments.gafi.data.raw import Part, RawDataset, as_part
from suite.errors import BadInput, Missing

SIDE = 32
FETCH_AGAIN = "fetch it again: make fetch-cinic10"


def read(folder: Path) -> RawDataset:
    """Decode all pictures, grey ones to three equal channels. Raises Missing, BadInput."""
    train, val, test = (_part(folder / name) for name in ("train", "valid", "test"))
    return RawDataset("CINIC10", train, val, test, CIFAR10_CLASSES, "cinic")


def _part(folder: Path) -> Part:
    files, labels = [], []
    for label, name in enumerate(CIFAR10_CLASSES):
        found = sorted((folder / name).glob("*.png"), key=lambda path: path.name)
        if not found:
            raise Missing("no pictures", file=folder / name, fix="run `make fetch-cinic10`")
        files += found
        labels += [label] * len(found)
    images = np.empty((len(files), SIDE, SIDE, 3), np.uint8)
    for path, target in zip(files, images, strict=True):
        target[:] = decode(path)
    return as_part(images, np.array(labels), num_classes=len(CIFAR10_CLASSES), file=folder, what=folder.name)


def decode(path: Path) -> np.ndarray:
    """uint8 (32, 32, 3). Raises BadInput for a damaged picture or one of another size."""
    try:
        with Image.open(path, formats=["PNG"]) as picture:
            size = picture.size
            if size == (SIDE, SIDE):  # before decoding: a picture that is not of the data set may be huge
                return np.asarray(picture.convert("RGB"))
    # Pillow's decoders raise these for damaged files; SyntaxError comes from its PNG reader.
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise BadInput(f"does not decode ({str(error):.80})", file=path, fix=FETCH_AGAIN) from None
    raise BadInput(f"is {size[0]}x{size[1]}, not {SIDE}x{SIDE}", file=path, fix=FETCH_AGAIN)
