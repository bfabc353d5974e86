"""Scenes of the text-to-image corpus: one large thing in a plain room. Drawn by NumPy, no Blender here.

A scene is a function of (seed, index): its random branch is "t2i.scene", that of a thing's shape
"t2i.<class>". Lengths are in units of the thing's longest side; it stands on z = 0 above the origin, the
camera looks along +y.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from assets.make import t2i_corpus_others as others
from assets.make import t2i_corpus_things as things
from assets.make.sample_synthesis_shapes import Color, turn
from assets.make.t2i_corpus_parts import Part, corners, standing
from assets.make.t2i_corpus_words import COLORS, caption, draw_color, linear, phrase, shade_of
from suite.seeds import item_rng

SCENE_STREAM, SHAPE_STREAM, SPLIT_STREAM = "t2i.scene", "t2i.{}", "t2i.split"
SIDE = 64  # pixels
TABLETOP = ("barrel", "bottle", "bread", "carton", "chair", "cone", "lemon", "mug", "potion", "tree")
OTHERS = ("can", "vase", "bowl", "table", "stool", "lamp", "football", "medkit")
CLASSES = tuple(sorted(TABLETOP + OTHERS))
VARIANTS = 24  # shapes of a class
OTHERS_EVERY = 5  # one scene in five shows a thing that tabletop has not
VAL_SHARE, COMPANION_SHARE = 0.05, 0.08
HEADINGS = {"mug": (-3.5, 0.36)}  # radians
FOV = 0.6  # radians
FILLS = (0.72, 0.92)  # share of the picture's side that the thing's larger side takes
FILLS_WITH_COMPANION = (0.84, 0.94)  # the two together

# Floors and walls: adjective of the caption, pictures of assets/textures.
FLOORS = {
    "wooden": ("floor/dark_wood.jpg", "floor/light_wood.jpg", "floor/wood_planks_1.jpg",
               "floor/wood_tiles.jpg", "floor/wood_varnished_panels.jpg"),
    "tiled": ("floor/concrete_tiles_1.jpg", "floor/floor_tiles_white.jpg", "floor/light_gray_floor_tile.jpg"),
    "carpeted": ("floor/gray_felt.jpg",),
    "marble": ("unknown/marble_1.jpg",),
}  # fmt: skip
WALLS = {
    "brick": ("wall/brick_wall_1.jpg", "wall/white_bricks.jpg"),
    "plaster": ("wall/cream_plaster.jpg", "wall/gray_plaster.jpg", "wall/yellow_plaster.jpg"),
}
PLAIN_FLOORS = ("white", "grey", "brown", "blue", "green", "red", "black")
PLAIN_WALLS = ("white", "grey", "blue", "yellow", "green", "red")


@dataclass(frozen=True)
class Surface:
    """A floor or a wall: a picture times a colour, squares of two colours, or one colour."""

    word: str  # of the caption
    color: Color
    texture: str | None = None  # below assets/textures
    other: Color | None = None  # the second colour of squares
    repeat: float = 1.0  # length of one picture, or of two squares
    turned: float = 0.0  # radians


@dataclass(frozen=True)
class Placed:
    """A thing in the scene."""

    word: str
    variant: int
    tint: Color
    place: tuple[float, float]
    heading: float
    scale: float


@dataclass(frozen=True)
class Light:
    """A square lamp that looks at the thing."""

    place: tuple[float, float, float]
    size: float
    energy: float
    color: Color


@dataclass(frozen=True)
class Scene:
    """All that a picture depends on."""

    index: int
    word: str
    caption: str
    split: str
    things: tuple[Placed, ...]
    floor: Surface
    wall: Surface
    wall_distance: float
    wall_turned: float
    eye: tuple[float, float, float]
    target: tuple[float, float, float]
    roll: float
    shift: tuple[float, float]  # of the lens, in shares of the picture
    light: Light
    sky: float
    cycles_seed: int


def builder(word: str) -> Callable[[np.random.Generator], list[Part]]:
    """The function that makes a variant of a class."""
    if word in TABLETOP:
        return getattr(things, word)
    if word in others.MESHES:
        return lambda _: others.mesh(others.MESHES[word])
    return getattr(others, word)


@cache
def model(seed: int, word: str, variant: int) -> tuple[tuple[Part, ...], np.ndarray]:
    """The parts of one variant and its corners (V, 3), longest side 1, standing on the origin."""
    parts = standing(builder(word)(item_rng(seed, SHAPE_STREAM.format(word), variant)))
    return tuple(parts), corners(parts)


def word_of(index: int) -> str | None:
    """The class of a scene, by turns over those of tabletop; None where another thing is drawn."""
    if index % OTHERS_EVERY == OTHERS_EVERY - 1:
        return None
    return TABLETOP[(index - index // OTHERS_EVERY) % len(TABLETOP)]


def compose(seed: int, index: int) -> Scene:
    """The scene of one picture."""
    rng = item_rng(seed, SCENE_STREAM, index)
    word = word_of(index) or OTHERS[int(rng.integers(len(OTHERS)))]
    color, tint = draw_color(rng, word)
    main = Placed(word, int(rng.integers(VARIANTS)), tint, (0.0, 0.0), _heading(rng, word), 1.0)
    placed, beside = [main], ""
    if rng.random() < COMPANION_SHARE:
        second, named = _companion(rng, seed, main)
        placed.append(second)
        beside = named
    floor, wall = _floor(rng), _wall(rng)
    elevation = np.radians(rng.triangular(8, 22, 42))
    points = [placed_corners(seed, thing) for thing in placed]
    eye, target, shift = _frame(rng, points, elevation)
    split = "val" if item_rng(seed, SPLIT_STREAM, index).random() < VAL_SHARE else "train"
    text = caption(rng, word=word, color=color, floor=floor.word, wall=wall.word, companion=beside)
    return Scene(
        index=index, word=word, caption=text, split=split, things=tuple(placed), floor=floor, wall=wall,
        wall_distance=float(rng.uniform(1.2, 2.6)), wall_turned=float(rng.uniform(-0.45, 0.45)),
        eye=eye, target=target, roll=float(rng.normal(0, 0.05) if rng.random() < 0.4 else 0.0), shift=shift,
        light=_light(rng), sky=float(rng.uniform(0.45, 0.8)), cycles_seed=int(rng.integers(2**31)),
    )  # fmt: skip


def compose_alone(rng: np.random.Generator, seed: int, word: str, *, index: int, variant: int) -> Scene:
    """One thing of a class without company, as `compose` shows them; for pictures other than the corpus'.

    seed, variant: of the thing's shape. The floor and the wall give back light, whether they show or not.
    """
    _, tint = draw_color(rng, word)
    thing = Placed(word, variant, tint, (0.0, 0.0), _heading(rng, word), 1.0)
    elevation = np.radians(rng.triangular(8, 22, 42))
    eye, target, shift = _frame(rng, [placed_corners(seed, thing)], elevation)
    return Scene(
        index=index, word=word, caption="", split="", things=(thing,), floor=_floor(rng), wall=_wall(rng),
        wall_distance=float(rng.uniform(1.2, 2.6)), wall_turned=float(rng.uniform(-0.45, 0.45)),
        eye=eye, target=target, roll=float(rng.normal(0, 0.05)), shift=shift, light=_light(rng),
        sky=float(rng.uniform(0.45, 0.8)), cycles_seed=int(rng.integers(2**31)),
    )  # fmt: skip


def _heading(rng: np.random.Generator, word: str) -> float:
    """Any way round; a mug not with its handle behind it."""
    if word in HEADINGS:
        return float(rng.uniform(*HEADINGS[word]))
    return float(rng.uniform(0, 2 * np.pi))


def placed_corners(seed: int, thing: Placed) -> np.ndarray:
    """Corners (V, 3) of a thing where it stands."""
    points = model(seed, thing.word, thing.variant)[1]
    return points @ turn("z", thing.heading).T * thing.scale + (*thing.place, 0.0)


def _companion(rng: np.random.Generator, seed: int, main: Placed) -> tuple[Placed, str]:
    """A smaller thing of another class beside the main one, and its words."""
    words = [word for word in TABLETOP + OTHERS if word != main.word]
    word = words[int(rng.integers(len(words)))]
    color, tint = draw_color(rng, word)
    heading, scale = _heading(rng, word), float(rng.uniform(0.5, 0.7))
    alone = Placed(word, int(rng.integers(VARIANTS)), tint, (0.0, 0.0), heading, scale)
    side = 1 if rng.random() < 0.5 else -1
    reach = np.abs(placed_corners(seed, main)[:, 0]).max() + np.abs(placed_corners(seed, alone)[:, 0]).max()
    place = (float(side * (reach + rng.uniform(0.03, 0.1))), float(rng.uniform(-0.1, 0.3)))
    named = phrase(word, color if rng.random() < 0.7 else "")
    return Placed(word, alone.variant, tint, place, heading, scale), named


def _frame(rng: np.random.Generator, points: list[np.ndarray], elevation: float) -> tuple:
    """Eye, target and lens shift, so that the things take the share of the picture that was drawn."""
    everything = np.concatenate(points)
    low, high = everything.min(axis=0), everything.max(axis=0)
    target = (low + high) / 2
    share = rng.uniform(*(FILLS if len(points) == 1 else FILLS_WITH_COMPANION))
    back = np.array([0.0, -np.cos(elevation), np.sin(elevation)])
    near, far = 0.8, 12.0
    for _ in range(30):
        distance = (near + far) / 2
        box = _box(everything, target + distance * back, target)
        near, far = (distance, far) if max(box[2] - box[0], box[3] - box[1]) > share else (near, distance)
    eye = target + far * back
    x1, y1, x2, y2 = _box(everything, eye, target)
    room = np.maximum(0, 0.96 - np.array([x2 - x1, y2 - y1])) / 2
    wanted = rng.uniform(-0.6, 0.6, 2) * room
    shift = np.array([x1 + x2, y1 + y2]) / 2 - wanted
    return tuple(eye.tolist()), tuple(target.tolist()), tuple(shift.tolist())


def _box(points: np.ndarray, eye: np.ndarray, target: np.ndarray) -> tuple[float, float, float, float]:
    """Extent x1, y1, x2, y2 in shares of the picture's side from its middle, y up."""
    ahead = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(ahead, (0, 0, 1))
    right /= np.linalg.norm(right)
    up = np.cross(right, ahead)
    seen = points - eye
    depth = np.maximum(seen @ ahead, 1e-3) * 2 * np.tan(FOV / 2)
    x, y = seen @ right / depth, seen @ up / depth
    return float(x.min()), float(y.min()), float(x.max()), float(y.max())


