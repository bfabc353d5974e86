"""What training may know of a picture, one class per level of supervision.

The level is the type: an `ImageLabelled` has no field for boxes and an `Unlabelled` none for labels, so that
what a setting withholds cannot reach a loss by mistake.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from suite.errors import BadInput

Level = Literal["image", "boxes", "none"]


@dataclass(frozen=True)
class Picture:
    """One stored picture. `id` counts from 0 and is unique over all sources of a run."""

    id: int
    file: Path
    width: int  # pixels
    height: int
    source: str  # name of the source it came from, e.g. "imaginary"


@dataclass(frozen=True)
class ImageLabelled(Picture):
    """A picture of which the classes present are known, and nothing else."""

    labels: frozenset[int]  # places in the class list


@dataclass(frozen=True, eq=False)
class Boxed(Picture):
    """A picture with a box around every object."""

    boxes: np.ndarray  # float32 (n, 4): x1, y1, x2, y2 in pixels, half-open
    labels: np.ndarray  # int64 (n,): places in the class list
    difficult: np.ndarray  # bool (n,)


@dataclass(frozen=True)
class Unlabelled(Picture):
    """A picture of which nothing is known."""


RECORD_OF = {"image": ImageLabelled, "boxes": Boxed, "none": Unlabelled}


@dataclass(frozen=True)
class Source:
    """Pictures of one level of supervision. Raises ValueError where a picture has another level."""

    name: str
    level: Level
    class_names: tuple[str, ...]
    pictures: tuple[Picture, ...]

    def __post_init__(self) -> None:
        wanted = RECORD_OF[self.level]
        for picture in self.pictures:
            if type(picture) is not wanted:
                what = f"a source of level {self.level!r} takes {wanted.__name__}"
                raise ValueError(f"{what}, picture {picture.id} is {type(picture).__name__}")

    def __len__(self) -> int:
        return len(self.pictures)


@dataclass(frozen=True)
class TrainingData:
    """What a setting trains on; None where it has no such pictures.

    `notes`: one line for each thing that reading left out or changed, for the log and the summary.
    `known_labels`: of unlabelled pictures by id, filled only where the caller asks for them (a filter of
    pseudo boxes); the records themselves hold none.
    """

    image_labels: Source | None
    boxes: Source | None
    unlabelled: Source | None
    class_names: tuple[str, ...]
    notes: tuple[str, ...] = ()
    known_labels: Mapping[int, frozenset[int]] = field(default_factory=dict)


def picture_digest(path: Path) -> str:
    """SHA-256 (hex) of a picture's file, the key of its proposals. BadInput: there is no such file."""
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise BadInput("no such picture", file=path, fix="check the folder of pictures") from None


def read_picture(path: Path) -> np.ndarray:
    """uint8 (H, W, 3), RGB, of any picture that Pillow decodes. BadInput: it does not."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            return np.array(picture.convert("RGB"))
    # Pillow's decoders raise these for damaged files; SyntaxError comes from its PNG reader.
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        if isinstance(error, FileNotFoundError):
            raise BadInput("no such picture", file=path, fix="check the folder of pictures") from None
        reason = " ".join(str(error).split()) or type(error).__name__
        raise BadInput(f"does not decode ({reason:.80})", file=path, fix="copy or make it again") from None
