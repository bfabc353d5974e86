"""From finished pictures to the files of assets/sample_synthesis: COCO JSON, JPEG, PNG, listing.

No Blender here.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from assets.make.sample_synthesis_plan import (
    CODES,
    LISTING,
    SEED,
    SETS,
    VERSION,
    Plan,
    Wanted,
    file_name,
    folder_of,
)
from suite.datasets import CocoAnnotation, CocoCategory, CocoImage, CocoSet, write_coco
from suite.errors import BadInput, Missing
from suite.manifest import file_digest, read_json, write_json

COMMANDS = (
    "python -m assets.make.sample_synthesis_codes assets/sample_synthesis/qr_photos/codes.json",
    "python -m assets.make.sample_synthesis --out assets/sample_synthesis --work runs/samples-new",
)
DESCRIPTION = "sample synthesis: rendered stand-in for photographs"
LICENSE = {"id": 1, "name": "Apache-2.0; 3D models: see assets/meshes/LICENSES", "url": ""}


def _note(plan: Plan, wanted: Wanted) -> dict[str, Any]:
    path = plan.note(*wanted)
    note = read_json(path)
    if note is None:
        raise Missing("this picture is not finished", file=path, fix="run the command again")
    return note


def _annotation(row: dict[str, Any], number: int, image_id: int) -> CocoAnnotation:
    """A row of a checkpoint's note; x1, y1, x2, y2 becomes x, y, width, height."""
    x1, y1, x2, y2 = row["box"]
    box = (x1, y1, round(x2 - x1, 2), round(y2 - y1, 2))
    extra = {key: value for key, value in row.items() if key not in ("box", "area", "design")}
    return CocoAnnotation(
        id=number, image_id=image_id, category_id=1, box_xywh=box, area=round(box[2] * box[3], 2), extra=extra
    )


def write_scenes(out: Path, name: str, split: str, indices: Sequence[int], plan: Plan) -> CocoSet:
    """Write <split>.json and its pictures of one set; returns the set."""
    chosen, folder = SETS[name], out / folder_of(name)
    images, annotations = [], []
    for index in indices:
        target = folder / file_name(name, split, index)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(plan.picture(name, split, index), target)
        images.append(CocoImage(index + 1, target.name, *chosen.resolution, {"license": LICENSE["id"]}))
        for row in _note(plan, (name, split, index))["objects"]:
            annotations.append(_annotation(row, len(annotations) + 1, index + 1))
    info = {"info": {"description": f"{DESCRIPTION}: {name}", "split": split}, "licenses": [LICENSE]}
    coco = CocoSet(tuple(images), tuple(annotations), (CocoCategory(1, chosen.label, "object"),), info)
    write_coco(folder / f"{split}.json", coco)
    return coco


def write_cutouts(out: Path, name: str, indices: Sequence[int], plan: Plan) -> None:
    """Copy the cut-outs of one set."""
    folder = out / folder_of(name)
    folder.mkdir(parents=True, exist_ok=True)
    for index in indices:
        shutil.copyfile(plan.picture(name, "objects", index), folder / file_name(name, "objects", index))


def assemble(out: Path, wanted: Sequence[Wanted], plan: Plan) -> None:
    """Write the sets that `wanted` names from finished checkpoints, and a listing of all that `out` holds.

    Raises BadInput if a set is larger than it may be.
    """
    rows: dict[str, Any] = (read_json(out / LISTING) or {}).get("sets", {})
    for name in dict.fromkeys(name for name, _, _ in wanted):
        folder = out / folder_of(name)
        shutil.rmtree(folder / "images" if SETS[name].scenes else folder, ignore_errors=True)
        row: dict[str, Any] = {"label": SETS[name].label, "splits": {}}
        designs: dict[str, list[Any]] = {}
        for split in SETS[name].splits:
            indices = [index for other, place, index in wanted if (other, place) == (name, split)]
            if SETS[name].scenes:
                coco = write_scenes(out, name, split, indices, plan)
                row["splits"][split] = {"pictures": len(coco.images), "objects": len(coco.annotations)}
            else:
                write_cutouts(out, name, indices, plan)
                row["splits"][split] = {"pictures": len(indices), "objects": len(indices)}
            shown = [_note(plan, (name, split, index))["objects"] for index in indices]
            designs[split] = [
                [found["design"] for found in objects if "design" in found] for objects in shown
            ]
        if name != "qr_photos":
            row["designs"] = designs
        if name == "qr_photos" and out / folder_of(name) != CODES.parent:
            shutil.copyfile(CODES, folder / CODES.name)
        row["files"] = _digests(out, folder)
        row["bytes"] = sum((out / path).stat().st_size for path in row["files"])
        if row["bytes"] > SETS[name].max_bytes:
            raise BadInput(
                f"{row['bytes']} bytes, allowed are {SETS[name].max_bytes}",
                file=folder,
                fix="lower the quality",
            )
        rows[name] = row
    listing = {
        "name": "sample_synthesis", "description": DESCRIPTION, "commands": list(COMMANDS), "seed": SEED,
        "version": VERSION, "sets": rows,
    }  # fmt: skip
    write_json(out / LISTING, listing)


def _digests(out: Path, folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(out).as_posix(): file_digest(path) for path in files}
