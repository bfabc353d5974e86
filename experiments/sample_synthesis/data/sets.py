"""The real images of an object, whatever its settings name; and how they are kept between stages.

A finished folder holds train.json, valid.json, test.json (COCO) and index.json: counts, digests, what was
left out, and where the pictures lie. User data is not copied: the index names its folder as the settings do,
below DATA_DIR or absolute. Composed stand-ins lie in the folder itself, rendered ones in the repository.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.sample_synthesis.config_sections import RealConfig
from experiments.sample_synthesis.data.cars import cars
from experiments.sample_synthesis.data.coco_folder import coco
from experiments.sample_synthesis.data.cub import cub
from experiments.sample_synthesis.data.fddb import fddb
from experiments.sample_synthesis.data.qr_csv import qr_csv
from experiments.sample_synthesis.data.splits import check_disjoint, differences, keep_first
from experiments.sample_synthesis.data.standin import standin
from experiments.sample_synthesis.data.types import SPLITS, RealSet
from experiments.sample_synthesis.data.where import absent
from experiments.sample_synthesis.names import label_of
from suite.datasets import read_coco, write_coco
from suite.datasets.faults import Skipped
from suite.errors import BadInput, Missing
from suite.manifest import file_digest, key_of, read_json, write_json
from suite.paths import data_path
from suite.provenance import ROOT

INDEX = "index.json"


def load_real(name: str, real: RealConfig, *, work: Path, threads: int = 1) -> dict[str, RealSet]:
    """The three splits of object `name`. `work`: where composed stand-ins are written. Raises Missing,
    BadInput.
    """
    limits = {"train": real.max_train, "valid": real.max_valid, "test": real.max_test}
    if real.kind == "standin":
        sets = standin(name, work, limits=limits, threads=threads)
    else:
        root = data_path(real.folder)
        if not root.is_dir():
            raise absent(real.kind, root)
        sets = _read(name, real, root, threads)
    check_disjoint(sets)
    return {split: keep_first(sets[split], limits[split]) for split in SPLITS}


def _read(name: str, real: RealConfig, root: Path, threads: int) -> dict[str, RealSet]:
    if real.kind == "qr_csv":
        return qr_csv(root, num_valid=real.num_valid, threads=threads)
    if real.kind == "fddb":
        return fddb(root, threads=threads)
    if real.kind == "cub":
        file = None if real.split_file is None else root / real.split_file
        return cub(root, split_file=file, threads=threads)
    if real.kind == "cars":
        return cars(root, num_valid=real.num_valid, threads=threads)
    return coco(root, label=label_of(name), num_valid=real.num_valid, threads=threads)


def write_sets(folder: Path, name: str, real: RealConfig, sets: Mapping[str, RealSet]) -> dict[str, Any]:
    """Write the splits and their index into `folder`; returns the index."""
    index: dict[str, Any] = {
        "object": name,
        "label": label_of(name),
        "source": real.kind,
        "stand_in": real.kind == "standin",
        "differences": list(differences(sets)),
        "left_out": dict(skipped_of(sets).counts),
        "examples": [_without_folder(text, real) for text in skipped_of(sets).examples],
        "splits": {},
    }
    for split, real_set in sets.items():
        path = folder / f"{split}.json"
        write_coco(path, real_set.coco)
        pictures = [[image.file_name, image.extra["sha256"]] for image in real_set.coco.images]
        index["splits"][split] = {
            "images": len(real_set),
            "boxes": len(real_set.coco.annotations),
            "clipped_boxes": real_set.coco.info["info"]["clipped_boxes"],
            "bytes": sum(image.extra["bytes"] for image in real_set.coco.images),
            "sha256": file_digest(path),
            "pictures_sha256": key_of({"pictures": pictures}),
            "pictures": place_of(real_set.images_dir, folder, real),
        }
    write_json(folder / INDEX, index)
    return index


def place_of(images_dir: Path, folder: Path, real: RealConfig) -> dict[str, str]:
    """Where a folder of pictures lies: {"in": here, repository or data, "path": relative to that}."""
    roots = (
        {"here": folder, "repository": ROOT} if real.kind == "standin" else {"data": data_path(real.folder)}
    )
    for kind, root in roots.items():
        if images_dir.is_relative_to(root):
            inner = images_dir.relative_to(root).as_posix()
            return {"in": kind, "path": f"{real.folder}/{inner}" if kind == "data" else inner}
    raise BadInput("the pictures lie outside the folder of the data set", file=images_dir)


def read_index(folder: Path) -> tuple[Path, dict[str, Any]]:
    """The index of a finished data stage, and the folder where it lies (the stage's or its shard's). Raises
    BadInput.
    """
    for path in (folder / INDEX, *sorted(folder.glob(f"[0-9]*/{INDEX}"))):
        index = read_json(path)
        if isinstance(index, dict) and "splits" in index:
            return path.parent, index
    raise BadInput(f"holds no readable {INDEX}", file=folder, fix="run the stage `data` first")


def read_sets(folder: Path) -> dict[str, RealSet]:
    """The splits that write_sets wrote. Raises Missing where the pictures have gone since, BadInput."""
    folder, index = read_index(folder)
    sets = {}
    for split, facts in index["splits"].items():
        place = facts["pictures"]
        roots = {"here": folder, "repository": ROOT}
        images_dir = data_path(place["path"]) if place["in"] == "data" else roots[place["in"]] / place["path"]
        if not images_dir.is_dir():
            raise Missing(
                "the pictures are gone", file=images_dir, fix="put them back, or run the stage `data`"
            )
        tree = read_coco(folder / f"{split}.json", box_tolerance=float("inf"))
        sets[split] = RealSet(tree, images_dir, split, index["source"])
    return sets


def skipped_of(sets: Mapping[str, RealSet]) -> Skipped:
    """What reading left out, over all splits: the accounts add up, the last one has it all."""
    return max((real.coco.skipped for real in sets.values()), key=lambda skipped: skipped.total)


def _without_folder(text: str, real: RealConfig) -> str:
    """A message without the machine's path to the data, so that the index is the same everywhere."""
    return text if real.folder is None else text.replace(str(data_path(real.folder)), real.folder)
