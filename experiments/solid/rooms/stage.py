"""Stage rooms: make the procedural rooms or take SceneNet's, measure each through the same loader.

rooms.json         {"rooms": [{"id", "glb", "npz", "matrix", "surfaces", "materials"}]}, see library.py
models/NNN.npz     `triangles` float32 (T, 3, 3) in world space, `surface` int32 (T,)
procedural         models/NNN.glb and textures/<material>/*.jpg (a copy of assets/textures)
scenenet           `source` -> the folder with models/NNN.glb and textures/<material>/ (a link, not a copy)
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from experiments.solid.rooms.procedural import write_room
from experiments.solid.rooms.textures import candidates
from suite.arrays import write_arrays
from suite.errors import BadInput, Missing
from suite.paths import data_path
from suite.seeds import item_rng

TEXTURES = Path(__file__).resolve().parents[3] / "assets" / "textures"
STREAM = "solid.room"
SOURCE = "source"  # name of the link to a SceneNet folder
# Rooms of the authors' cleaned set [published code].
SCENENET_IDS = (
    0, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13, 15, 17, 18, 25, 26, 27, 28, 29, 30, 31, 32, 37, 38, 39, 41, 42, 43,
    45, 46, 50, 51, 52, 53, 54, 56, 57, 58, 59, 60,
)  # fmt: skip
MAX_BAD_SHARE = 0.1  # of SceneNet's rooms; the authors' set is cleaned already


def run(ctx: Any) -> None:
    """Stage function."""
    from experiments.solid.render.rooms_scan import (
        scan_room,
    )  # needs bpy, which the launcher's Python has not

    (ctx.out / "models").mkdir(exist_ok=True)
    if ctx.config.rooms.source == "scenenet":
        files, textures = (
            link_scenenet(ctx.config.rooms.folder, ctx.out, final=ctx.final),
            f"{SOURCE}/textures",
        )
    else:
        textures = "textures"
        copy_textures(ctx.out / textures)
        files = make_rooms(ctx)
    rooms, bad = [], []
    for glb in files:
        ctx.check_stop()
        try:
            rooms.append(describe(scan_room(ctx.out / glb, ctx.config), glb, ctx.out, textures))
        except BadInput as error:
            bad.append(glb)
            ctx.warn(f"room skipped: {error}")
    if not rooms or len(bad) > MAX_BAD_SHARE * len(files):
        raise BadInput(
            f"{len(bad)} of {len(files)} rooms cannot be used",
            file=ctx.out / files[0],
            fix="see the warnings",
        )
    if ctx.config.rooms.source == "scenenet":
        told = differs_from_published([Path(name).stem for name in files])
        if told:
            ctx.warn(told)
    (ctx.out / "rooms.json").write_text(json.dumps({"rooms": rooms}, indent=1) + "\n", encoding="utf-8")
    ctx.count("rooms", len(rooms))
    ctx.count("skipped", len(bad))


def differs_from_published(names: Sequence[str]) -> str | None:
    """One line about rooms that the published set has and this one not, or the other way round; else None."""
    published = {f"{number:03d}" for number in SCENENET_IDS}
    gone, more = sorted(published - {*names}), sorted({*names} - published)
    parts = [f"{len(gone)} of them are not here ({', '.join(gone[:5])} ...)"] if gone else []
    parts += [f"{len(more)} here are not among them ({', '.join(more[:5])} ...)"] if more else []
    return f"the published set has {len(published)} rooms: {'; '.join(parts)}" if parts else None


def make_rooms(ctx: Any) -> list[str]:
    """Write the procedural rooms; their paths below the stage's folder."""
    files = [f"models/{index:03d}.glb" for index in range(ctx.config.rooms.num_rooms)]
    if not files:
        raise BadInput("`rooms.num_rooms` is 0", fix="set it to at least 1")
    for index, name in enumerate(files):
        write_room(str(ctx.out / name), index, item_rng(ctx.seed, STREAM, index))
    return files


def copy_textures(target: Path, source: Path = TEXTURES) -> None:
    """Copy the pictures of assets/textures, checked by their folders only."""
    if not source.is_dir():
        raise Missing("the embedded textures are gone", file=source, fix="restore them: git checkout assets")
    shutil.rmtree(target, ignore_errors=True)
    for picture in sorted(source.glob("*/*.jpg")):
        (target / picture.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(picture, target / picture.parent.name / picture.name)


def link_scenenet(folder: str | None, out: Path, *, final: Path) -> list[str]:
    """Link the SceneNet folder as `source`; the rooms' paths below the stage's folder, sorted."""
    if folder is None:
        raise BadInput("`rooms.source` is scenenet but `rooms.folder` is not set", fix="-o rooms.folder=DIR")
    root = data_path(folder)
    for part in ("models", "textures"):
        if not (root / part).is_dir():
            raise Missing(
                f"holds no folder {part!r}",
                file=folder,
                fix="put it there (`make doctor` says where it comes from)",
            )
    link = out / SOURCE
    if link.is_symlink():
        link.unlink()
    link.symlink_to(os.path.relpath(root, final), target_is_directory=True)
    names = sorted(
        path.name for path in (root / "models").iterdir() if path.suffix.lower() in (".glb", ".gltf")
    )
    if not names:
        raise Missing("holds no .glb file", file=root / "models", fix="put NNN.glb files there")
    return [f"{SOURCE}/models/{name}" for name in names]


def describe(room: Any, glb: str, out: Path, textures: str) -> dict:
    """The entry of rooms.json for a scanned room; writes its arrays."""
    room_id = Path(glb).stem
    npz = f"models/{room_id}.npz"
    write_arrays(out / npz, triangles=room.triangles, surface=room.surface)
    return {
        "id": room_id,
        "glb": glb,
        "npz": npz,
        "matrix": [[float(x) for x in row] for row in room.matrix],
        "surfaces": list(room.surfaces),
        "materials": dict(_materials(room.textured, out, textures)),
    }


def _materials(names: tuple[str, ...], out: Path, textures: str) -> Iterator[tuple[str, list[str]]]:
    """(material, candidate pictures below the stage's folder)."""
    for name in names:
        found = candidates(name, out / textures)
        yield name, [f"{textures}/{path.parent.name}/{path.name}" for path in found]
