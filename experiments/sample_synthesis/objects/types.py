"""What a source of objects, a provider of masks and a source of backgrounds are.

Pictures are RGB. Nothing here keeps a generator: what is drawn depends on the one that is passed in, and on
nothing that was drawn before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np


@dataclass(frozen=True)
class ObjectPicture:
    """A picture of one object."""

    picture: np.ndarray  # uint8 (h, w, 3)
    mask: np.ndarray | None  # float32 (h, w) in [0, 1], 1 is the object; None: the picture has no mask
    key: str  # which object it is: "<file or stand-in>", the same for every drawing of the same object


@runtime_checkable
class ObjectSource(Protocol):
    """Pictures of objects of one class, all of one size, or drawn afresh each time (QR codes)."""

    def __len__(self) -> int:
        """Number of different pictures; 0: not counted, each drawing makes a new one."""
        ...

    def draw(self, rng: np.random.Generator) -> ObjectPicture:
        """One of them, chosen by `rng` alone."""
        ...


@runtime_checkable
class MaskProvider(Protocol):
    """Tells object from surroundings, a batch of pictures at a time."""

    @property
    def key(self) -> str:
        """Name and everything that decides the masks (settings, digest of weights); part of cache keys."""
        ...

    @property
    def has_polarity(self) -> bool:
        """Whether the mask is one of two exchangeable regions, so that object and surroundings may be swapped
        and the polarity of a set is to be detected."""
        ...

    def masks(self, pictures: np.ndarray) -> np.ndarray:
        """Masks float32 (n, S, S) in [0, 1] of pictures uint8 (n, S, S, 3)."""
        ...


@runtime_checkable
class BackgroundSource(Protocol):
    """Pictures without objects of the class, to paste on."""

    def __len__(self) -> int:
        """Number of photographs."""
        ...

    def draw(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """A background, uint8 (size, size, 3), chosen by `rng` alone."""
        ...
