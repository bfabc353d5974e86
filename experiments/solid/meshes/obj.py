"""Wavefront OBJ and MTL as arrays: read strictly, write the same bytes for the same arrays.

Strict on purpose. Common readers take a file that was cut off in the middle and hand back half a mesh; here a
number that does not parse, a coordinate that is missing or a face that names a vertex that is not there is a
ValueError with the reason, so that the index can reject the mesh and say why.

Read: v, vt, f (polygons become fans of triangles; relative indices), usemtl, mtllib, newmtl, Kd, any map_*.
Not read: curves, surfaces, smoothing groups, normals (shading is decided later, by the edge angle).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

NO_UV = -1  # in `face_uvs`: this corner has no texture coordinate
UNNAMED = ""  # name of the material of faces that stand before the first usemtl


@dataclass(frozen=True, eq=False)
class ObjMesh:
    """Triangles with a material each. All indices count from 0."""

    vertices: np.ndarray  # (V, 3) float64
    uvs: np.ndarray  # (T, 2) float64
    faces: np.ndarray  # (F, 3) int64 into vertices
    face_uvs: np.ndarray  # (F, 3) int64 into uvs, NO_UV where a corner has none
    face_materials: np.ndarray  # (F,) int64 into materials
    materials: tuple[str, ...]
    libraries: tuple[str, ...] = ()  # mtllib file names as written


@dataclass(frozen=True)
class Material:
    """What is kept of an MTL material."""

    name: str
    color: tuple[float, float, float] = (0.8, 0.8, 0.8)  # Kd, linear as Blender reads it
    texture: str | None = None  # map_Kd, a file name relative to the MTL file
    other_maps: tuple[str, ...] = ()  # further map_* and bump files, relative to the MTL file


def _numbers(rows: list[bytes], keyword: str, columns: int) -> np.ndarray:
    """The first `columns` numbers of each row; ValueError names the first bad row."""
    if not rows:
        return np.zeros((0, columns))
    tokens = [row.split() for row in rows]
    widths = {len(row) for row in tokens}
    if min(widths) < columns:
        short = next(i for i, row in enumerate(tokens) if len(row) < columns)
        raise ValueError(
            f"`{keyword}` number {short + 1} has {len(tokens[short])} of {columns} numbers (truncated?)"
        )
    try:
        if len(widths) == 1:
            return np.array(tokens, dtype=np.float64)[:, :columns]
        return np.array([row[:columns] for row in tokens], dtype=np.float64)
    except ValueError as error:
        raise ValueError(f"a `{keyword}` line holds something that is no number ({error})") from None


def _index(token: bytes, count: int, what: str) -> int:
    """An OBJ index (from 1, or negative from the end so far) as an index from 0."""
    try:
        value = int(token)
    except ValueError:
        raise ValueError(
            f"a face names {what} {token.decode('ascii', 'replace')!r}, which is no number"
        ) from None
    position = value - 1 if value > 0 else count + value
    if value == 0 or position < 0:
        raise ValueError(f"a face names {what} {value}, which does not exist")
    return position


def _corners(tokens: list[bytes], num_vertices: int, num_uvs: int) -> list[tuple[int, int]]:
    if len(tokens) < 3:
        raise ValueError(f"a face has {len(tokens)} corners (truncated?)")
    corners = []
    for token in tokens:
        vertex, _, rest = token.partition(b"/")
        uv = rest.partition(b"/")[0]
        corners.append((_index(vertex, num_vertices, "vertex"), _index(uv, num_uvs, "uv") if uv else NO_UV))
    return corners


def parse_obj(data: bytes) -> ObjMesh:
    """Read the bytes of an OBJ file. Raises ValueError with the reason in words."""
    vertex_rows: list[bytes] = []
    uv_rows: list[bytes] = []
    triangles: list[tuple[tuple[int, int], ...]] = []
    face_materials: list[int] = []
    materials: dict[str, int] = {}
    libraries: list[str] = []
    current = UNNAMED
    for line in data.replace(b"\\\r\n", b" ").replace(b"\\\n", b" ").splitlines():
        keyword, _, rest = line.strip().partition(b" ")
        if keyword == b"v":
            vertex_rows.append(rest)
        elif keyword == b"vt":
            uv_rows.append(rest)
        elif keyword == b"f":
            corners = _corners(rest.split(), len(vertex_rows), len(uv_rows))
            slot = materials.setdefault(current, len(materials))
            for k in range(1, len(corners) - 1):
                triangles.append((corners[0], corners[k], corners[k + 1]))
                face_materials.append(slot)
        elif keyword == b"usemtl":
            current = rest.strip().decode("utf-8", "replace")
        elif keyword == b"mtllib":
            libraries.append(rest.strip().decode("utf-8", "replace"))
    vertices, uvs = _numbers(vertex_rows, "v", 3), _numbers(uv_rows, "vt", 2)
    table = np.array(triangles, dtype=np.int64).reshape(-1, 3, 2)
    faces, face_uvs = table[..., 0], table[..., 1]
    if len(faces) and faces.max() >= len(vertices):
        raise ValueError(f"a face names vertex {faces.max() + 1} of {len(vertices)} (truncated?)")
    if len(faces) and face_uvs.max() >= len(uvs):
        raise ValueError(f"a face names uv {face_uvs.max() + 1} of {len(uvs)} (truncated?)")
    return ObjMesh(
        vertices,
        uvs,
        faces,
        face_uvs,
        np.array(face_materials, dtype=np.int64),
        tuple(materials),
        tuple(libraries),
    )


def _map_file(rest: str) -> str:
    """The file name of a map line: what is left after the `-option value ...` pairs."""
    tokens = rest.split()
    counts = {"-o": 3, "-s": 3, "-t": 3, "-mm": 2}
    while tokens and tokens[0].startswith("-"):
        take = counts.get(tokens[0], 1)
        del tokens[: 1 + take]
    return " ".join(tokens).replace("\\", "/")


def parse_mtl(text: str) -> dict[str, Material]:
    """Read an MTL file; the last map_Kd of a material wins."""
    found: dict[str, dict] = {}
    here: dict | None = None
    for line in text.splitlines():
        keyword, _, rest = line.strip().replace("\t", " ").partition(" ")
        if keyword == "newmtl":
            here = found.setdefault(rest.strip(), {"other": []})
        elif here is None:
            continue
        elif keyword == "Kd":
            values = [float(x) for x in rest.split()[:3]]
            if len(values) == 3:
                here["color"] = tuple(values)
        elif keyword.lower() == "map_kd":
            here["texture"] = _map_file(rest) or None
        elif keyword.lower().startswith(("map_", "bump", "disp", "norm")) and _map_file(rest):
            here["other"].append(_map_file(rest))
    return {
        name: Material(name, facts.get("color", (0.8, 0.8, 0.8)), facts.get("texture"), tuple(facts["other"]))
        for name, facts in found.items()
    }


def _short(value: float) -> str:
    """Six significant digits; never "-0"."""
    text = f"{value:.6g}"
    return "0" if text == "-0" else text


def format_obj(mesh: ObjMesh, library: str) -> str:
    """OBJ text: faces in material order, smooth shading on (edges are split later by their angle)."""
    lines = [f"mtllib {PurePosixPath(library).name}"]
    lines += ["v " + " ".join(_short(x) for x in row) for row in mesh.vertices.tolist()]
    lines += ["vt " + " ".join(f"{x:.5g}" for x in row) for row in mesh.uvs.tolist()]
    lines.append("s 1")
    for slot, name in enumerate(mesh.materials):
        chosen = mesh.face_materials == slot
        if not chosen.any():
            continue
        lines.append(f"usemtl {name}")
        for corners, uvs in zip(mesh.faces[chosen].tolist(), mesh.face_uvs[chosen].tolist(), strict=True):
            tokens = (
                f"{v + 1}" if t == NO_UV else f"{v + 1}/{t + 1}" for v, t in zip(corners, uvs, strict=True)
            )
            lines.append("f " + " ".join(tokens))
    return "\n".join(lines) + "\n"


def format_mtl(materials: list[Material]) -> str:
    """MTL text with a matte surface: the published renders use no glossy bounce."""
    blocks = []
    for material in materials:
        lines = [
            f"newmtl {material.name}",
            "Kd " + " ".join(_short(x) for x in material.color),
            "Ks 0 0 0",
            "Ns 10",
        ]
        if material.texture:
            lines.append(f"map_Kd {material.texture}")
        blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)
