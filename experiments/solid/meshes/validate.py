"""Is this file a usable mesh? One answer per file: facts, or the reason why not. A worker without state.

Checked: the file is there and whole (GLB length, STL record count, OBJ indices), it has faces, every vertex
is finite, the surface has an area and the bounding box a size, every texture it names is there and opens.
Not checked: whether faces point outward, whether the surface is closed.
"""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import trimesh
from PIL import Image, UnidentifiedImageError

from experiments.solid.meshes.geometry import similarity_signature, triangle_areas
from experiments.solid.meshes.obj import Material, parse_mtl, parse_obj

SUFFIXES = (".obj", ".glb", ".gltf", ".ply", ".stl")
MIN_EXTENT = 1e-9  # a longest side below this is zero size
GLB_MAGIC, GLB_JSON = b"glTF", 0x4E4F534A
INLINED = "pictures inside the file"
# What trimesh raises on files that are not what they say; anything else is a bug of ours and must surface.
READ_ERRORS = (
    ValueError, KeyError, IndexError, TypeError, AttributeError, OSError, EOFError, struct.error,
    NotImplementedError,
)  # fmt: skip


class Unusable(Exception):
    """The mesh cannot be used; the text says why."""


@dataclass(frozen=True)
class MeshFacts:
    """What the index records of a mesh."""

    sha256: str  # of the model file
    num_vertices: int
    num_faces: int  # triangles
    extent: tuple[float, float, float]  # edge lengths of the bounding box, file units
    textured: bool
    signature: tuple[float, ...]  # geometry.similarity_signature
    notes: tuple[str, ...] = ()  # harmless oddities


@dataclass(frozen=True)
class Limits:
    """What is enormous; None: no limit."""

    max_file_mb: float | None = None
    max_faces: int | None = None


NO_LIMITS = Limits()


def inspect(path: str, root: str, limits: Limits = NO_LIMITS) -> dict:
    """{"facts": {...}} or {"reason": "..."} of the model file `path`; its pictures must lie below `root`."""
    try:
        return {"facts": asdict(_inspect(Path(path), Path(root), limits))}
    except Unusable as error:
        return {"reason": " ".join(str(error).split())}


def _inspect(path: Path, root: Path, limits: Limits) -> MeshFacts:
    if not path.is_file():
        raise Unusable("the file does not exist")
    data = _read(path, limits)
    if not data:
        raise Unusable("the file is empty")
    suffix = path.suffix.lower()
    if suffix == ".obj":
        vertices, faces, pictures, notes = _read_obj(data, path)
    elif suffix in (".glb", ".gltf"):
        vertices, faces, pictures, notes = _read_gltf(data, path)
    elif suffix in (".ply", ".stl"):
        vertices, faces, pictures, notes = _read_plain(data, path)
    else:
        raise Unusable(f"{suffix or 'no suffix'} is not one of {' '.join(SUFFIXES)}")
    if limits.max_faces is not None and len(faces) > limits.max_faces:
        raise Unusable(f"enormous: {len(faces)} triangles, allowed {limits.max_faces} (meshes.max_faces)")
    _check_geometry(vertices, faces)
    for picture in pictures:
        _check_picture(path.parent, picture, root)
    used = vertices[np.unique(faces)]
    return MeshFacts(
        sha256=hashlib.sha256(data).hexdigest(),
        num_vertices=len(vertices),
        num_faces=len(faces),
        extent=tuple(float(x) for x in used.max(axis=0) - used.min(axis=0)),
        textured=bool(pictures) or INLINED in notes,
        signature=tuple(float(x) for x in similarity_signature(vertices, faces)),
        notes=tuple(notes),
    )


def _read(path: Path, limits: Limits) -> bytes:
    """The file's bytes, unless it is too large or closed to us."""
    try:
        size = path.stat().st_size / 1e6
        if limits.max_file_mb is not None and size > limits.max_file_mb:
            raise Unusable(f"enormous: {size:.4g} MB, allowed {limits.max_file_mb:g} (meshes.max_file_mb)")
        return path.read_bytes()
    except OSError as error:
        raise Unusable(f"cannot be read ({error.strerror or type(error).__name__})") from None


def _check_geometry(vertices: np.ndarray, faces: np.ndarray) -> None:
    """Faces there, vertices finite, a size and an area."""
    if not len(vertices):
        raise Unusable("it has no vertices")
    if not len(faces):
        raise Unusable("it has no faces")
    bad = ~np.isfinite(vertices).all(axis=1)
    if bad.any():
        raise Unusable(f"{int(bad.sum())} of {len(vertices)} vertices are not finite (NaN or inf)")
    used = vertices[np.unique(faces)]
    longest = float((used.max(axis=0) - used.min(axis=0)).max())
    if longest < MIN_EXTENT:
        raise Unusable(f"its longest side is {longest:g}: zero size")
    if not triangle_areas(vertices[faces]).sum() > 1e-12 * longest**2:
        raise Unusable("its faces have no area: zero size")


