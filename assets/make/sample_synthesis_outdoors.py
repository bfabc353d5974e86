"""Cut-outs and scenes of birds and cars: a studio without background, rooms, streets and gardens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from assets.make.sample_synthesis_birds import build_bird, draw_bird
from assets.make.sample_synthesis_cars import build_car, draw_car
from assets.make.sample_synthesis_designs import Design
from assets.make.sample_synthesis_plan import SEED, SETS, stream
from assets.make.sample_synthesis_rooms import (
    SMALL,
    Clutter,
    RoomSize,
    draw_lamps,
    draw_room,
    draw_table,
    pick,
    textures,
)
from assets.make.sample_synthesis_scene import (
    Eye,
    Film,
    Lamp,
    Model,
    NoPlace,
    Scene,
    Thing,
    Wanted,
    extent,
    focal_pixels,
    warmth,
)
from assets.make.sample_synthesis_shapes import Look, Shape, quad, turn
from suite.seeds import item_rng

SAMPLES, CUTOUT_SAMPLES = 8, 24
FRAME = (0.8, 0.94)  # of a cut-out's side that its object takes
SHARE = (0.2, 0.8)  # of a scene's width or height that its first object takes
CUT = 0.12  # of an object's width or height that may be outside the picture
CARS_OUT = {  # things beside a street, longest side in metres
    "cone": 0.7, "barrel": 0.9, "barrier": 2.5, "tree": 5.0, "tree_pine": 6.0, "building": 14.0,
    "office_desk": 1.5,
}  # fmt: skip
BIRDS_OUT = {
    "tree": 2.0, "tree_pine": 2.2, "barrel": 0.9, "barrier": 1.2, "stool": 0.6, "vase": 0.3, "handles": 0.25,
    "soccerball": 0.21, "cone": 0.5, "terrain": 1.5,
}  # fmt: skip


@dataclass(frozen=True)
class _Kind:
    draw: Callable[[np.random.Generator, str], Design]
    build: Callable[[Design], tuple[Shape, ...]]
    elevation: tuple[float, float]  # of the camera above an object
    elevation_cutout: tuple[float, float]


KINDS = {
    "bird": _Kind(draw_bird, build_bird, (0.02, 0.75), (-0.1, 0.45)),
    "car": _Kind(draw_car, build_car, (0.08, 0.5), (0.05, 0.45)),
}


def compose_cutout(name: str, index: int, attempt: int) -> Scene:
    """One object that fills a transparent picture, in the soft light of a studio."""
    rng = item_rng(SEED, stream(name, "objects"), index, attempt)
    kind, resolution = KINDS[name], SETS[name].resolution
    design = kind.draw(rng, "objects")
    shapes = kind.build(design)
    points = np.concatenate([shape.vertices for shape in shapes])
    view = _direction(rng, kind.elevation_cutout)
    eye = _fit(points, view, float(rng.uniform(0.35, 0.7)), resolution, float(rng.uniform(*FRAME)), roll=0.0)
    reach = float(np.ptp(points, axis=0).max())
    middle = tuple(points.mean(axis=0).tolist())
    lamps = []
    for power in (30.0, 10.0):
        place = np.array(middle) + 2.5 * reach * _direction(rng, (0.3, 1.2))
        lamps.append(Lamp("AREA", tuple(place.tolist()), middle, power * reach**2 * 8, 1.2 * reach,
                          warmth(float(rng.uniform(4500, 7500)))))  # fmt: skip
    return Scene(
        resolution=resolution, things=(Thing(shapes, mark=1),), models=(), lamps=tuple(lamps),
        sky=(0.5, 0.5, 0.52), eye=eye, film=Film(exposure=float(rng.uniform(-0.5, 0.5))),
        wanted=(Wanted(1, None, {"design": design.note()}),), samples=CUTOUT_SAMPLES, cutout=True,
        cycles_seed=int(rng.integers(1 << 30)),
    )  # fmt: skip


def _direction(rng: np.random.Generator, elevation: tuple[float, float]) -> np.ndarray:
    """A unit vector of any azimuth."""
    azimuth, up = float(rng.uniform(-np.pi, np.pi)), float(rng.uniform(*elevation))
    return np.array([np.cos(up) * np.cos(azimuth), np.cos(up) * np.sin(azimuth), np.sin(up)])


def _fit(
    points: np.ndarray,
    view: np.ndarray,
    fov: float,
    resolution: tuple[int, int],
    share: float,
    *,
    roll: float,
) -> Eye:
    """A camera on the side `view` of points that shows them in the middle, filling `share` of the picture."""
    middle, distance = points.mean(axis=0), 4 * float(np.ptp(points, axis=0).max())
    for _ in range(6):
        eye = Eye(tuple((middle + distance * view).tolist()), tuple(middle.tolist()), roll, fov)
        x1, y1, x2, y2 = extent(eye.pixels(points, resolution))
        off = np.array([(x1 + x2) / 2 - resolution[0] / 2, (y1 + y2) / 2 - resolution[1] / 2])
        metres = distance / focal_pixels(fov, resolution)
        middle = middle + eye.rotation[:, 0] * off[0] * metres - eye.rotation[:, 1] * off[1] * metres
        distance *= max((x2 - x1) / resolution[0], (y2 - y1) / resolution[1]) / share
    return eye


def compose_scene(name: str, split: str, index: int, attempt: int) -> Scene:
    """One attempt at a full scene of one or two birds or cars. Raises NoPlace."""
    rng = item_rng(SEED, stream(name, split), index, attempt)
    label, resolution = SETS[name].label, SETS[name].resolution
    kind = KINDS[label]
    designs = [kind.draw(rng, split) for _ in range(1 + int(rng.random() < 0.35))]
    inside = label == "bird" and rng.random() < 0.45
    surroundings = _inside(rng, split) if inside else _outside(rng, split, label)
    objects = _stand(rng, [kind.build(design) for design in designs], designs, surroundings.spot)
    eye = _draw_eye(rng, objects[0], kind, resolution)
    if surroundings.room and not surroundings.room.holds(np.array(eye.place)) or eye.place[2] < 0.08:
        raise NoPlace("the camera is in a wall or in the ground")
    wanted = []
    for number, (shapes, design) in enumerate(zip(objects, designs, strict=True), start=1):
        _check_view(shapes, eye, resolution)
        wanted.append(Wanted(number, None, {"design": design.note()}))
    lamps, shades = surroundings.light(rng, objects)
    clutter = surroundings.stand(rng, objects, eye)
    return Scene(
        resolution=resolution,
        things=(*surroundings.things, *shades,
                *(Thing(shapes, mark=number) for number, shapes in enumerate(objects, start=1))),
        models=tuple(clutter), lamps=tuple(lamps), sky=surroundings.sky, eye=eye, film=_draw_film(rng),
        wanted=tuple(wanted), samples=SAMPLES, cycles_seed=int(rng.integers(1 << 30)),
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Surroundings:
    things: tuple[Thing, ...]
    spot: np.ndarray  # (3,) where objects stand
    sky: tuple[float, float, float]
    light: Callable[..., tuple[list[Lamp], list[Thing]]]
    stand: Callable[..., list[Model]]
    room: RoomSize | None = None


def _inside(rng: np.random.Generator, split: str) -> _Surroundings:
    """A room; birds are on a table or on the floor."""
    room, walls = draw_room(rng, split)
    center, level, things = rng.uniform(-0.2, 0.2, 2) * (room.width, room.depth), 0.0, [walls]
    if rng.random() < 0.6:
        level = float(rng.uniform(0.45, 0.85))
        things.append(
            draw_table(rng, split, center, tuple(rng.uniform((0.9, 0.7), (1.6, 1.0)).tolist()), level)
        )

    def light(rng: np.random.Generator, objects: list[tuple[Shape, ...]]) -> tuple[list[Lamp], list[Thing]]:
        return draw_lamps(rng, room, np.array([*center, level + 0.1]), np.array([0.0, 0.0, 1.0]))

    def stand(rng: np.random.Generator, objects: list[tuple[Shape, ...]], eye: Eye) -> list[Model]:
        clutter = Clutter(room)
        _reserve(clutter, objects, eye, level)
        for _ in range(int(rng.integers(3, 9))):
            around = center + rng.normal(0, 0.35, 2)
            if level == 0 or np.abs(around - center).max() < 0.4:
                clutter.put(rng, SMALL, around, level)
        return clutter.models

    return _Surroundings(tuple(things), np.array([*center, level]), (0.02, 0.02, 0.02), light, stand, room)


def _reserve(clutter: Clutter, objects: list[tuple[Shape, ...]], eye: Eye, level: float) -> None:
    for shapes in objects:
        points = np.concatenate([shape.vertices for shape in shapes])
        low, high = points.min(axis=0), points.max(axis=0)
        clutter.reserve((low + high) / 2, float(np.linalg.norm((high - low)[:2])) / 2, level)
    clutter.reserve(np.array(eye.place), 0.5, level)


def _noise(rng: np.random.Generator, exponent: float) -> np.ndarray:
    """Tileable noise (256, 256), mean 0, standard deviation 1, amplitude spectrum falling as a power."""
    frequency = np.hypot(*np.meshgrid(*[np.fft.fftfreq(256) * 256] * 2))
    spectrum = np.fft.fft2(rng.standard_normal((256, 256))) / np.maximum(frequency, 1) ** exponent
    spectrum[0, 0] = 0
    field = np.fft.ifft2(spectrum).real
    return field / field.std()


def _ground_picture(rng: np.random.Generator, color: tuple[float, float, float]) -> np.ndarray:
    """Grained ground (h, w, 3) uint8 about a tint in sRGB 0..1, with faint clouds and specks."""
    shade = 0.1 * _noise(rng, float(rng.uniform(0.3, 0.9))) + 0.05 * _noise(rng, 1.5)
    picture = (
        np.array(color) * (1 + shade[..., None])
        + 0.008 * rng.standard_normal(3) * _noise(rng, 0.8)[..., None]
    )
    return np.round(255 * np.clip(picture, 0, 1)).astype(np.uint8)


def _ground(rng: np.random.Generator, label: str, far: float) -> list[Shape]:
    """A field, for cars with a road and its marks; the objects stand at the origin, on the road."""
    tints = ((0.33, 0.42, 0.2), (0.5, 0.46, 0.34), (0.55, 0.55, 0.53), (0.45, 0.36, 0.26))  # grass, sand, ...

    def plane(look: Look, half: np.ndarray, lift: float, tile: float) -> Shape:
        x, y = half
        return quad(
            [(-x, -y, lift), (x, -y, lift), (x, y, lift), (-x, y, lift)], look, (2 * x / tile, 2 * y / tile)
        )

    tile = 4.0 if label == "car" else 1.2
    tint = tuple((np.array(pick(rng, tints)) * rng.uniform(0.75, 1.25)).tolist())
    shapes = [plane(Look((1, 1, 1), 0.95, 0.0, _ground_picture(rng, tint)), np.array([far, far]), 0.0, tile)]
    if label == "car":
        grey = float(rng.uniform(0.22, 0.45))
        width = float(rng.uniform(4.0, 9.0))
        asphalt = Look((1, 1, 1), 0.9, 0.0, _ground_picture(rng, (grey, grey, grey * 1.03)))
        road = [plane(asphalt, np.array([far, width]), 0.001, 3.0)]
        paint = Look((0.7, 0.7, 0.65), 0.7)
        for y in (-0.93 * width, 0.93 * width):
            road.append(quad([(-far, y - 0.07, 0.0015), (far, y - 0.07, 0.0015), (far, y + 0.07, 0.0015),
                              (-far, y + 0.07, 0.0015)], paint))  # fmt: skip
        for x in np.arange(-30, 31, 6) + float(rng.uniform(0, 6)):
            y = float(rng.uniform(0.0, 0.01)) + 0.25 * width
            road.append(quad([(x, y - 0.07, 0.0015), (x + 3, y - 0.07, 0.0015), (x + 3, y + 0.07, 0.0015),
                              (x, y + 0.07, 0.0015)], paint))  # fmt: skip
        heading = turn("z", float(rng.uniform(-np.pi, np.pi)))
        shapes += [shape.moved(heading) for shape in road]
    return shapes


def _outside(rng: np.random.Generator, split: str, label: str) -> _Surroundings:
    """A field under the sky with walls and things at a distance."""
    far = 60.0 if label == "car" else 12.0
    tile = 3.0 if label == "car" else 1.0
    shapes = _ground(rng, label, far)
    for _ in range(int(rng.integers(2, 6))):  # walls of houses
        look = Look(tuple(rng.uniform(0.5, 1.0, 3).tolist()), 0.8, 0.0, pick(rng, textures("wall", split)))
        width, height = far * float(rng.uniform(0.2, 0.6)), far * float(rng.uniform(0.06, 0.2))
        wall = quad([(-width, 0, 0), (width, 0, 0), (width, 0, height), (-width, 0, height)], look,
                    (2 * width / tile, height / tile))  # fmt: skip
        angle = float(rng.uniform(-np.pi, np.pi))
        place = far * float(rng.uniform(0.25, 0.6)) * np.array([np.sin(angle), np.cos(angle), 0])
        shapes.append(wall.moved(turn("z", -angle + float(rng.normal(0, 0.3))), place))
    clear = float(rng.uniform(0.15, 1.0))  # sun through clouds or not
    sky = tuple((np.array([0.55, 0.75, 1.1]) * clear + np.array([0.8, 0.8, 0.82]) * (1 - clear)).tolist())

    def light(rng: np.random.Generator, objects: list[tuple[Shape, ...]]) -> tuple[list[Lamp], list[Thing]]:
        toward = 30 * _direction(rng, (0.25, 1.3))
        color = warmth(float(rng.uniform(3800, 6000)))
        return [
            Lamp("SUN", tuple(toward.tolist()), (0, 0, 0), 5.0 * clear, 0.01 + 0.2 * (1 - clear), color)
        ], []

    def stand(rng: np.random.Generator, objects: list[tuple[Shape, ...]], eye: Eye) -> list[Model]:
        clutter = Clutter(RoomSize(2 * far, 2 * far, 20.0))
        _reserve(clutter, objects, eye, 0.0)
        ahead = np.subtract(eye.target, eye.place)[:2]
        for _ in range(int(rng.integers(6, 19))):
            place = np.array(eye.place[:2]) + ahead * float(rng.uniform(0.8, 3.0))
            place += rng.normal(0, 0.45, 2) * np.linalg.norm(place - eye.place[:2])
            clutter.put(rng, CARS_OUT if label == "car" else BIRDS_OUT, place, 0.0)
        return clutter.models

    return _Surroundings((Thing(tuple(shapes)),), np.zeros(3), sky, light, stand)


def _stand(
    rng: np.random.Generator, built: list[tuple[Shape, ...]], designs: list[Design], spot: np.ndarray
) -> list[tuple[Shape, ...]]:
    """Objects on a level, each turned, the second beside the first; flying ones above it."""
    stood, edge = [], 0.0
    aside = turn("z", float(rng.uniform(-np.pi, np.pi))) @ np.array([1.0, 0, 0])
    for shapes, design in zip(built, designs, strict=True):
        points = np.concatenate([shape.vertices for shape in shapes])
        radius = float(np.hypot(points[:, 0], points[:, 1]).max())
        if edge:
            edge += radius * float(rng.uniform(1.0, 1.5))
        lift = float(rng.uniform(0.1, 0.8)) if design.kind == "flying" else 0.002
        place = spot + aside * edge + (0, 0, lift)
        rotation = turn("z", float(rng.uniform(-np.pi, np.pi)))
        if design.kind == "flying":
            rotation = rotation @ turn("x", float(rng.normal(0, 0.3)))
        moved = tuple(shape.moved(rotation, place) for shape in shapes)
        low = min(shape.vertices[:, 2].min() for shape in moved)
        raise_by = (0, 0, max(0.0, spot[2] + 0.002 - low))
        stood.append(tuple(shape.moved(np.eye(3), raise_by) for shape in moved))
        edge += radius
    return stood


def _draw_eye(
    rng: np.random.Generator, shapes: tuple[Shape, ...], kind: _Kind, resolution: tuple[int, int]
) -> Eye:
    """A camera that shows the first object at a wanted size, somewhere in the picture."""
    points = np.concatenate([shape.vertices for shape in shapes])
    share = float(np.exp(rng.uniform(*np.log(SHARE))))
    fov = float(rng.uniform(0.6, 1.1))
    eye = _fit(
        points, _direction(rng, kind.elevation), fov, resolution, share, roll=float(rng.normal(0, 0.03))
    )
    x1, y1, x2, y2 = extent(eye.pixels(points, resolution))
    free = np.array([max(0.0, resolution[0] - (x2 - x1)), max(0.0, resolution[1] - (y2 - y1))]) / 2
    distance = float(np.linalg.norm(np.subtract(eye.place, eye.target)))
    shift = rng.uniform(-0.9, 0.9, 2) * free * distance / focal_pixels(fov, resolution)
    target = np.array(eye.target) - eye.rotation[:, 0] * shift[0] + eye.rotation[:, 1] * shift[1]
    focus = distance if rng.random() < 0.4 else None
    aperture = float(np.exp(rng.uniform(np.log(1.2), np.log(4.0))))
    return Eye(eye.place, tuple(target.tolist()), eye.roll, fov, focus, aperture)


def _check_view(shapes: tuple[Shape, ...], eye: Eye, resolution: tuple[int, int]) -> None:
    """NoPlace if much of an object is outside the picture."""
    points = np.concatenate([shape.vertices for shape in shapes])
    x1, y1, x2, y2 = extent(eye.pixels(points, resolution))
    for low, high, limit in ((x1, x2, resolution[0]), (y1, y2, resolution[1])):
        if max(0.0, -low) + max(0.0, high - limit) > CUT * (high - low):
            raise NoPlace("cut off")


def _draw_film(rng: np.random.Generator) -> Film:
    motion = (
        (float(rng.uniform(1.0, 3.0)), float(rng.uniform(0, np.pi))) if rng.random() < 0.15 else (0.0, 0.0)
    )
    return Film(
        exposure=float(rng.uniform(-0.8, 0.8)),
        balance=(float(rng.uniform(0.88, 1.15)), 1.0, float(rng.uniform(0.85, 1.15))),
        motion=motion, noise=float(rng.choice((0.0, rng.uniform(0.003, 0.01)))),
        quality=int(rng.integers(70, 83)),
    )  # fmt: skip
