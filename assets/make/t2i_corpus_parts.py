"""Building blocks of the things of the text-to-image corpus: painted shapes as arrays, no Blender here.

A thing stands on z = 0 above the origin; units do not matter, since a scene scales it. A part painted in
the tint takes the colour that its scene names ("a red mug"); every other part keeps its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from assets.make.sample_synthesis_shapes import Look, Shape, loft

Color = tuple[float, float, float]  # linear

WHITE, CREAM, DARK, WOOD = (0.8, 0.8, 0.78), (0.75, 0.62, 0.4), (0.02, 0.02, 0.022), (0.2, 0.085, 0.03)
STEEL = (0.45, 0.46, 0.48)
_SHARP = np.cos(np.radians(35))  # a profile that turns by more keeps its edge
_PLAIN = Look()


@dataclass(frozen=True)
class Paint:
    """A surface. `color` None: the scene's tint. `shade` multiplies the colour; `mottle` is the share of it
    that clouds of noise take away, `grain` how many clouds there are along one unit.
    """

    color: Color | None = None
    shade: float = 1.0
    roughness: float = 0.55
    mottle: float = 0.0
    grain: float = 8.0


@dataclass(frozen=True, eq=False)
class Part:
    """A shape and its paint; `texture`: a picture file that the colour multiplies."""

    shape: Shape
    paint: Paint
    texture: str | None = None

    def moved(self, rotation: np.ndarray, shift: Sequence[float] = (0, 0, 0), scale: float = 1.0) -> Part:
        """Scaled, rotated (3, 3), shifted."""
        return replace(self, shape=self.shape.moved(rotation, shift, scale))


def lathe(
    profile: Sequence[Sequence[float]],
    paint: Paint,
    *,
    segments: int = 28,
    smooth: bool = True,
    caps: bool = True,
) -> Part:
    """The profile's points (radius, height), from below to above on the outside, turned about z.

    `caps` closes both ends with a disc.
    """
    points = _with_edges(np.array(profile, dtype=float)) if smooth else np.array(profile, dtype=float)
    around = np.linspace(0, 2 * np.pi, segments, endpoint=False)
    radius, height = points[:, :1], points[:, 1:]
    rings = np.stack(
        [radius * np.cos(around), radius * np.sin(around), np.broadcast_to(height, (len(points), segments))],
        axis=-1,
    )
    return Part(loft(rings, _PLAIN, smooth=smooth, caps=caps), paint)


def _with_edges(points: np.ndarray) -> np.ndarray:
    """Points where the profile turns sharply come twice, so that smooth shading does not cross them."""
    along = np.diff(points, axis=0)
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    times = np.ones(len(points), dtype=int)
    times[1:-1] += (along[1:] * along[:-1]).sum(axis=1) < _SHARP
    times[[0, -1]] = 2  # where the caps begin
    return np.repeat(points, times, axis=0)


def slab(
    size: Sequence[float], paint: Paint, center: Sequence[float] = (0, 0, 0), round_: float = 0.0
) -> Part:
    """A box whose upright edges are rounded by `round_`, an eighth of a turn at a time."""
    x, y, z = np.asarray(size, dtype=float) / 2
    ring = rounded_rectangle(x, y, min(round_, 0.98 * min(x, y)))
    levels = np.array([-z, -z, z, z])
    rings = np.concatenate(
        [np.broadcast_to(ring, (4, *ring.shape)), np.broadcast_to(levels[:, None, None], (4, len(ring), 1))],
        axis=-1,
    )
    shape = loft(rings + np.asarray(center, dtype=float), _PLAIN, smooth=round_ > 0)
    return Part(shape, paint)


def rounded_rectangle(x: float, y: float, radius: float) -> np.ndarray:
    """Corner points (N, 2), counter-clockwise, of the rectangle of half sides x, y."""
    if radius <= 0:
        return np.array([(-x, -y), (x, -y), (x, y), (-x, y)])
    angles = np.linspace(0, np.pi / 2, 5)
    corner = radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    points = []
    for quarter, (a, b) in enumerate([(1, 1), (-1, 1), (-1, -1), (1, -1)]):
        c, s = [(1, 0), (0, 1), (-1, 0), (0, -1)][quarter]
        turned = corner @ np.array([[c, s], [-s, c]])
        points.append(turned + (a * (x - radius), b * (y - radius)))
    return np.concatenate(points)


def extrude(outline: np.ndarray, depth: float, paint: Paint, *, smooth: bool = False) -> Part:
    """An outline (N, 2) of x and z, counter-clockwise seen from -y, drawn out along y and centred there."""
    y = np.array([-depth / 2, -depth / 2, depth / 2, depth / 2])
    rings = np.stack(
        [np.stack([outline[:, 0], np.full(len(outline), at), outline[:, 1]], axis=1) for at in y]
    )
    return Part(loft(rings, _PLAIN, smooth=smooth), paint)


def blob(
    center: Sequence[float], radii: Sequence[float], paint: Paint, *, segments: int = 18, smooth: bool = True
) -> Part:
    """An ellipsoid; with few segments and `smooth` off it shows facets."""
    polar = np.linspace(0.05, np.pi - 0.05, max(5, segments // 2 + 1))
    around = np.linspace(0, 2 * np.pi, segments, endpoint=False)
    ones = np.ones(segments)
    rings = np.stack(
        [np.outer(np.sin(polar), np.cos(around)), np.outer(np.sin(polar), np.sin(around)),
         np.outer(-np.cos(polar), ones)], axis=-1,
    )  # fmt: skip
    return Part(loft(rings * np.asarray(radii) + np.asarray(center), _PLAIN, smooth=smooth), paint)


def rod(path: Sequence[Sequence[float]], radius: float | np.ndarray, paint: Paint, *, sides: int = 8) -> Part:
    """A round bar along a path (N, 3)."""
    path = np.asarray(path, dtype=float)
    along = np.gradient(path, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    helper = np.eye(3)[np.argmin(np.abs(along).max(axis=0))]
    side = np.cross(along, helper)
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    up = np.cross(along, side)
    around = np.linspace(0, 2 * np.pi, sides, endpoint=False)[:, None]
    thick = np.broadcast_to(radius, len(path))[:, None, None]
    rings = path[:, None] + thick * (np.cos(around) * side[:, None] + np.sin(around) * up[:, None])
    return Part(loft(rings, _PLAIN), paint)


def corners(parts: Sequence[Part]) -> np.ndarray:
    """All vertices (V, 3)."""
    return np.concatenate([part.shape.vertices for part in parts])


def standing(parts: Sequence[Part]) -> list[Part]:
    """The same thing centred above the origin on z = 0, its longest side 1."""
    points = corners(parts)
    low, high = points.min(axis=0), points.max(axis=0)
    scale = 1 / float((high - low).max())
    middle = np.array([(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, low[2]])
    return [part.moved(np.eye(3), -middle * scale, scale) for part in parts]
