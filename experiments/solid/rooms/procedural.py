"""Rooms made from scratch: floor, walls and ceiling over a plan of rectangles, in six shapes.

They stand in for SceneNet through the same loader. A plan is a grid of cells, some of them inside; the
walls are the borders between inside and outside, so every room is closed. Lengths are those of the finished
room (12 x 12 x 6); the loader scales again, which then changes nothing. Each room keeps its middle free, so
that a camera at the published radius of 3.6 to 6 sees 4 units of air.

Not made: doors, windows, curved walls.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import trimesh

FOOTPRINT, HEIGHT = 12.0, 6.0
HALF = FOOTPRINT / 2
TEXTURE_SIZE = (2.0, 4.0)  # range of the length that one repeat of a texture covers


@dataclass(frozen=True, eq=False)
class Surface:
    """Quads of one object: corners (Q, 4, 3) counter-clockwise seen from inside the room, z up."""

    name: str
    material: str
    quads: np.ndarray


@dataclass(frozen=True, eq=False)
class Plan:
    """Cells between the lines xs and ys; inside[i, j] lies between xs[i], xs[i + 1] and ys[j], ys[j + 1]."""

    xs: np.ndarray
    ys: np.ndarray
    inside: np.ndarray  # (len(xs) - 1, len(ys) - 1) bool

    def cells(self) -> np.ndarray:
        """(N, 2, 2) low and high corner of the inside cells."""
        i, j = np.nonzero(self.inside)
        low = np.stack([self.xs[i], self.ys[j]], axis=1)
        return np.stack([low, np.stack([self.xs[i + 1], self.ys[j + 1]], axis=1)], axis=1)

    def borders(self) -> np.ndarray:
        """(M, 2, 2) border segments from start to end with the inside on their left."""
        padded = np.pad(self.inside, 1)
        found = []
        for i, j in zip(*np.nonzero(self.inside), strict=True):
            x0, x1, y0, y1 = self.xs[i], self.xs[i + 1], self.ys[j], self.ys[j + 1]
            sides = (
                (padded[i + 1, j], (x0, y0), (x1, y0)),
                (padded[i + 2, j + 1], (x1, y0), (x1, y1)),
                (padded[i + 1, j + 2], (x1, y1), (x0, y1)),
                (padded[i, j + 1], (x0, y1), (x0, y0)),
            )
            found += [(start, end) for neighbour, start, end in sides if not neighbour]
        return np.array(found, dtype=np.float64)


def _plan(xs: list[float], ys: list[float], outside: list[tuple[int, int]] = ()) -> Plan:
    inside = np.ones((len(xs) - 1, len(ys) - 1), dtype=bool)
    for cell in outside:
        inside[cell] = False
    return Plan(np.array(xs), np.array(ys), inside)


def _level(cells: np.ndarray, height: float, *, up: bool) -> np.ndarray:
    """Horizontal quads (N, 4, 3) over cells, facing up or down."""
    low, high = cells[:, 0], cells[:, 1]
    corners = [low, np.stack([high[:, 0], low[:, 1]], 1), high, np.stack([low[:, 0], high[:, 1]], 1)]
    quads = np.stack([np.concatenate([c, np.full((len(c), 1), height)], axis=1) for c in corners], axis=1)
    return quads if up else quads[:, ::-1]


def _upright(segments: np.ndarray, low: float, high: float) -> np.ndarray:
    """Vertical quads (M, 4, 3) over segments; they face the segments' left."""
    start, end = segments[:, 0], segments[:, 1]
    levels = [(end, low), (start, low), (start, high), (end, high)]
    return np.stack([np.concatenate([p, np.full((len(p), 1), z)], axis=1) for p, z in levels], axis=1)


def _shell(plan: Plan) -> list[Surface]:
    """Wall, floor and ceiling of a plan."""
    cells = plan.cells()
    return [
        Surface("ceiling", "ceiling_1", _level(cells, HEIGHT, up=False)),
        Surface("floor", "floor_1", _level(cells, 0.0, up=True)),
        Surface("wall", "wall_1", _upright(plan.borders(), 0.0, HEIGHT)),
    ]


def _block(name: str, material: str, low: np.ndarray, high: np.ndarray) -> Surface:
    """A box that stands in the room (five sides; the lowest one is never seen)."""
    plan = _plan([low[0], high[0]], [low[1], high[1]])
    sides = _upright(plan.borders()[:, ::-1], low[2], high[2])
    return Surface(name, material, np.concatenate([sides, _level(plan.cells(), high[2], up=True)]))


def box_room(rng: np.random.Generator) -> list[Surface]:
    """Four walls."""
    return _shell(_plan([-HALF, HALF], [-HALF, HALF]))


def l_room(rng: np.random.Generator) -> list[Surface]:
    """One corner cut off by a rectangle."""
    cut_x, cut_y = rng.uniform(2.5, 4.0, size=2)
    xs, ys = [-HALF, HALF - cut_x, HALF], [-HALF, HALF - cut_y, HALF]
    return _shell(_turned(_plan(xs, ys, [(1, 1)]), rng))


