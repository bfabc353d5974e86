"""What a picture of assets/sample_synthesis shows, without Blender: things, lamps, camera, development.

All lengths in metres, z up, angles in radians.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from assets.make.sample_synthesis_shapes import Color, Shape


class NoPlace(Exception):
    """This attempt at a scene does not work out: draw again with the next one."""


@dataclass(frozen=True, eq=False)
class Thing:
    """Shapes that belong together. `mark` > 0: an object that is looked for, or a part of one."""

    shapes: tuple[Shape, ...]
    mark: int = 0


@dataclass(frozen=True, eq=False)
class Model:
    """An embedded mesh, standing on its lowest point at `place`, its longest side `size`."""

    name: str  # folder of assets/meshes/models
    place: tuple[float, float, float]
    heading: float
    size: float


@dataclass(frozen=True)
class Lamp:
    """A light. `target` matters for all kinds but points; `size`: side, radius or, for a sun, its angle."""

    kind: str  # AREA, POINT, SPOT or SUN
    place: tuple[float, float, float]
    target: tuple[float, float, float]
    energy: float  # watts; W/m^2 for a sun
    size: float
    color: Color = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Eye:
    """The camera."""

    place: tuple[float, float, float]
    target: tuple[float, float, float]
    roll: float
    fov: float  # horizontal
    focus: float | None = None  # distance that is sharp; None: all is
    aperture: float = 8.0  # f-number, for `focus`

    @property
    def rotation(self) -> np.ndarray:
        """Columns: right, up and backwards of the camera in the world."""
        back = np.subtract(self.place, self.target)
        back = back / np.linalg.norm(back)
        right = np.cross((0.0, 0.0, 1.0), back)
        right /= np.linalg.norm(right)
        up = np.cross(back, right)
        c, s = np.cos(self.roll), np.sin(self.roll)
        return np.stack([c * right + s * up, c * up - s * right, back], axis=1)

    def pixels(self, points: np.ndarray, resolution: tuple[int, int]) -> np.ndarray:
        """Where points (N, 3) of the world are in the picture: (N, 2) x, y. NoPlace if one is behind."""
        local = (np.asarray(points) - np.asarray(self.place)) @ self.rotation
        if local[:, 2].max() > -0.05:
            raise NoPlace("behind the camera")
        focal = focal_pixels(self.fov, resolution)
        x, y = local[:, 0] / -local[:, 2], local[:, 1] / -local[:, 2]
        return np.stack([resolution[0] / 2 + focal * x, resolution[1] / 2 - focal * y], axis=1)


@dataclass(frozen=True)
class Film:
    """How the light becomes a picture: see sample_synthesis_develop.py."""

    exposure: float = 0.0  # stops from the automatic one
    balance: Color = (1.0, 1.0, 1.0)  # gains of the channels
    motion: tuple[float, float] = (0.0, 0.0)  # length in pixels, angle
    noise: float = 0.0  # standard deviation of the grain at white
    quality: int = 75  # JPEG


@dataclass(frozen=True, eq=False)
class Wanted:
    """An object that is looked for."""

    mark: int
    points: np.ndarray | None = None  # (N, 3): their projection is the box; None: the visible pixels are
    note: dict = field(default_factory=dict)  # goes into the annotation


@dataclass(frozen=True, eq=False)
class Scene:
    """Everything that one picture depends on."""

    resolution: tuple[int, int]
    things: tuple[Thing, ...]
    models: tuple[Model, ...]
    lamps: tuple[Lamp, ...]
    sky: Color  # of the world, with its strength in it
    eye: Eye
    film: Film
    wanted: tuple[Wanted, ...]
    samples: int
    cutout: bool = False  # transparent where nothing is
    cycles_seed: int = 0


def focal_pixels(fov: float, resolution: tuple[int, int]) -> float:
    """The focal length in pixels of a horizontal field of view."""
    return resolution[0] / 2 / float(np.tan(fov / 2))


def extent(points: np.ndarray) -> tuple[float, float, float, float]:
    """x1, y1, x2, y2 around points (N, 2)."""
    return (*points.min(axis=0).tolist(), *points.max(axis=0).tolist())


def warmth(kelvin: float) -> Color:
    """A lamp's colour, linear, green 1: a fit of the black body between 2500 and 9000 K."""
    t = np.log(kelvin / 5500)
    return (float(np.exp(-0.75 * t)), 1.0, float(np.exp(1.0 * t)))
