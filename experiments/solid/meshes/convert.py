"""From a recipe to `model.obj` + `model.mtl` + JPEG textures, the same bytes every time.

A recipe is a plain dict (from packages.json or the embedded set's table):

    id          folder name, also the mesh's id
    parts       [{path: "package:inside/the/wheel.obj|stl", xyz: [..], rpy: [..], scale: s, material: NAME}];
                a part's own materials are kept unless `material` names one for all of it; `libraries` names
                its MTL files
    chain       like parts, but each stands in the frame of the one before, turned by `angle` about its own z
    materials   {NAME or "*": LOOK}; a LOOK is {texture: "package:picture.png", kd: [r, g, b],
                uv: "keep"|"box", tiles: repeats over the longest side}. "*" serves all others
    palette     [LOOK names]: dealt in turn to the connected pieces of the shape, in order of size

Meshes without texture coordinates get them by box projection: each triangle is projected along its largest
normal component. Not done here: cleaning, scaling, centring (stage `clean`).
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from experiments.solid.meshes.geometry import triangle_areas
from experiments.solid.meshes.obj import (
    NO_UV,
    Material,
    ObjMesh,
    format_mtl,
    format_obj,
    parse_mtl,
    parse_obj,
)
from experiments.solid.meshes.shapes import MAKERS
from suite.errors import BadInput

TEXTURE_SIDE = 512  # longest side of a stored texture, pixels
JPEG_QUALITY = 90
DEFAULT = "*"
PROCEDURAL = "procedural:"  # instead of a package: a maker of shapes.py
MODEL_FILE, MTL_FILE = "model.obj", "model.mtl"
Read = Callable[[str], bytes]  # address -> bytes, e.g. Wheels.read


@dataclass(frozen=True)
class Look:
    """How a surface looks: a texture, or a plain colour where there is none."""

    color: tuple[float, float, float] = (0.8, 0.8, 0.8)  # linear
    texture: str | None = None  # address of a picture
    uv: str = "keep"  # keep the mesh's own coordinates, or "box"
    tiles: float = 1.0  # box: repeats over the longest side of the bounding box


def look_of(facts: Mapping[str, Any]) -> Look:
    """A LOOK dict of a recipe, checked."""
    unknown = set(facts) - {"texture", "kd", "uv", "tiles"}
    if unknown:
        raise BadInput(f"unknown key {sorted(unknown)[0]!r} in a look", fix="texture, kd, uv or tiles")
    return Look(
        color=tuple(facts.get("kd", (0.8, 0.8, 0.8))), texture=facts.get("texture"),
        uv=facts.get("uv", "keep"), tiles=float(facts.get("tiles", 1.0)),
    )  # fmt: skip


def rotation_rpy(rpy: Sequence[float]) -> np.ndarray:
    """(3, 3) of roll, pitch, yaw about fixed x, y, z in radians (the order of URDF)."""
    (sr, sp, sy), (cr, cp, cy) = np.sin(rpy), np.cos(rpy)
    about_x = np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
    about_y = np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
    about_z = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def parse_stl(data: bytes, material: str) -> ObjMesh:
    """A binary STL as a mesh with welded corners and no texture coordinates."""
    (count,) = struct.unpack_from("<I", data, 80) if len(data) >= 84 else (0,)
    if len(data) < 84 + 50 * count or not count:
        raise ValueError("not a whole binary STL file")
    record = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("flags", "<u2")])
    corners = np.frombuffer(data, record, count, offset=84)["corners"].reshape(-1, 3).astype(np.float64)
    vertices, index = np.unique(corners, axis=0, return_inverse=True)
    faces = index.reshape(-1, 3)
    return ObjMesh(
        vertices, np.zeros((0, 2)), faces, np.full_like(faces, NO_UV), np.zeros(count, np.int64), (material,)
    )


def _load_part(
    part: Mapping[str, Any], turn: np.ndarray, shift: np.ndarray, read: Read
) -> tuple[ObjMesh, dict[str, Material]]:
    """One part moved to its place, and the MTL materials that stand beside it in the wheel (if any)."""
    address = part["path"]
    materials: dict[str, Material] = {}
    if address.startswith(PROCEDURAL):
        mesh = MAKERS[address.removeprefix(PROCEDURAL)]()
    elif address.lower().endswith(".stl"):
        mesh = parse_stl(read(address), part.get("material", DEFAULT))
    else:
        mesh = parse_obj(read(address))
        for library in part.get("libraries", ()):
            materials |= parse_mtl(read(library).decode("utf-8", "replace"))
    if "material" in part:
        mesh = replace(
            mesh, materials=(part["material"],), face_materials=np.zeros(len(mesh.faces), np.int64)
        )
    return replace(mesh, vertices=mesh.vertices * part.get("scale", 1.0) @ turn.T + shift), materials


def _places(recipe: Mapping[str, Any]) -> list[tuple[Mapping[str, Any], np.ndarray, np.ndarray]]:
    """(part, rotation (3, 3), translation (3,)) of all parts, side by side or one link on the other."""
    rows = []
    turn, shift = np.eye(3), np.zeros(3)
    for part in recipe.get("parts") or recipe["chain"]:
        here, move = (
            rotation_rpy(part.get("rpy", (0, 0, 0))),
            np.asarray(part.get("xyz", (0, 0, 0)), dtype=np.float64),
        )
        if "chain" in recipe:
            shift = turn @ move + shift
            turn = turn @ here @ rotation_rpy((0, 0, part.get("angle", 0.0)))
            rows.append((part, turn, shift))
        else:
            rows.append((part, here, move))
    return rows


def join(meshes: Sequence[ObjMesh]) -> ObjMesh:
    """One mesh of many; materials of the same name become one."""
    names = tuple(dict.fromkeys(name for mesh in meshes for name in mesh.materials))
    num_vertices = np.cumsum([0] + [len(mesh.vertices) for mesh in meshes])
    num_uvs = np.cumsum([0] + [len(mesh.uvs) for mesh in meshes])
    slots = [np.array([names.index(name) for name in mesh.materials], dtype=np.int64) for mesh in meshes]
    return ObjMesh(
        vertices=np.concatenate([mesh.vertices for mesh in meshes]),
        uvs=np.concatenate([mesh.uvs for mesh in meshes]),
        faces=np.concatenate([mesh.faces + shift for mesh, shift in zip(meshes, num_vertices, strict=False)]),
        face_uvs=np.concatenate(
            [
                np.where(m.face_uvs == NO_UV, NO_UV, m.face_uvs + shift)
                for m, shift in zip(meshes, num_uvs, strict=False)
            ]
        ),
        face_materials=np.concatenate(
            [slot[mesh.face_materials] for mesh, slot in zip(meshes, slots, strict=True)]
        ),
        materials=names,
    )


def connected_pieces(mesh: ObjMesh) -> np.ndarray:
    """(F,) piece number of each face, 0 = largest area. Corners at the same place count as joined."""
    _, place = np.unique(mesh.vertices.round(9), axis=0, return_inverse=True)
    corners = place.reshape(-1)[mesh.faces]
    edges = np.concatenate([corners[:, :2], corners[:, 1:]])
    size = int(place.max()) + 1
    graph = coo_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(size, size))
    piece = connected_components(graph, directed=False)[1][corners[:, 0]]
    labels, first, piece = np.unique(piece, return_index=True, return_inverse=True)
    areas = np.bincount(piece, weights=triangle_areas(mesh.vertices[mesh.faces]), minlength=len(labels))
    order = np.lexsort((first, -areas.round(6)))
    rank = np.empty(len(labels), dtype=np.int64)
    rank[order] = np.arange(len(labels))
    return rank[piece]


def box_uvs(mesh: ObjMesh, chosen: np.ndarray, tiles: float) -> ObjMesh:
    """Box-projected texture coordinates for the `chosen` faces (F,) bool."""
    triangles = mesh.vertices[mesh.faces[chosen]]
    normals = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    axis = np.abs(normals).argmax(axis=1)
    low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
    scaled = (triangles - low) * (tiles / max(float((high - low).max()), 1e-12))
    plane = np.array([[1, 2], [0, 2], [0, 1]])[axis]  # the axes across and up the picture
    corners = np.take_along_axis(scaled, np.repeat(plane[:, None, :], 3, axis=1), axis=2).reshape(-1, 2)
    uvs, index = np.unique(corners.round(4), axis=0, return_inverse=True)
    face_uvs = mesh.face_uvs.copy()
    face_uvs[chosen] = index.reshape(-1, 3) + len(mesh.uvs)
    return replace(mesh, uvs=np.concatenate([mesh.uvs, uvs]), face_uvs=face_uvs)


def jpeg(data: bytes, side: int = TEXTURE_SIDE, background: tuple[int, int, int] = (255, 255, 255)) -> bytes:
    """A picture as RGB JPEG with its longest side at most `side`; transparent parts show `background`."""
    picture = Image.open(io.BytesIO(data)).convert("RGBA")
    flat = Image.new("RGBA", picture.size, (*background, 255))
    flat.alpha_composite(picture)
    longest = max(flat.size)
    if longest > side:
        flat = flat.resize([max(1, round(n * side / longest)) for n in flat.size], Image.Resampling.LANCZOS)
    out = io.BytesIO()
    flat.convert("RGB").save(out, "JPEG", quality=JPEG_QUALITY, optimize=True)
    return out.getvalue()


def _drop_unused(mesh: ObjMesh) -> ObjMesh:
    """Without vertices and texture coordinates that no face names."""
    used, faces = np.unique(mesh.faces, return_inverse=True)
    has_uv = mesh.face_uvs != NO_UV
    used_uvs, index = np.unique(mesh.face_uvs[has_uv], return_inverse=True)
    face_uvs = np.full_like(mesh.face_uvs, NO_UV)
    face_uvs[has_uv] = index
    return replace(
        mesh,
        vertices=mesh.vertices[used],
        uvs=mesh.uvs[used_uvs],
        faces=faces.reshape(-1, 3),
        face_uvs=face_uvs,
    )


def _looks(
    recipe: Mapping[str, Any], mesh: ObjMesh, found: Mapping[str, Material], looks: Mapping[str, Look]
) -> list[Look]:
    """The look of each material of `mesh`, by the recipe, else by the package's own MTL."""
    own = {
        name: looks[value] if isinstance(value, str) else look_of(value)
        for name, value in recipe.get("materials", {}).items()
    }
    chosen = []
    for name in mesh.materials:
        if name in own:
            chosen.append(own[name])
        elif name in looks:
            chosen.append(looks[name])
        elif DEFAULT in own:
            chosen.append(own[DEFAULT])
        elif name in found:
            chosen.append(Look(color=found[name].color))
        else:
            raise BadInput(
                f"recipe {recipe['id']!r} says nothing about material {name!r}", fix="add it to `materials`"
            )
    return chosen


