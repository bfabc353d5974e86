"""From finished pictures to the files of assets/tabletop: COCO JSON, JPEG, listing. No Blender here."""

from __future__ import annotations

import io
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from assets.make.tabletop_plan import SEED, Plan, config_digest
from assets.make.tabletop_rooms import floor_kind
from assets.make.tabletop_scene import STREAMS, class_names
from experiments.solid.config import SolidConfig
from experiments.solid.layout.scene import Scene
from experiments.solid.library import MeshLibrary
from experiments.solid.store.samples import TargetSample, load_sample
from suite.datasets import CocoAnnotation, CocoCategory, CocoImage, CocoSet, write_coco
from suite.datasets.rle import encode_rle
from suite.datasets.tabletop import LISTING, TABLETOP_SPLITS
from suite.errors import BadInput
from suite.manifest import file_digest, write_json

JPEG_QUALITY = 90
MAX_BYTES = 8_000_000
COMMAND = "python -m assets.make.tabletop --out assets/tabletop --work runs/tabletop-new"
DESCRIPTION = "tabletop: rendered stand-in for a real target data set at smoke scale"
PLURALS = {"bread": ("a loaf of bread", "loaves of bread")}  # where an -s and an article do not do
NUMBERS = ("no", "one", "two", "three", "four", "five", "six")
LICENSE = {"id": 1, "name": "Apache-2.0; 3D models: see assets/meshes/LICENSES", "url": ""}


def caption(scene: Scene, classes: Sequence[str]) -> str:
    """A sentence about the scene file: `a mug and two cartons on a wooden floor`.

    `classes`: name of each class id of the scene. Classes in the order in which they were placed.
    """
    counted = Counter(classes[placed.class_id] for placed in scene.objects)
    parts = [_phrase(name, count) for name, count in counted.items()]
    things = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
    (floor,) = [path for material, path in scene.room.textures.items() if material.startswith("floor")]
    return f"{things} on a {floor_kind(floor)} floor"


def _phrase(name: str, count: int) -> str:
    singular, plural = PLURALS.get(name, (f"a {name}", f"{name}s"))
    return singular if count == 1 else f"{NUMBERS[count]} {plural}"


def encode_jpeg(rgb: np.ndarray) -> bytes:
    """(H, W, 3) uint8 -> JPEG bytes of quality 90."""
    buffer = io.BytesIO()
    Image.fromarray(rgb, "RGB").save(buffer, format="JPEG", quality=JPEG_QUALITY, optimize=True)
    return buffer.getvalue()


def annotations_of(sample: TargetSample, image_id: int, first_id: int, category_ids: Sequence[int]) -> list:
    """One CocoAnnotation an object. `category_ids`: of each class id of the scene."""
    found = []
    for row, (x1, y1, x2, y2, class_id) in enumerate(sample.bboxes.tolist()):
        mask = sample.label_map == row + 1
        found.append(
            CocoAnnotation(
                id=first_id + row, image_id=image_id, category_id=category_ids[class_id],
                box_xywh=(x1, y1, x2 - x1, y2 - y1), area=int(mask.sum()), segmentation=encode_rle(mask),
                extra={"visibility": round(float(sample.visibility[row]), 3)},
            )
        )  # fmt: skip
    return found


def write_split(out: Path, split: str, indices: Sequence[int], plan: Plan, meshes: MeshLibrary) -> CocoSet:
    """Write <split>.json and images/<split>/ from the checkpoints; returns the set. Raises BadInput."""
    names = class_names(meshes)
    by_class = [entry["class"] for entry in meshes.classes]
    category_ids = [names.index(name) + 1 for name in by_class]
    folder = out / "images" / split
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    images, annotations = [], []
    for index in indices:
        sample = load_sample(plan.checkpoints(split), index)
        if not isinstance(sample, TargetSample):
            raise BadInput(
                "not a picture", file=plan.checkpoints(split), fix="delete the folder and start again"
            )
        name = f"{index + 1:06d}.jpg"
        rgb = sample.rgb()
        (folder / name).write_bytes(encode_jpeg(rgb))
        text = caption(Scene.from_json(sample.scene), by_class)
        extra = {"caption": text, "license": LICENSE["id"]}
        images.append(CocoImage(index + 1, name, rgb.shape[1], rgb.shape[0], extra))
        annotations += annotations_of(sample, index + 1, len(annotations) + 1, category_ids)
    categories = tuple(CocoCategory(number, name, "object") for number, name in enumerate(names, start=1))
    info = {"info": {"description": DESCRIPTION, "split": split}, "licenses": [LICENSE]}
    coco = CocoSet(tuple(images), tuple(annotations), categories, info)
    write_coco(out / f"{split}.json", coco)
    return coco


def write_listing(out: Path, sets: dict[str, CocoSet], config: SolidConfig, plan: Plan) -> None:
    """Write tabletop.json: what the set holds, how it was made, and the digest of every other file.

    Raises BadInput if the set is larger than it may be.
    """
    meshes = MeshLibrary.load(plan.clean)
    ids: dict[str, list[str]] = {name: [] for name in class_names(meshes)}
    for entry in meshes.classes:
        ids[entry["class"]].append(entry["id"])
    files = [out / f"{split}.json" for split in sets]
    files += [path for split in sets for path in sorted((out / "images" / split).iterdir())]
    size = sum(path.stat().st_size for path in files)
    if size > MAX_BYTES:
        raise BadInput(f"{size} bytes, allowed are {MAX_BYTES}", file=out, fix="lower the JPEG quality")
    write_json(
        out / LISTING,
        {
            "name": "tabletop",
            "description": DESCRIPTION,
            "command": COMMAND,
            "config": "assets/make/tabletop.yaml",
            "config_sha256": config_digest(config),
            "seed": SEED,
            "streams": STREAMS,
            "classes": ids,
            "mesh_sha256": {entry["id"]: entry["sha256"] for entry in meshes.classes},
            "splits": {split: _counts(coco) for split, coco in sets.items()},
            "bytes": size,
            "files": {path.relative_to(out).as_posix(): file_digest(path) for path in files},
        },
    )


def _counts(coco: CocoSet) -> dict[str, Any]:
    counted = Counter(coco.category_by_id[a.category_id].name for a in coco.annotations)
    classes = {category.name: counted[category.name] for category in coco.categories}
    return {"pictures": len(coco.images), "objects": len(coco.annotations), "classes": classes}


def assemble(out: Path, wanted: Sequence[tuple[str, int]], config: SolidConfig, plan: Plan) -> None:
    """Write the whole set, or the part of it that `wanted` names, from finished checkpoints."""
    meshes = MeshLibrary.load(plan.clean)
    sets = {
        split: write_split(out, split, [index for name, index in wanted if name == split], plan, meshes)
        for split in TABLETOP_SPLITS
    }
    write_listing(out, sets, config, plan)
