"""Rooms of assets/sample_synthesis: walls, tables, boxes, clutter, lamps; textures differ by split."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from assets.make.sample_synthesis_scene import Lamp, Model, Thing, warmth
from assets.make.sample_synthesis_shapes import Look, Shape, box, quad
from suite.provenance import ROOT

TEXTURES = ROOT / "assets" / "textures"
SHARES = {"train": (0.0, 0.5), "valid": (0.5, 0.7), "test": (0.7, 1.0)}  # of the sorted files of a kind
SMALL = {  # things on tables, longest side in metres
    "mug": 0.12, "bottle": 0.26, "can": 0.13, "lemon": 0.09, "vase": 0.25, "lamp": 0.42, "potion": 0.18,
    "bread": 0.22, "milk": 0.24, "cereal": 0.28, "soccerball": 0.21, "shape_sorter": 0.2, "torus": 0.16,
    "prism": 0.12, "handles": 0.24, "domino": 0.1, "spring": 0.2, "key": 0.12,
}  # fmt: skip
LARGE = {  # things on the floor
    "stool": 0.6, "office_chair": 1.05, "barrel": 0.9, "cone": 0.6, "office_desk": 1.4, "husky": 0.9,
    "stairs": 1.0, "table": 1.4, "tree_pine": 1.6, "medkit": 0.45, "iiwa": 1.2, "shape_008": 0.5,
}  # fmt: skip


def textures(kind: str, split: str) -> list[Path]:
    """The embedded pictures of a kind (wall, floor, ceiling, unknown) that this split may show."""
    files = sorted((TEXTURES / kind).glob("*.jpg"))
    low, high = (round(share * len(files)) for share in SHARES[split])
    return files[low:high]


def pick(rng: np.random.Generator, items: list | tuple):
    """One of them."""
    return items[rng.integers(len(items))]


def tinted(rng: np.random.Generator, low: float = 0.75) -> tuple[float, float, float]:
    """A light tint."""
    return tuple((rng.uniform(low, 1.0) * rng.uniform(0.88, 1.0, 3)).tolist())


@dataclass(frozen=True)
class RoomSize:
    """x is in +-width/2, y in +-depth/2, z in 0..height."""

    width: float
    depth: float
    height: float

    def holds(self, place: np.ndarray, margin: float = 0.15) -> bool:
        """Whether a point is within the walls."""
        half = np.array([self.width / 2, self.depth / 2]) - margin
        return bool((np.abs(place[:2]) < half).all() and margin < place[2] < self.height - margin)


def draw_room(rng: np.random.Generator, split: str) -> tuple[RoomSize, Thing]:
    """A box with a skirting board; its size and its shapes."""
    room = RoomSize(*rng.uniform((3.2, 3.2, 2.4), (6.0, 6.0, 3.2)).tolist())
    x, y, z = room.width / 2, room.depth / 2, room.height
    length = float(rng.uniform(1.2, 2.4))
    looks = [
        Look(
            color=tinted(rng),
            texture=pick(rng, textures(kind, split)),
            roughness=float(rng.uniform(0.3, 0.9)),
        )
        for kind in ("floor", "ceiling", "wall", "wall")
    ]
    if rng.random() < 0.6:  # mostly one wallpaper
        looks[3] = looks[2]
    across, along, up = 2 * x / length, 2 * y / length, z / length
    shapes = [
        quad([(-x, -y, 0), (x, -y, 0), (x, y, 0), (-x, y, 0)], looks[0], (across, along)),
        quad([(-x, y, z), (x, y, z), (x, -y, z), (-x, -y, z)], looks[1], (across, along)),
        quad([(-x, y, 0), (x, y, 0), (x, y, z), (-x, y, z)], looks[2], (across, up)),
        quad([(x, -y, 0), (-x, -y, 0), (-x, -y, z), (x, -y, z)], looks[2], (across, up)),
        quad([(-x, -y, 0), (-x, y, 0), (-x, y, z), (-x, -y, z)], looks[3], (along, up)),
        quad([(x, y, 0), (x, -y, 0), (x, -y, z), (x, y, z)], looks[3], (along, up)),
    ]
    board = Look(color=tinted(rng, 0.3), roughness=0.5)
    shapes += [box((2 * x, 0.015, 0.08), board, (0, side * (y - 0.008), 0.04)) for side in (-1, 1)]
    shapes += [box((0.015, 2 * y, 0.08), board, (side * (x - 0.008), 0, 0.04)) for side in (-1, 1)]
    return room, Thing(tuple(shapes))


def draw_table(
    rng: np.random.Generator, split: str, center: np.ndarray, size: tuple[float, float], height: float
) -> Thing:
    """A table whose top is at `height`."""
    look = Look(color=tinted(rng, 0.5), texture=pick(rng, textures("unknown", split)), roughness=0.4)
    leg = Look(color=tinted(rng, 0.15), roughness=0.4)
    top = box((*size, 0.03), look, (center[0], center[1], height - 0.015))
    x, y, z = size[0] / 2 - 0.06, size[1] / 2 - 0.06, height - 0.03
    places = [(center[0] + i * x, center[1] + j * y, z / 2) for i in (-1, 1) for j in (-1, 1)]
    legs = [box((0.05, 0.05, z), leg, place) for place in places]
    return Thing((top, *legs))


def crate_look(rng: np.random.Generator, split: str) -> Look:
    """The surface of a box: cardboard and the like, or paint."""
    texture = pick(rng, textures("unknown", split)) if rng.random() < 0.7 else None
    color = tinted(rng, 0.6) if texture is not None else tuple(rng.uniform(0.05, 0.7, 3).tolist())
    return Look(color=color, texture=texture, roughness=float(rng.uniform(0.3, 0.9)))


class Clutter:
    """Stands embedded meshes about, none on another or on what has a place (circles seen from above)."""

    def __init__(self, room: RoomSize) -> None:
        self._room = room
        self._taken: list[tuple[float, float, float, float]] = []  # x, y, radius, height of what it stands on
        self.models: list[Model] = []

    def reserve(self, place: np.ndarray, radius: float, level: float = 0.0) -> None:
        """Nothing at this level may come closer to a place."""
        self._taken.append((float(place[0]), float(place[1]), radius, level))

    def put(self, rng: np.random.Generator, sizes: dict[str, float], place: np.ndarray, level: float) -> bool:
        """One mesh at x, y of `place`, if it is free."""
        name = pick(rng, list(sizes))
        size = sizes[name] * float(rng.uniform(0.85, 1.2))
        radius = 0.5 * size
        if (np.abs(place[:2]) + 0.8 * radius > np.array([self._room.width, self._room.depth]) / 2).any():
            return False
        for x, y, other, z in self._taken:
            if abs(z - level) < 0.05 and np.hypot(place[0] - x, place[1] - y) < radius + other:
                return False
        self.reserve(place, radius, level)
        spot = (float(place[0]), float(place[1]), level + 0.001)
        self.models.append(Model(name, spot, float(rng.uniform(-np.pi, np.pi)), size))
        return True


def draw_lamps(
    rng: np.random.Generator, room: RoomSize, spot: np.ndarray, normal: np.ndarray
) -> tuple[list[Lamp], list[Thing]]:
    """A lamp at the ceiling, one that shines on `spot` from its front, sometimes through bars."""
    ceiling = (float(rng.uniform(-0.5, 0.5)), float(rng.uniform(-0.5, 0.5)), room.height - 0.05)
    lamps = [
        Lamp("AREA", ceiling, (ceiling[0], ceiling[1], 0.0), float(rng.uniform(10, 60)),
             float(rng.uniform(0.5, 1.5)), warmth(float(rng.uniform(3200, 6500))))
    ]  # fmt: skip
    for _ in range(20):
        sideways = rng.standard_normal(3)
        toward = normal + 0.9 * sideways / np.linalg.norm(sideways) * float(rng.uniform(0.2, 1.0))
        if toward @ normal < 0.25:
            continue
        place = spot + toward / np.linalg.norm(toward) * float(rng.uniform(1.0, 2.6))
        if room.holds(place, 0.1) and place[2] > 0.7:
            break
    else:
        return lamps, []
    kind = pick(rng, ("AREA", "POINT", "SPOT"))
    size = float(rng.uniform(0.02, 0.5)) if kind == "AREA" else float(rng.uniform(0.01, 0.12))
    energy = float(np.exp(rng.uniform(np.log(8), np.log(120)))) * (3.0 if kind == "SPOT" else 1.0)
    color = warmth(float(rng.uniform(2700, 8000)))
    lamps.append(Lamp(kind, tuple(place.tolist()), tuple(spot.tolist()), energy, size, color))
    return lamps, [_bars(rng, spot, place)] if rng.random() < 0.3 else []


def _bars(rng: np.random.Generator, spot: np.ndarray, lamp: np.ndarray) -> Thing:
    """A few bars across the way of the light, out of the way of most views."""
    middle = spot + (lamp - spot) * float(rng.uniform(0.55, 0.8))
    direction = (lamp - spot) / np.linalg.norm(lamp - spot)
    aside = np.cross(direction, rng.standard_normal(3))
    aside /= np.linalg.norm(aside)
    frame = np.stack([aside, np.cross(direction, aside), direction], axis=1)
    width = float(rng.uniform(0.01, 0.05))
    shapes: list[Shape] = []
    for k in range(-3, 4):
        bar = box((width, 1.2, 0.005), Look(color=(0.3, 0.3, 0.3)), (k * width * 2.3, 0, 0))
        shapes.append(bar.moved(frame, middle))
    return Thing(tuple(shapes))