def build(recipe: Mapping[str, Any], read: Read, looks: Mapping[str, Look]) -> dict[str, bytes]:
    """All files of one model, {file name: bytes}. BadInput when a part of the recipe is no good."""
    try:
        parts = [_load_part(*place, read) for place in _places(recipe)]
    except ValueError as error:
        raise BadInput(f"recipe {recipe['id']!r}: {error}") from None
    mesh = join([part for part, _ in parts])
    found = {name: material for _, materials in parts for name, material in materials.items()}
    if "palette" in recipe:
        palette = list(dict.fromkeys(recipe["palette"]))
        dealt = np.array([palette.index(name) for name in recipe["palette"]], dtype=np.int64)
        pieces = connected_pieces(mesh)
        mesh = replace(mesh, materials=tuple(palette), face_materials=dealt[pieces % len(dealt)])
    return write_model(mesh, _looks(recipe, mesh, found, looks), read)


def write_model(mesh: ObjMesh, looks: Sequence[Look], read: Read) -> dict[str, bytes]:
    """OBJ, MTL and textures of a mesh whose material k has the look k. Material names become m0, m1, ..."""
    files: dict[str, bytes] = {}
    textures: dict[str, str] = {}
    materials = []
    for slot, look in enumerate(looks):
        chosen = mesh.face_materials == slot
        texture = None
        if look.texture:
            texture = textures.setdefault(look.texture, f"texture{len(textures) or ''}.jpg")
            files[texture] = jpeg(read(look.texture))
            if look.uv == "box" or (mesh.face_uvs[chosen] == NO_UV).any():
                mesh = box_uvs(mesh, chosen, look.tiles)
        materials.append(Material(f"m{slot}", look.color if texture is None else (1.0, 1.0, 1.0), texture))
    mesh = _drop_unused(replace(mesh, materials=tuple(material.name for material in materials)))
    files[MODEL_FILE] = format_obj(mesh, MTL_FILE).encode()
    files[MTL_FILE] = format_mtl(materials).encode()
    return files


def write_files(files: Mapping[str, bytes], folder: Path) -> None:
    """Write the files of one model into `folder`, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in sorted(files.items()):
        (folder / name).write_bytes(data)
