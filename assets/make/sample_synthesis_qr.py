"""Scenes of assets/sample_synthesis/qr_photos: sheets with codes on walls, tables, floors and boxes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from assets.make.sample_synthesis_codes import unpack
from assets.make.sample_synthesis_plan import SEED, SETS, stream
from assets.make.sample_synthesis_rooms import (
    LARGE,
    SMALL,
    Clutter,
    RoomSize,
    crate_look,
    draw_lamps,
    draw_room,
    draw_table,
)
from assets.make.sample_synthesis_scene import (
    Eye,
    Film,
    NoPlace,
    Scene,
    Thing,
    Wanted,
    extent,
    focal_pixels,
)
from assets.make.sample_synthesis_shapes import Look, box, quad, turn
from assets.make.sample_synthesis_sheets import Sheet, draw_poster, draw_sheet
from suite.seeds import item_rng

RESOLUTION = SETS["qr_photos"].resolution
SAMPLES = 8
FAR_PIXELS = (17.0, 80.0)  # of the first code's symbol, seen from its front: a far one ...
NEAR_MODULE, NEAR_PIXELS, NEAR_SHARE = (2.8, 5.0), 150.0, 0.7  # ... or one that is near enough to be read
MAX_BLUR = (0.04, 2.5)  # of focus: of the symbol's side, and pixels
MIN_SIDE = 12.0  # of a box's shorter side, pixels
SIDES = {"wall": (0.1, 0.5), "table": (0.04, 0.16), "floor": (0.08, 0.3), "box": (0.06, 0.22)}  # metres
WALL_GAP = 0.004
SENSOR = 0.036  # width of Blender's sensor, metres


@dataclass(frozen=True, eq=False)
class Carrier:
    """A surface that carries sheets."""

    kind: str
    origin: np.ndarray  # where the first sheet's symbol is
    frame: np.ndarray  # columns right, up, normal
    things: tuple[Thing, ...]
    level: float  # height of what stands beside the sheet


def compose_qr(split: str, index: int, attempt: int, codes: list[dict[str, Any]]) -> Scene:
    """One attempt at a scene with these codes. Raises NoPlace."""
    rng = item_rng(SEED, stream("qr_photos", split), index, attempt)
    kind = str(rng.choice(list(SIDES), p=(0.36, 0.24, 0.12, 0.28)))
    room, walls = draw_room(rng, split)
    side = float(np.exp(rng.uniform(*np.log(SIDES[kind]))))
    sheets = [draw_sheet(rng, unpack(code), side * (1 if k == 0 else float(rng.uniform(0.7, 1.3))))
              for k, code in enumerate(codes)]  # fmt: skip
    carrier = _CARRIERS[kind](rng, split, room, sheets[0])
    eye, width = _draw_eye(rng, room, carrier, side, codes[0]["version"])
    printed, wanted = _print(rng, carrier, sheets, codes, eye)
    posters = _draw_posters(rng, carrier, printed, width)
    clutter = _draw_clutter(rng, room, carrier, sheets, eye, width)
    lamps, bars = draw_lamps(rng, room, carrier.origin, carrier.frame[:, 2])
    return Scene(
        resolution=RESOLUTION, things=(walls, *carrier.things, *printed, *posters, *bars),
        models=tuple(clutter.models), lamps=tuple(lamps), sky=(0.02, 0.02, 0.02), eye=eye,
        film=_draw_film(rng), wanted=tuple(wanted), samples=SAMPLES, cycles_seed=int(rng.integers(1 << 30)),
    )  # fmt: skip


def _upright(normal: np.ndarray) -> np.ndarray:
    """Columns right, up, normal of a surface that stands upright."""
    up = np.array([0.0, 0.0, 1.0])
    return np.stack([np.cross(up, normal), up, normal], axis=1)


def _wall(rng: np.random.Generator, split: str, room: RoomSize, sheet: Sheet) -> Carrier:
    x = float(rng.uniform(-0.5, 0.5)) * (room.width - 1.5)
    z = float(rng.uniform(0.7, room.height - 0.6))
    origin = np.array([x, room.depth / 2 - WALL_GAP, z])
    things: tuple[Thing, ...] = ()
    level = 0.0
    if rng.random() < 0.5:  # a table against the wall
        level = float(rng.uniform(0.3, max(0.31, min(0.8, z - sheet.height / 2 - 0.05))))
        center = np.array([x + float(rng.uniform(-0.4, 0.4)), room.depth / 2 - 0.3])
        things = (draw_table(rng, split, center, (float(rng.uniform(0.7, 1.5)), 0.5), level),)
    return Carrier("wall", origin, _upright(np.array([0.0, -1.0, 0.0])), things, level)


def _level_frame(rng: np.random.Generator) -> np.ndarray:
    return turn("z", float(rng.uniform(-np.pi, np.pi)))


def _table(rng: np.random.Generator, split: str, room: RoomSize, sheet: Sheet) -> Carrier:
    height = float(rng.uniform(0.45, 0.85))
    center = rng.uniform(-0.25, 0.25, 2) * (room.width, room.depth)
    table = draw_table(rng, split, center, tuple(rng.uniform((0.8, 0.6), (1.6, 1.0)).tolist()), height)
    origin = np.array([*(center + rng.uniform(-0.15, 0.15, 2)), height + 0.001])
    return Carrier("table", origin, _level_frame(rng), (table,), height)


def _floor(rng: np.random.Generator, split: str, room: RoomSize, sheet: Sheet) -> Carrier:
    center = rng.uniform(-0.3, 0.3, 2) * (room.width, room.depth)
    return Carrier("floor", np.array([*center, 0.001]), _level_frame(rng), (), 0.0)


def _box(rng: np.random.Generator, split: str, room: RoomSize, sheet: Sheet) -> Carrier:
    width, height = sheet.width * float(rng.uniform(1.1, 1.9)), sheet.height * float(rng.uniform(1.1, 1.7))
    depth = width * float(rng.uniform(0.4, 1.1))
    center, level, things = rng.uniform(-0.25, 0.25, 2) * (room.width, room.depth), 0.0, []
    if rng.random() < 0.6:
        level = float(rng.uniform(0.45, 0.8))
        things.append(
            draw_table(rng, split, center, tuple(rng.uniform((0.9, 0.7), (1.6, 1.0)).tolist()), level)
        )
    heading = turn("z", float(rng.uniform(-np.pi, np.pi)))
    middle = np.array([*center, level + height / 2 + 0.001])
    things.append(Thing((box((width, depth, height), crate_look(rng, split)).moved(heading, middle),)))
    normal = heading @ (0.0, -1.0, 0.0)
    frame = _upright(normal)
    room_left = np.array([width - sheet.width, height - sheet.height]) / 2
    shift = rng.uniform(-0.8, 0.8, 2) * room_left
    origin = middle + normal * (depth / 2 + 0.001) + frame[:, 0] * shift[0] + frame[:, 1] * shift[1]
    return Carrier("box", origin, frame, tuple(things), level)


_CARRIERS = {"wall": _wall, "table": _table, "floor": _floor, "box": _box}


def _draw_eye(
    rng: np.random.Generator, room: RoomSize, carrier: Carrier, side: float, version: int
) -> tuple[Eye, float]:
    """A camera that shows the first code at a wanted size and place, and how many metres its picture is wide
    there. Raises NoPlace.
    """
    fov = float(rng.uniform(0.75, 1.1))
    focal = focal_pixels(fov, RESOLUTION)
    pixels = float(np.exp(rng.uniform(*np.log(FAR_PIXELS))))
    if rng.random() < NEAR_SHARE:
        pixels = min(NEAR_PIXELS, (17 + 4 * version) * float(rng.uniform(*NEAR_MODULE)))
    distance = focal * side / pixels
    if carrier.kind in ("wall", "box"):
        azimuth = float(rng.uniform(-0.85, 0.85))
        elevation = float(rng.uniform(-0.3, 0.5)) if carrier.kind == "wall" else float(rng.uniform(0.0, 0.65))
    else:  # seen from above, steeply or not
        azimuth, elevation = float(rng.uniform(-np.pi, np.pi)), float(rng.uniform(0.55, 1.4))
    if carrier.kind in ("wall", "box"):
        local = (np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation))
    else:
        local = (np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation))
    place = carrier.origin + distance * (carrier.frame @ local)
    if not room.holds(place) or distance < 0.12:
        raise NoPlace("no room for the camera")
    roll = float(rng.normal(0, 0.08))
    eye = Eye(tuple(place.tolist()), tuple(carrier.origin.tolist()), roll, fov)
    margin = min(0.6 * pixels, 80.0)
    at = rng.uniform((margin, margin), (RESOLUTION[0] - margin, RESOLUTION[1] - margin))
    across, down = (at - np.array(RESOLUTION) / 2) * distance / focal
    target = carrier.origin - eye.rotation[:, 0] * across + eye.rotation[:, 1] * down
    focus, aperture = _draw_focus(rng, distance, focal, pixels)
    eye = Eye(eye.place, tuple(target.tolist()), roll, fov, focus, aperture)
    return eye, distance * RESOLUTION[0] / focal


def _draw_focus(
    rng: np.random.Generator, distance: float, focal: float, pixels: float
) -> tuple[float | None, float]:
    """Distance that is sharp and f-number, such that the code's blur stays within MAX_BLUR."""
    if rng.random() < 0.6:
        return None, 8.0
    focus = distance * float(rng.choice((1.0, rng.uniform(0.6, 1.7))))
    aperture = float(np.exp(rng.uniform(np.log(1.4), np.log(5.6))))
    lens = focal * SENSOR / RESOLUTION[0]  # focal length in metres
    blur = focal * lens / aperture * abs(1 / focus - 1 / distance)  # diameter in pixels
    limit = min(MAX_BLUR[0] * pixels, MAX_BLUR[1])
    return focus, aperture * max(1.0, blur / limit)


