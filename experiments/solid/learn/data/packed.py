"""Many arrays of different shapes in one tensor.

A tensor that crosses from a worker to the trainer costs a file descriptor. A published batch has 16 pictures,
16 label maps and 128 queries, and a process may open 1024 files by default.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class Packed:
    """Arrays of one dtype, one after the other in `flat`."""

    flat: torch.Tensor  # (total,)
    shapes: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, arrays: Sequence[np.ndarray]) -> Packed:
        """Pack arrays; an empty sequence gives an empty uint8 tensor."""
        flat = np.concatenate([array.ravel() for array in arrays]) if arrays else np.zeros(0, np.uint8)
        return cls(torch.from_numpy(flat), tuple(array.shape for array in arrays))

    def unpack(self) -> list[torch.Tensor]:
        """The arrays as tensors that share the memory of `flat`."""
        sizes = [math.prod(shape) for shape in self.shapes]
        return [part.view(shape) for part, shape in zip(self.flat.split(sizes), self.shapes, strict=True)]
