"""What the cleaned meshes and the rooms look like to code that has no Blender: NumPy arrays and JSON.

Two folders are read, both written by earlier stages:

* `clean/classes.json`, an ordered list (position = class id) of {"glb", "npz", "extent", ...}, and one
  `models/<k>.npz` a class with `vertices` float32 (V, 3) and `faces` int32 (F, 3), bounding box centred at
  the origin;
* `rooms/rooms.json`, {"rooms": [{"id", "glb", "npz", "matrix", "surfaces", "materials"}]}, and one
  `models/<r>.npz` a room with `triangles` float32 (T, 3, 3) in world space and `surface` int32 (T,), an index
  into "surfaces".

Arrays are never pickled, so a folder from a stranger cannot run code.
"""

from __future__ import annotations

import json
import zipfile
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.spatial import ConvexHull, QhullError

from suite.errors import BadInput, Missing

SURFACE_KINDS = ("wall", "floor", "ceiling", "other")
_CACHED_MESHES = 512  # a target scene asks for about a dozen classes, most of them again soon


def _read_json(path: Path, *, fix: str) -> object:
    if not path.is_file():
        raise Missing("no such file", file=path, fix=fix)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"not valid JSON ({error})", file=path, fix=fix) from error


def _read_arrays(path: Path, names: tuple[str, ...], *, fix: str) -> list[np.ndarray]:
    if not path.is_file():
        raise Missing("no such file", file=path, fix=fix)
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return [arrays[name] for name in names]
    except KeyError as error:
        raise BadInput(f"array {error} is missing", file=path, fix=fix) from error
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise BadInput(f"not a readable .npz file ({error})", file=path, fix=fix) from error


@dataclass(frozen=True, eq=False)
class MeshLibrary:
    """The cleaned meshes; position = class id."""

    folder: Path
    classes: tuple[dict, ...]  # the entries of classes.json
    extents: np.ndarray  # (K, 3) float64, edge lengths of the unscaled bounding boxes
    _cache: OrderedDict[tuple[str, int], np.ndarray] = field(default_factory=OrderedDict, repr=False)

    @classmethod
    def load(cls, clean_dir: Path) -> MeshLibrary:
        """Read `classes.json`; vertices are read on demand. Raises Missing or BadInput."""
        path = Path(clean_dir) / "classes.json"
        classes = _read_json(path, fix="run the stage `clean` again")
        if not isinstance(classes, list) or not classes:
            raise BadInput("holds no list of classes", file=path, fix="run the stage `clean` again")
        for k, entry in enumerate(classes):
            if not isinstance(entry, dict) or not {"glb", "npz", "extent"} <= set(entry):
                raise BadInput(
                    f"entry {k} lacks `glb`, `npz` or `extent`", file=path, fix="run `clean` again"
                )
        try:
            extents = np.array([entry["extent"] for entry in classes], dtype=np.float64).reshape(
                len(classes), 3
            )
        except (ValueError, TypeError) as error:
            raise BadInput("`extent` must be three numbers", file=path, fix="run `clean` again") from error
        bad = np.flatnonzero(~(np.isfinite(extents).all(1) & (extents >= 0).all(1) & (extents.max(1) > 0)))
        if bad.size:
            raise BadInput(
                f"entry {bad[0]} has no size: extent {extents[bad[0]].tolist()}",
                file=path,
                fix="drop the mesh and run `index` and `clean` again",
            )
        return cls(folder=Path(clean_dir), classes=tuple(classes), extents=extents)

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    def vertices(self, class_id: int) -> np.ndarray:
        """Vertices (V, 3) float64 of a class, unscaled, bounding box centred at the origin. Cached."""
        return self._cached("vertices", class_id, self._load_vertices)

    def hull(self, class_id: int) -> np.ndarray:
        """The vertices (H, 3) on the convex hull, which project to the same rectangle. Cached."""
        return self._cached("hull", class_id, self._load_hull)

    def _cached(self, what: str, class_id: int, load) -> np.ndarray:
        key = (what, class_id)
        if key not in self._cache:
            value = load(class_id)
            value.setflags(write=False)
            self._cache[key] = value
            if len(self._cache) > 2 * _CACHED_MESHES:
                self._cache.popitem(last=False)
        self._cache.move_to_end(key)
        return self._cache[key]

    def _load_vertices(self, class_id: int) -> np.ndarray:
        path = self.folder / self.classes[class_id]["npz"]
        (vertices,) = _read_arrays(path, ("vertices",), fix="run the stage `clean` again")
        if (
            vertices.ndim != 2
            or vertices.shape[1] != 3
            or not len(vertices)
            or not np.isfinite(vertices).all()
        ):
            raise BadInput(
                f"`vertices` must be finite numbers (V, 3), is {vertices.shape}",
                file=path,
                fix="run the stage `clean` again",
            )
        return vertices.astype(np.float64)

    def _load_hull(self, class_id: int) -> np.ndarray:
        vertices = self.vertices(class_id)
        try:
            return vertices[np.sort(ConvexHull(vertices).vertices)]
        except (
            QhullError,
            ValueError,
        ):  # flat or fewer than four points: there is no solid hull, all points will do
            return vertices.copy()


