"""The scene: everything a renderer needs and everything that was drawn, as frozen dataclasses and as JSON.

A scene holds no array and no path outside its own folders, so it can be stored beside the picture, audited
without Blender and rendered again at another quality. Floats survive the round trip exactly (shortest
representation). Units: scene units (rooms are 12 x 12 x 6), radians, watts, pixels.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from suite.errors import BadInput

SCHEMA = 1
Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Camera:
    """A pinhole at a place; field of view and resolution are the scene's."""

    location: Vector
    rotation: tuple[Vector, Vector, Vector]  # camera-to-world, rows; the camera looks along -Z, Y is up
    look_at: Vector


@dataclass(frozen=True)
class RoomChoice:
    """Which room, and how it is dressed."""

    id: str
    textures: dict[str, str]  # material -> picture, relative to the rooms folder
    ceiling_strength: dict[str, float]  # surface name -> emission strength


@dataclass(frozen=True)
class Box:
    """The object's oriented bounding box; its centre is the object's location, its axes are the object's."""

    half_extents: Vector  # after scaling


@dataclass(frozen=True)
class Rules:
    """Which of the optional placement filters were drawn for a pose."""

    near: bool
    overlap: bool
    depth_order: bool


@dataclass(frozen=True)
class PlacedObject:
    """A model as it stands in the scene."""

    name: str  # "0", "1", ...: number of the attempt, so there are gaps where placing failed
    class_id: int
    euler: Vector  # XYZ
    size: float  # longest edge of the scaled, unrotated bounding box
    scale: float
    location: Vector
    obb: Box
    rules: Rules
    tries: int  # poses drawn until this one fitted, at least 1


@dataclass(frozen=True)
class AreaLight:
    """A square light of the three-point rig, turned towards its target."""

    role: Literal["key", "fill", "back"]
    location: Vector
    target: str  # name of the object it points at
    energy: float
    size: float  # edge of the square
    spread: float


@dataclass(frozen=True)
class PointLight:
    """The light that travels with a query's camera."""

    location: Vector
    energy: float


@dataclass(frozen=True)
class World:
    """Light from everywhere."""

    color: Vector
    strength: float


@dataclass(frozen=True)
class Draw:
    """One drawn pose, placed or not: what statistics of the random draws are made of."""

    name: str  # of the object it was drawn for
    class_id: int
    size: float
    bin: int  # which entry of layout.size_bins
    rules: Rules
    placed: bool


@dataclass(frozen=True)
class Shot:
    """One view of a query."""

    camera: Camera
    light: PointLight


@dataclass(frozen=True)
class Scene:
    """A target picture or a query, complete."""

    schema: int
    kind: Literal["target", "query"]
    seed: int
    index: int  # target: number of the picture; query: class id
    attempt: int
    resolution: tuple[int, int]  # width, height
    fov: float  # horizontal
    camera: Camera | None  # None: see the shots
    room: RoomChoice | None  # None: nothing but the object
    world: World
    objects: tuple[PlacedObject, ...]  # in the order of placing
    lights: tuple[AreaLight, ...]
    shots: tuple[Shot, ...]
    attempted: int  # objects that were to be placed
    drawn: tuple[Draw, ...]
    camera_tries: int
    cycles_seed: int

    def to_json(self) -> str:
        """One line of JSON with sorted keys."""
        return json.dumps(asdict(self), sort_keys=True, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Scene:
        """The inverse of `to_json`. Raises BadInput on anything else."""
        try:
            content = json.loads(text)
            if content["schema"] != SCHEMA:
                raise BadInput(
                    f"scene schema {content['schema']!r}, this program reads {SCHEMA}",
                    fix="compose the scene again",
                )
            return _decode(cls, content)
        except (json.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise BadInput(f"not a scene ({error!r})", fix="compose the scene again") from error


def _decode(kind: Any, value: Any) -> Any:
    """Build a value of an annotated type from what json.loads returns."""
    if get_origin(kind) is UnionType:
        if value is None and NoneType in get_args(kind):
            return None
        (kind,) = (option for option in get_args(kind) if option is not NoneType)
    if hasattr(kind, "__dataclass_fields__"):
        hints = get_type_hints(kind)
        if set(value) != set(hints):
            raise ValueError(f"{kind.__name__} has keys {sorted(value)}, expected {sorted(hints)}")
        return kind(**{name: _decode(hint, value[name]) for name, hint in hints.items()})
    if get_origin(kind) is tuple:
        inner = get_args(kind)
        if inner[-1] is Ellipsis:
            return tuple(_decode(inner[0], item) for item in value)
        if len(inner) != len(value):
            raise ValueError(f"{len(value)} numbers where {len(inner)} belong")
        return tuple(_decode(one, item) for one, item in zip(inner, value, strict=True))
    if get_origin(kind) is dict:
        return {key: _decode(get_args(kind)[1], item) for key, item in value.items()}
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise ValueError(f"{value!r} is none of {get_args(kind)}")
        return value
    if type(value) is not kind:  # bool is an int to isinstance, and a float written as an int is not ours
        raise ValueError(f"{value!r} is not a {kind.__name__}")
    return value
