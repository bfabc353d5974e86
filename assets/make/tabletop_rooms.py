"""Rooms and textures of assets/tabletop: none of them is seen by a pre-training render.

Every room is an octagon with a panelled base: four oblique walls, which no room of
experiments/solid/rooms/procedural.py has. Every texture is drawn here by NumPy; assets/textures is not used.
The result is a folder in SceneNet's form (models/NNN.glb, textures/<material>/); the stage `rooms` reads it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from experiments.solid.rooms.procedural import Surface, to_scene
from suite.seeds import item_rng

ROOM_STREAM, TEXTURE_STREAM = "tabletop.room", "tabletop.texture"
HALF, HEIGHT = 6.0, 6.0  # rescaled by the stage `rooms` to the footprint and height of the settings
CUT = (1.5, 3.5)  # how much of each side a corner loses
PANEL_HEIGHT = (0.7, 1.6)
TEXTURE_LENGTH = (1.5, 3.0)  # what one repeat of a texture covers
SIDE = 256  # pixels of a texture

Color = tuple[float, float, float]


def octagon_room(rng: np.random.Generator) -> list[Surface]:
    """Floor, ceiling, wall and panelled base of a square room without corners."""
    cut = rng.uniform(*CUT, size=4)
    top = float(rng.uniform(*PANEL_HEIGHT))
    ring = np.array(
        [
            [-HALF + cut[0], -HALF], [HALF - cut[1], -HALF], [HALF, -HALF + cut[1]], [HALF, HALF - cut[2]],
            [HALF - cut[2], HALF], [-HALF + cut[3], HALF], [-HALF, HALF - cut[3]], [-HALF, -HALF + cut[0]],
        ]
    )  # fmt: skip
    # The convex octagon as three quads.
    cells = ring[np.array([[0, 1, 2, 3], [0, 3, 4, 7], [4, 5, 6, 7]])]
    return [
        Surface("ceiling", "ceiling_1", _level(cells, HEIGHT)[:, ::-1]),
        Surface("floor", "floor_1", _level(cells, 0.0)),
        Surface("wall", "wall_1", _upright(ring, top, HEIGHT)),
        Surface("wall2", "panel_1", _upright(ring, 0.0, top)),
    ]


def _level(cells: np.ndarray, height: float) -> np.ndarray:
    """(Q, 4, 3) from corners (Q, 4, 2), facing up."""
    return np.concatenate([cells, np.full((*cells.shape[:2], 1), height)], axis=2)


def _upright(ring: np.ndarray, low: float, high: float) -> np.ndarray:
    """Quads (M, 4, 3) over the sides of a counter-clockwise ring (M, 2); they face inwards."""
    start, end = ring, np.roll(ring, -1, axis=0)
    corners = [(end, low), (start, low), (start, high), (end, high)]
    return np.stack([np.concatenate([p, np.full((len(p), 1), z)], axis=1) for p, z in corners], axis=1)


def noise(rng: np.random.Generator, exponent: float) -> np.ndarray:
    """Tileable noise (SIDE, SIDE) of mean 0 and standard deviation 1 with a power-law amplitude spectrum."""
    frequency = np.hypot(*np.meshgrid(*[np.fft.fftfreq(SIDE) * SIDE] * 2))
    spectrum = np.fft.fft2(rng.standard_normal((SIDE, SIDE)))
    spectrum = np.where(frequency > 0, spectrum / np.maximum(frequency, 1) ** exponent, 0)
    field = np.fft.ifft2(spectrum).real
    return field / field.std()


def plaster(rng: np.random.Generator, color: Color, _: Color) -> np.ndarray:
    """One tint, faintly clouded and grained."""
    shade = 0.04 * noise(rng, 1.2) + 0.015 * noise(rng, 0.0)
    return np.array(color) + shade[..., None]


def stripes(rng: np.random.Generator, color: Color, other: Color) -> np.ndarray:
    """Upright bands of two tints."""
    columns = (np.arange(SIDE) * 8 // SIDE) % 2 == 0
    picture = np.where(columns[None, :, None], color, other)
    return picture + 0.02 * noise(rng, 0.5)[..., None]


def tiles(rng: np.random.Generator, color: Color, other: Color) -> np.ndarray:
    """Square tiles, each of its own shade, with joints."""
    count = 4
    cell = SIDE // count
    shade = np.kron(rng.normal(0, 0.06, (count, count)), np.ones((cell, cell)))
    picture = np.array(color) + shade[..., None] + 0.02 * noise(rng, 0.8)[..., None]
    joint = np.arange(SIDE) % cell < 3
    return np.where((joint[:, None] | joint[None, :])[..., None], other, picture)


def checks(rng: np.random.Generator, color: Color, other: Color) -> np.ndarray:
    """Squares of two tints by turns."""
    square = np.arange(SIDE) * 4 // SIDE
    even = (square[:, None] + square[None, :]) % 2 == 0
    return np.where(even[..., None], color, other) + 0.02 * noise(rng, 0.8)[..., None]


def planks(rng: np.random.Generator, color: Color, other: Color) -> np.ndarray:
    """Boards with grain and dark joints."""
    count = 8
    board = np.arange(SIDE) * count // SIDE
    shade = rng.normal(0, 0.07, count)[board]
    grain = np.repeat(noise(rng, 0.9)[:, ::8], 8, axis=1)
    picture = np.array(color) + (shade[:, None] + 0.045 * grain)[..., None]
    return np.where((np.arange(SIDE) % (SIDE // count) < 2)[:, None, None], other, picture)


def terrazzo(rng: np.random.Generator, color: Color, other: Color) -> np.ndarray:
    """Chips of stone in a ground: level sets of two noises."""
    chips = noise(rng, 1.0) > 1.1
    more = noise(rng, 1.0) > 1.3
    picture = np.where(chips[..., None], other, np.broadcast_to(color, (SIDE, SIDE, 3)))
    return np.where(more[..., None], np.array(other) * 0.55, picture) + 0.01 * noise(rng, 0.0)[..., None]


def carpet(rng: np.random.Generator, color: Color, other: Color) -> np.ndarray:
    """Woven lozenges."""
    y, x = np.mgrid[:SIDE, :SIDE] * 4 / SIDE
    wave = np.abs((x + y) % 1 - 0.5) + np.abs((x - y) % 1 - 0.5)
    picture = np.where((wave > 0.5)[..., None], color, other)
    return picture + 0.05 * noise(rng, 0.1)[..., None]


# material -> (kind, look, colour, second colour); the kind is the word of the captions. sRGB, 0..1.
TEXTURES: dict[str, tuple[tuple[str, Callable[..., np.ndarray], Color, Color], ...]] = {
    "wall": (
        ("blue", plaster, (0.55, 0.64, 0.72), (0, 0, 0)),
        ("sand", plaster, (0.80, 0.73, 0.60), (0, 0, 0)),
        ("sage", plaster, (0.62, 0.68, 0.56), (0, 0, 0)),
        ("striped", stripes, (0.78, 0.76, 0.70), (0.62, 0.55, 0.55)),
        ("lined", stripes, (0.70, 0.74, 0.78), (0.83, 0.84, 0.84)),
        ("tiled", tiles, (0.74, 0.78, 0.76), (0.9, 0.9, 0.88)),
    ),
    "panel": (
        ("walnut", planks, (0.38, 0.27, 0.20), (0.16, 0.11, 0.08)),
        ("white", tiles, (0.84, 0.84, 0.82), (0.5, 0.5, 0.5)),
        ("slate", plaster, (0.36, 0.39, 0.42), (0, 0, 0)),
        ("cream", planks, (0.80, 0.76, 0.66), (0.5, 0.46, 0.38)),
    ),
    "floor": (
        ("wooden", planks, (0.58, 0.42, 0.28), (0.25, 0.17, 0.11)),
        ("wooden", planks, (0.44, 0.34, 0.28), (0.2, 0.15, 0.12)),
        ("tiled", tiles, (0.60, 0.58, 0.54), (0.35, 0.34, 0.33)),
        ("tiled", tiles, (0.68, 0.50, 0.42), (0.82, 0.78, 0.72)),
        ("checked", checks, (0.72, 0.70, 0.66), (0.34, 0.36, 0.38)),
        ("checked", checks, (0.62, 0.66, 0.60), (0.80, 0.78, 0.70)),
        ("terrazzo", terrazzo, (0.74, 0.72, 0.69), (0.55, 0.45, 0.40)),
        ("terrazzo", terrazzo, (0.42, 0.44, 0.46), (0.70, 0.68, 0.64)),
        ("carpeted", carpet, (0.45, 0.34, 0.40), (0.56, 0.46, 0.48)),
        ("carpeted", carpet, (0.36, 0.42, 0.50), (0.46, 0.50, 0.54)),
    ),
    "ceiling": (
        ("plain", plaster, (0.86, 0.86, 0.84), (0, 0, 0)),
        ("warm", plaster, (0.88, 0.84, 0.76), (0, 0, 0)),
    ),
    # No room has such a material; the rule of the stage `rooms` wants the folder.
    "unknown": (("grey", plaster, (0.5, 0.5, 0.5), (0, 0, 0)),),
}


def draw_textures(seed: int) -> dict[str, np.ndarray]:
    """Every texture as (SIDE, SIDE, 3) uint8, by path below the folder of textures."""
    drawn, number = {}, 0
    for material, rows in TEXTURES.items():
        for kind, look, color, other in rows:
            picture = look(item_rng(seed, TEXTURE_STREAM, number), color, other)
            drawn[f"{material}/{kind}_{number:02d}.png"] = np.round(255 * np.clip(picture, 0, 1)).astype(
                np.uint8
            )
            number += 1
    return drawn


def floor_kind(texture: str) -> str:
    """The caption's word for a floor texture's path, e.g. "wooden"."""
    return Path(texture).stem.rpartition("_")[0]


def write_rooms(folder: Path, *, num_rooms: int, seed: int) -> None:
    """Write models/NNN.glb and textures/<material>/*.png."""
    for name, picture in draw_textures(seed).items():
        path = folder / "textures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture, "RGB").save(path)
    (folder / "models").mkdir(exist_ok=True)
    for index in range(num_rooms):
        rng = item_rng(seed, ROOM_STREAM, index)
        scene = to_scene(octagon_room(rng), texture_size=float(rng.uniform(*TEXTURE_LENGTH)))
        (folder / "models" / f"{index:03d}.glb").write_bytes(scene.export(file_type="glb"))
