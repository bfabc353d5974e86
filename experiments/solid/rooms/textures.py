"""Which pictures a room's material may wear (SOLID, published code).

The material's name is cut at the first ".", underscores and digits are removed, and what is left names a
folder: "wall_01.003" -> textures/wall/. Without such a folder, textures/unknown/ serves. One of the
folder's files, sorted, is drawn at random for each scene.
"""

from __future__ import annotations

from pathlib import Path

from suite.errors import BadInput, Missing

UNKNOWN = "unknown"


def folder_name(material: str) -> str:
    """The folder's name for a material name; it may be empty."""
    return "".join(letter for letter in material.partition(".")[0] if letter != "_" and not letter.isdigit())


def candidates(material: str, textures: Path) -> list[Path]:
    """The sorted files that `material` may wear. Missing if neither folder exists, BadInput if empty."""
    name = folder_name(material)
    folder = textures / name
    if not name or name in (".", "..") or "/" in name or not folder.is_dir():
        folder = textures / UNKNOWN
    if not folder.is_dir():
        raise Missing(
            f"no folder of pictures for material {material!r}",
            file=textures,
            fix=f"make {name or UNKNOWN!r} or {UNKNOWN!r} there with at least one picture",
        )
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    if not files:
        raise BadInput("the folder of pictures is empty", file=folder, fix="put at least one picture there")
    return files
