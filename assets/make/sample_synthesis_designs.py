"""Random designs of birds and cars, such that what is pasted and what stands in scenes never coincide.

A range of a shape's parameter is cut into cells; cut-outs draw from the even ones, scenes from the odd
ones. Palettes alternate in the same way. So no cut-out shares a palette or a single proportion with an
object of a scene.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from assets.make.sample_synthesis_shapes import Color

SIDES = {"objects": 0, "train": 1, "valid": 1, "test": 1}  # of a split: even or odd cells
CELLS = 6  # of each side
GUARD = 0.1  # of a cell, left free at both ends


@dataclass(frozen=True)
class Design:
    """One bird or car."""

    kind: str
    palette: int
    values: Mapping[str, float]  # proportions by name

    def note(self) -> dict:
        """For the listing: kind, palette, rounded proportions."""
        return {
            "kind": self.kind,
            "palette": self.palette,
            "values": {name: round(value, 4) for name, value in self.values.items()},
        }


def cell_value(rng: np.random.Generator, low: float, high: float, side: int) -> float:
    """A number of the even (side 0) or odd (side 1) cells of a range."""
    cell = 2 * int(rng.integers(CELLS)) + side
    return low + (high - low) * (cell + float(rng.uniform(GUARD, 1 - GUARD))) / (2 * CELLS)


def cell_of(value: float, low: float, high: float) -> int:
    """Which cell of its range a number lies in."""
    return int(np.floor((value - low) / (high - low) * 2 * CELLS))


def draw_design(
    rng: np.random.Generator,
    split: str,
    kinds: Mapping[str, Mapping[str, tuple[float, float]]],
    palettes: Sequence,
) -> Design:
    """A kind, a palette and a number of every range of the kind."""
    side = SIDES[split]
    kind = list(kinds)[rng.integers(len(kinds))]
    own = list(range(side, len(palettes), 2))
    palette = own[rng.integers(len(own))]
    values = {name: cell_value(rng, *limits, side) for name, limits in kinds[kind].items()}
    return Design(kind, palette, values)


def linear(hexadecimal: str) -> Color:
    """The linear colour of sRGB RRGGBB."""
    srgb = np.array([int(hexadecimal[k : k + 2], 16) for k in (0, 2, 4)]) / 255
    return tuple(np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4).tolist())