def _print(
    rng: np.random.Generator, carrier: Carrier, sheets: list[Sheet], codes: list[dict[str, Any]], eye: Eye
) -> tuple[list[Thing], list[Wanted]]:
    """The sheets side by side, each a little askew. Raises NoPlace if a code is not wholly in the picture."""
    things, wanted = [], []
    edges = {-1: sheets[0].width / 2, 1: sheets[0].width / 2}
    for number, (sheet, code) in enumerate(zip(sheets, codes, strict=True), start=1):
        shift = np.zeros(2)
        if number > 1:
            direction = int(rng.choice((-1, 1)))
            gap = float(rng.uniform(0.1, 0.8)) * sheet.width
            shift = np.array([direction * (edges[direction] + gap + sheet.width / 2), 0.0])
            shift[1] = float(rng.uniform(-0.5, 0.5)) * sheet.height
            edges[direction] += gap + sheet.width
            if carrier.kind == "box":  # the next box
                things.append(_backing(carrier, sheet, shift))
        spread = 0.06 if carrier.kind in ("wall", "box") else 0.3
        frame = carrier.frame @ turn("z", float(rng.normal(0, spread)))
        origin = carrier.origin + carrier.frame[:, :2] @ shift
        paper, symbol = sheet.shapes(origin, frame)
        x1, y1, x2, y2 = extent(eye.pixels(symbol.vertices, RESOLUTION))
        if min(x1, y1) < 1 or x2 > RESOLUTION[0] - 1 or y2 > RESOLUTION[1] - 1:
            raise NoPlace("a code is cut off")
        if min(x2 - x1, y2 - y1) < MIN_SIDE:
            raise NoPlace("a code is too small")
        things += [Thing((paper,)), Thing((symbol,), mark=number)]
        note = {"payload": code["payload"], "version": code["version"], "carrier": carrier.kind}
        wanted.append(Wanted(number, symbol.vertices, note))
    return things, wanted