def _check_picture(folder: Path, name: str, root: Path) -> None:
    """The picture exists below `root` and its header can be read."""
    path = folder / name
    if not path.resolve().is_relative_to(root.resolve()):
        raise Unusable(f"texture {name!r} lies outside the mesh folder")
    try:
        with Image.open(path) as picture:
            picture.verify()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise Unusable(f"texture {name!r} is missing") from None
    except Image.DecompressionBombError:
        raise Unusable(f"texture {name!r} is enormous") from None
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, struct.error):
        raise Unusable(f"texture {name!r} is not a readable picture") from None


def _read_obj(data: bytes, path: Path) -> tuple[np.ndarray, np.ndarray, list[str], list[str]]:
    """Vertices, faces, picture names relative to the file, notes."""
    try:
        mesh = parse_obj(data)
    except ValueError as error:
        raise Unusable(str(error)) from None
    materials: dict[str, Material] = {}
    notes, pictures = [], []
    for library in mesh.libraries:
        file = path.parent / library.replace("\\", "/")
        try:
            found = parse_mtl(file.read_text(encoding="utf-8", errors="replace"))
        except OSError:
            notes.append("material library is missing")
            continue
        except ValueError:
            raise Unusable(f"material library {library!r} is damaged") from None
        base = Path(library.replace("\\", "/")).parent
        for material in found.values():
            if material.name in mesh.materials:
                named = (
                    [material.texture, *material.other_maps]
                    if material.texture
                    else list(material.other_maps)
                )
                pictures += [str(base / name) for name in named]
        materials |= found
    return mesh.vertices, mesh.faces, list(dict.fromkeys(pictures)), notes


def _check_glb(data: bytes) -> dict:
    """The JSON of a GLB file whose lengths add up."""
    if len(data) < 20 or data[:4] != GLB_MAGIC:
        raise Unusable("not a GLB file")
    _, version, length = struct.unpack_from("<4sII", data)
    if version != 2:
        raise Unusable(f"GLB version {version}, only 2 is read")
    if length > len(data):
        raise Unusable(f"the file has {len(data)} of {length} bytes: truncated")
    size, kind = struct.unpack_from("<II", data, 12)
    if kind != GLB_JSON or 20 + size > len(data):
        raise Unusable("the GLB's first chunk is not whole JSON")
    return _json(data[20 : 20 + size])


def _json(data: bytes) -> dict:
    try:
        tree = json.loads(data)
    except ValueError:
        raise Unusable("its JSON cannot be read") from None
    if not isinstance(tree, dict):
        raise Unusable("its JSON is not an object")
    return tree


def _outside_files(rows: list) -> list[str]:
    """File names of the `uri`s that are not inlined."""
    names = [row["uri"] for row in rows if isinstance(row, dict) and isinstance(row.get("uri"), str)]
    return [unquote(name) for name in names if not name.startswith("data:")]


def _read_gltf(data: bytes, path: Path) -> tuple[np.ndarray, np.ndarray, list[str], list[str]]:
    tree = _check_glb(data) if path.suffix.lower() == ".glb" else _json(data)
    for name in _outside_files(tree.get("buffers", [])):
        if not (path.parent / name).is_file():
            raise Unusable(f"buffer {name!r} is missing")
    pictures = _outside_files(tree.get("images", []))
    missing = [name for name in pictures if not (path.parent / name).is_file()]
    if missing:  # trimesh would only log it
        raise Unusable(f"texture {missing[0]!r} is missing")
    vertices, faces = _load(path)
    inlined = len(tree.get("images", [])) > len(pictures)
    return vertices, faces, pictures, [INLINED] if inlined else []


def _read_plain(data: bytes, path: Path) -> tuple[np.ndarray, np.ndarray, list[str], list[str]]:
    if path.suffix.lower() == ".stl" and not data.lstrip().startswith(b"solid"):
        count = struct.unpack_from("<I", data, 80)[0] if len(data) >= 84 else 0
        if len(data) < 84 or len(data) < 84 + 50 * count:
            raise Unusable(
                f"a binary STL of {count} faces needs {84 + 50 * count} bytes, it has {len(data)}: truncated"
            )
    return (*_load(path), [], [])


def _load(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """All triangles of a file in one frame, by trimesh."""
    try:
        loaded = trimesh.load(path, force="scene", process=False)
        meshes = [part for part in loaded.dump() if isinstance(part, trimesh.Trimesh)]
    except READ_ERRORS as error:
        raise Unusable(
            f"cannot be read ({type(error).__name__}: {str(error)[:80] or 'no details'})"
        ) from None
    if not meshes:
        raise Unusable("it has no faces")
    shifts = np.cumsum([0] + [len(part.vertices) for part in meshes])
    vertices = np.concatenate([np.asarray(part.vertices, dtype=np.float64) for part in meshes])
    faces = np.concatenate(
        [np.asarray(part.faces) + shift for part, shift in zip(meshes, shifts, strict=False)]
    )
    if len(faces) and faces.max() >= len(vertices):
        raise Unusable(f"a face names vertex {int(faces.max())} of {len(vertices)}")
    return vertices, faces.astype(np.int64)
