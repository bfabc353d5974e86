"""Your own photographs: COCO JSON of one class.

    sets = coco(Path("data/mine"))       # train.json, valid.json, test.json, images/

`num_valid`: without valid.json, so many of the training images validate, drawn by seed 2020. Crowd regions
and objects to be ignored have no place in this training: they are left out and counted.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from experiments.sample_synthesis.data.build import build
from experiments.sample_synthesis.data.splits import hold_out, select
from experiments.sample_synthesis.data.types import SPLITS, Account, Listed, ListedBox, RealSet
from experiments.sample_synthesis.data.where import absent
from suite.datasets import CocoSet, read_coco
from suite.errors import BadInput


def coco(
    root: Path, *, label: str, num_valid: int | None = None, source: str = "coco", threads: int = 1
) -> dict[str, RealSet]:
    """The three splits; the one class is called `label` from here on. Raises Missing where a file is not
    there, BadInput for more than one class and for what is damaged.
    """
    account = Account(root)
    files = {split: root / f"{split}.json" for split in SPLITS if num_valid is None or split != "valid"}
    for path in files.values():
        if not path.is_file():
            raise absent("coco", path)
    listed = {split: _listed(path, account) for split, path in files.items()}
    # File names count from images/, or from the folder itself where they begin with that.
    named = (item.file_name.startswith("images/") for items in listed.values() for item in items)
    images_dir = root if all(named) else root / "images"
    sets = {
        split: build(
            listed[split], images_dir=images_dir, split=split, label=label, source=source,
            account=account, file=path, threads=threads,
        )
        for split, path in files.items()
    }  # fmt: skip
    if num_valid is not None:
        train, valid = hold_out(len(sets["train"]), num_valid)
        whole = sets["train"]
        sets["train"], sets["valid"] = select(whole, train), replace(select(whole, valid), split="valid")
    return {split: sets[split] for split in SPLITS}


def _listed(path: Path, account: Account) -> list[Listed]:
    tree: CocoSet = read_coco(path, on_bad="skip", box_tolerance=float("inf"))
    names = [category.name for category in tree.categories]
    if len(names) != 1:
        raise BadInput(f"has {len(names)} classes ({', '.join(names):.60})", file=path, fix="keep one class")
    for kind, items in tree.skipped.counts.items():
        for _ in range(items):
            account.intake.follow(kind)
    listed = []
    for place, image in enumerate(tree.images):
        boxes = []
        for annotation in tree.annotations_by_image[image.id]:
            if annotation.iscrowd or annotation.ignore:
                account.intake.follow("crowd or ignored object")
                continue
            account.num_boxes += 1
            x, y, width, height = annotation.box_xywh
            boxes.append(ListedBox((x, y, x + width, y + height), f"annotation {annotation.id}"))
        listed.append(
            Listed(image.file_name, tuple(boxes), place, f"image {image.id}", {"coco_id": image.id})
        )
    return listed