def _backing(carrier: Carrier, sheet: Sheet, shift: np.ndarray) -> Thing:
    """A board behind a sheet that hangs beside the box of the first one."""
    (first,) = carrier.things[-1].shapes
    board = box((sheet.width * 1.15, sheet.height * 1.15, 0.02), first.look, (0, 0, -0.0115))
    return Thing((board.moved(carrier.frame, carrier.origin + carrier.frame[:, :2] @ shift),))


def _draw_posters(
    rng: np.random.Generator, carrier: Carrier, printed: list[Thing], width: float
) -> list[Thing]:
    """Sheets without a code beside those with one, on walls, tables and floors."""
    if carrier.kind == "box":
        return []
    corners = np.concatenate([shape.vertices for thing in printed for shape in thing.shapes]) - carrier.origin
    flat = corners @ carrier.frame[:, :2]
    taken = [(flat.mean(axis=0), np.linalg.norm(np.ptp(flat, axis=0)) / 2)]
    posters = []
    for _ in range(int(rng.integers(0, 5))):
        picture = draw_poster(rng)
        size = np.array(picture.shape[1::-1]) / max(picture.shape) * width * float(rng.uniform(0.12, 0.4))
        spot, radius = rng.normal(0, 0.35, 2) * width, float(np.linalg.norm(size)) / 2
        if any(np.linalg.norm(spot - other) < radius + more for other, more in taken):
            continue
        if carrier.level > 0 and carrier.kind == "table" and np.abs(spot).max() + radius > 0.4:
            continue  # off the table
        taken.append((spot, radius))
        x, y = size / 2
        sheet = quad([(-x, -y, 0), (x, -y, 0), (x, y, 0), (-x, y, 0)], Look((1, 1, 1), 0.6, 0.0, picture))
        frame = carrier.frame @ turn("z", float(rng.normal(0, 0.05 if carrier.kind == "wall" else 0.6)))
        lift = carrier.frame @ np.array([*spot, 0.0005])
        posters.append(Thing((sheet.moved(frame, carrier.origin + lift),)))
    return posters