@dataclass(frozen=True)
class Surface:
    """One mesh of a room, e.g. one wall."""

    name: str
    kind: str  # one of SURFACE_KINDS
    materials: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Room:
    """A room after rescaling and centring; compared by identity, so it can key a cache."""

    id: str
    triangles: np.ndarray  # (T, 3, 3) float64, world space
    surface: np.ndarray  # (T,) int64, index into surfaces
    surfaces: tuple[Surface, ...]
    materials: dict[str, tuple[str, ...]]  # material -> candidate textures, relative to the rooms folder
    matrix: np.ndarray  # (4, 4) float64, takes the imported objects to world space
    glb: Path

    def of_kind(self, *kinds: str) -> np.ndarray:
        """Triangles (N, 3, 3) of all surfaces of the given kinds."""
        wanted = np.array([surface.kind in kinds for surface in self.surfaces], dtype=bool)
        return self.triangles[wanted[self.surface]]


@dataclass(frozen=True, eq=False)
class RoomLibrary:
    """All rooms of a rooms folder, in the order of rooms.json."""

    folder: Path
    rooms: tuple[Room, ...]

    @classmethod
    def load(cls, rooms_dir: Path) -> RoomLibrary:
        """Read every room at once (they are few). Raises Missing or BadInput."""
        path = Path(rooms_dir) / "rooms.json"
        content = _read_json(path, fix="run the stage `rooms` again")
        entries = content.get("rooms") if isinstance(content, dict) else None
        if not isinstance(entries, list) or not entries:
            raise BadInput("holds no list `rooms`", file=path, fix="run the stage `rooms` again")
        rooms = tuple(_read_room(Path(rooms_dir), path, entry) for entry in entries)
        if len({room.id for room in rooms}) != len(rooms):
            raise BadInput("two rooms have the same id", file=path, fix="give every room its own id")
        return cls(folder=Path(rooms_dir), rooms=rooms)

    def get(self, room_id: str) -> Room:
        """The room of that id. Raises BadInput if there is none."""
        for room in self.rooms:
            if room.id == room_id:
                return room
        raise BadInput(
            f"no room {room_id!r}",
            file=self.folder / "rooms.json",
            fix="use the rooms folder that the scene was composed with",
        )


def _read_room(folder: Path, path: Path, entry: dict) -> Room:
    try:
        surfaces = tuple(
            Surface(name=s["name"], kind=s["kind"], materials=tuple(s["materials"]))
            for s in entry["surfaces"]
        )
        materials = {name: tuple(textures) for name, textures in entry["materials"].items()}
        matrix = np.array(entry["matrix"], dtype=np.float64).reshape(4, 4)
        room_id, npz, glb = str(entry["id"]), folder / entry["npz"], folder / entry["glb"]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadInput(
            f"a room entry is malformed ({error!r})", file=path, fix="run the stage `rooms` again"
        ) from error
    for surface in surfaces:
        if surface.kind not in SURFACE_KINDS:
            raise BadInput(
                f"room {room_id}: surface {surface.name!r} has kind {surface.kind!r}",
                file=path,
                fix=f"use one of {', '.join(SURFACE_KINDS)}",
            )
    for name, textures in materials.items():
        if not textures:
            raise BadInput(
                f"room {room_id}: material {name!r} has no texture to choose from",
                file=path,
                fix="add pictures to textures/<material>/ or textures/unknown/",
            )
    if not any(surface.kind == "floor" for surface in surfaces):
        raise BadInput(f"room {room_id} has no floor", file=path, fix="name one of its objects `floor`")
    triangles, surface = _read_arrays(npz, ("triangles", "surface"), fix="run the stage `rooms` again")
    if triangles.ndim != 3 or triangles.shape[1:] != (3, 3) or surface.shape != triangles.shape[:1]:
        raise BadInput(
            f"`triangles` {triangles.shape} and `surface` {surface.shape} do not match (T, 3, 3) and (T,)",
            file=npz,
            fix="run the stage `rooms` again",
        )
    in_range = not len(surface) or (surface.min() >= 0 and surface.max() < len(surfaces))
    if not in_range or not np.isfinite(triangles).all():
        raise BadInput(
            "triangles are not finite or name a surface that does not exist",
            file=npz,
            fix="run the stage `rooms` again",
        )
    return Room(
        id=room_id,
        triangles=triangles.astype(np.float64),
        surface=surface.astype(np.int64),
        surfaces=surfaces,
        materials=materials,
        matrix=matrix,
        glb=glb,
    )