def _floor(rng: np.random.Generator) -> Surface:
    kind, turned = rng.random(), float(rng.uniform(0, np.pi))
    if kind < 0.4:
        word = PLAIN_FLOORS[int(rng.integers(len(PLAIN_FLOORS)))]
        return Surface(word, _muted(rng, word))
    if kind < 0.55:
        light, dark = rng.uniform(0.6, 0.85), rng.uniform(0.2, 0.42)
        tinge = rng.normal(0, 0.03, 3)
        pair = [linear(np.clip(value + tinge, 0.02, 0.95)) for value in (light, dark)]
        return Surface("checked", pair[0], other=pair[1], repeat=float(rng.uniform(0.5, 1.0)), turned=turned)
    return _pictured(rng, FLOORS, turned)


def _wall(rng: np.random.Generator) -> Surface:
    if rng.random() < 0.75:
        word = PLAIN_WALLS[int(rng.integers(len(PLAIN_WALLS)))]
        return Surface(word, _muted(rng, word))
    return _pictured(rng, WALLS, 0.0)


def _muted(rng: np.random.Generator, word: str) -> Color:
    """A shade of a wall or floor: closer to grey than that of a thing, so that things stand out."""
    if word in ("white", "grey", "black"):
        return tuple(0.9 * value for value in shade_of(rng, word))
    middle = np.array(COLORS[word]) / 255
    return linear(np.clip(0.42 * middle + 0.58 * rng.uniform(0.5, 0.7) + rng.normal(0, 0.02, 3), 0, 1))


def _pictured(rng: np.random.Generator, kinds: dict[str, tuple[str, ...]], turned: float) -> Surface:
    words = list(kinds)
    word = words[int(rng.integers(len(words)))]
    texture = kinds[word][int(rng.integers(len(kinds[word])))]
    bright = float(rng.uniform(0.75, 1.0))
    return Surface(word, (bright,) * 3, texture, repeat=float(rng.uniform(0.8, 1.6)), turned=turned)


def _light(rng: np.random.Generator) -> Light:
    azimuth, height = rng.uniform(-1.2, 1.2), np.radians(rng.uniform(32, 68))
    away = 3.2
    place = (
        float(away * np.sin(azimuth) * np.cos(height)), float(-away * np.cos(azimuth) * np.cos(height)),
        float(away * np.sin(height)),
    )  # fmt: skip
    warm = rng.normal(0, 0.05)
    return Light(place, float(rng.uniform(0.6, 2.2)), float(rng.uniform(85, 150)), (1 + warm, 1.0, 1 - warm))