def alcove_room(rng: np.random.Generator) -> list[Surface]:
    """Two corners cut off on one side, so that an alcove is left between them."""
    depth, left, right = rng.uniform(1.5, 3.0), rng.uniform(-3.0, -1.2), rng.uniform(1.2, 3.0)
    plan = _plan([-HALF, left, right, HALF], [-HALF, HALF - depth, HALF], [(0, 1), (2, 1)])
    return _shell(_turned(plan, rng))


def pillar_room(rng: np.random.Generator) -> list[Surface]:
    """A square pillar from floor to ceiling, off the middle."""
    width, angle, radius = rng.uniform(0.5, 1.0), rng.uniform(0, 2 * np.pi), rng.uniform(4.2, 4.8)
    center = radius * np.array([np.cos(angle), np.sin(angle)])
    low, high = center - width / 2, center + width / 2
    pillar = _block("pillar", "pillar_1", np.array([*low, 0.0]), np.array([*high, HEIGHT]))
    return [*box_room(rng), pillar]


def partition_room(rng: np.random.Generator) -> list[Surface]:
    """A free-standing partition of half height along one side."""
    length, height, y = rng.uniform(3.0, 6.0), rng.uniform(1.2, 3.0), rng.uniform(3.6, 5.0)
    x = rng.uniform(-HALF + 0.5, HALF - 0.5 - length)
    sign = rng.choice([-1.0, 1.0])
    low, high = sorted((sign * y, sign * (y + 0.2)))
    partition = _block(
        "partition", "partition_1", np.array([x, low, 0.0]), np.array([x + length, high, height])
    )
    return [*box_room(rng), partition]


def podium_room(rng: np.random.Generator) -> list[Surface]:
    """A raised floor along one side; its riser is neither wall nor floor."""
    depth, height = rng.uniform(1.5, 3.0), rng.uniform(0.2, 0.6)
    plan = _plan([-HALF, HALF], [-HALF, HALF - depth, HALF])
    ceiling, _, wall = _shell(plan)
    low, high = plan.cells()
    floor = np.concatenate([_level(low[None], 0.0, up=True), _level(high[None], height, up=True)])
    edge = np.array([[[HALF, HALF - depth], [-HALF, HALF - depth]]])
    return [
        ceiling,
        Surface("floor", "floor_1", floor),
        Surface("riser", "riser_1", _upright(edge, 0.0, height)),
        wall,
    ]


def _turned(plan: Plan, rng: np.random.Generator) -> Plan:
    """The plan turned by a random number of quarter turns."""
    for _ in range(int(rng.integers(4))):
        plan = Plan(-plan.ys[::-1], plan.xs, plan.inside[:, ::-1].T)
    return plan


MAKERS: tuple[Callable[[np.random.Generator], list[Surface]], ...] = (
    box_room, l_room, pillar_room, alcove_room, partition_room, podium_room,
)  # fmt: skip


def make_room(index: int, rng: np.random.Generator) -> list[Surface]:
    """Room number `index`: the shapes take turns, `rng` decides the measures."""
    return MAKERS[index % len(MAKERS)](rng)


def to_scene(surfaces: list[Surface], texture_size: float) -> trimesh.Scene:
    """A scene with one mesh an object, box-projected texture coordinates and y up, as glTF wants it."""
    scene = trimesh.Scene()
    for surface in surfaces:
        corners = surface.quads.reshape(-1, 3)
        sides = surface.quads[:, 1] - surface.quads[:, 0], surface.quads[:, 3] - surface.quads[:, 0]
        axis = np.repeat(np.abs(np.cross(*sides)).argmax(axis=1), 4)
        across_up = np.array([[1, 2], [0, 2], [0, 1]])[axis]
        uv = np.take_along_axis(corners, across_up, axis=1) / texture_size
        first = 4 * np.arange(len(surface.quads))[:, None, None]
        faces = (first + np.array([[0, 1, 2], [0, 2, 3]])).reshape(-1, 3)
        material = trimesh.visual.material.PBRMaterial(
            name=surface.material,
            baseColorFactor=[200, 200, 200, 255],
            roughnessFactor=1.0,
            metallicFactor=0.0,
        )
        mesh = trimesh.Trimesh(
            vertices=np.stack([corners[:, 0], corners[:, 2], -corners[:, 1]], axis=1),
            faces=faces,
            visual=trimesh.visual.TextureVisuals(uv=uv, material=material),
            process=False,
        )
        scene.add_geometry(mesh, node_name=surface.name, geom_name=surface.name)
    return scene


def write_room(path: str, index: int, rng: np.random.Generator) -> None:
    """Make room `index` and write it as GLB."""
    surfaces = make_room(index, rng)
    scene = to_scene(surfaces, texture_size=float(rng.uniform(*TEXTURE_SIZE)))
    with open(path, "wb") as stream:
        stream.write(scene.export(file_type="glb"))