def _draw_clutter(
    rng: np.random.Generator, room: RoomSize, carrier: Carrier, sheets: list[Sheet], eye: Eye, width: float
) -> Clutter:
    """Small things beside the sheet, large ones on the floor, none in the camera's face."""
    clutter = Clutter(room)
    clutter.reserve(np.array(eye.place), 0.45, 0.0)
    reach = max(sheets[0].width, sheets[0].height)
    if carrier.kind != "wall":
        clutter.reserve(carrier.origin, 0.8 * reach, carrier.level)
    if carrier.level > 0:  # where the table stands
        clutter.reserve(carrier.origin, 0.6, 0.0)
    for _ in range(int(rng.integers(2, 9))):
        around = carrier.origin[:2] + rng.normal(0, 0.1 + 0.35 * width, 2)
        if carrier.kind == "wall":
            around[1] = room.depth / 2 - float(rng.uniform(0.1, 0.45))
        if carrier.level > 0 and np.abs(around - carrier.origin[:2]).max() > 0.45:
            continue  # off the table
        if np.linalg.norm(np.array([*around, carrier.level]) - eye.place) > 0.3:
            clutter.put(rng, SMALL, around, carrier.level)
    for number in range(int(rng.integers(6, 15))):
        place = rng.uniform(-0.5, 0.5, 2) * (room.width - 0.4, room.depth - 0.4)
        if number % 2:  # every other one where the camera looks
            place = carrier.origin[:2] - 0.5 * carrier.frame[:2, 2] + rng.normal(0, 0.4 + 0.7 * width, 2)
        clutter.put(rng, LARGE, place, 0.0)
    return clutter


def _draw_film(rng: np.random.Generator) -> Film:
    motion = (
        (float(rng.uniform(1.0, 4.0)), float(rng.uniform(0, np.pi))) if rng.random() < 0.25 else (0.0, 0.0)
    )
    return Film(
        exposure=float(rng.uniform(-0.9, 1.0)),
        balance=(float(rng.uniform(0.85, 1.2)), 1.0, float(rng.uniform(0.8, 1.2))),
        motion=motion, noise=float(rng.choice((0.0, rng.uniform(0.003, 0.012)))),
        quality=int(rng.integers(60, 76)),
    )  # fmt: skip
