"""Stages `import` and `verify`: which annotations and pictures are trained, validated and tested on.

`import` writes one database per annotation file: train.db, val.db, test.db. `verify` copies them and marks in
the copies what cannot be decoded, so that training never meets it. Without a validation file a share of the
training pictures is held out, by a hash of (seed, image id); without a test file the validation pictures are
tested on, and the report says so.
"""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.dense_detector.config import Data
from experiments.dense_detector.db import ImportCounts, import_coco, open_read_only
from experiments.dense_detector.selection import Selection, hash_split, select
from experiments.dense_detector.verify import verify
from suite.datasets.tabletop import tabletop_path
from suite.errors import BadInput
from suite.manifest import write_json
from suite.paths import data_path
from suite.stage import Context

if TYPE_CHECKING:
    from experiments.dense_detector.data import DetectionDataset

SPLITS = ("train", "val", "test")


@dataclass(frozen=True, eq=False)
class Subset:
    """Pictures to train, validate or test on, and the folder where they lie."""

    selection: Selection
    images_dir: Path

    @property
    def classes(self) -> tuple[tuple[int, str], ...]:
        """(category id, name) by label."""
        return tuple(zip(self.selection.category_ids, self.selection.class_names, strict=True))


def dataset_of(subset: Subset, data: Data, *, cache: bool | None = None) -> DetectionDataset:
    """The pictures of a subset as the config wants them; `cache` in place of `data.cache`."""
    from experiments.dense_detector.data import DetectionDataset  # torch: `import` and `verify` need none

    return DetectionDataset(
        subset.selection, subset.images_dir, size_wh=data.size_wh, grey=data.grey,
        cache=data.cache if cache is None else cache,
    )  # fmt: skip


def annotation_files(data: Data) -> dict[str, Path]:
    """The annotation file of each split that has one of its own."""
    if data.source == "tabletop":
        return {split: tabletop_path(split)[0] for split in SPLITS}
    if data.train_json is None:
        raise BadInput("`data.train_json` is not set", fix="pass -o data.train_json=FILE")
    named = {"train": data.train_json, "val": data.val_json, "test": data.test_json}
    return {split: data_path(name) for split, name in named.items() if name is not None}


def image_folder(data: Data, split: str) -> Path:
    """The folder of pictures of a split with an annotation file. Raises BadInput where none is named."""
    if data.source == "tabletop":
        return tabletop_path(split)[1]
    named = {"train": data.train_images, "val": data.val_images, "test": data.test_images}[split]
    if named is None:
        what, fix = (
            f"no folder of pictures is named for split {split!r}",
            f"pass -o data.{split}_images=FOLDER",
        )
        raise BadInput(what, fix=fix)
    return data_path(named)


def read_split(data: Data, database: Path, split: str, images_dir: Path, *, keep_empty: bool) -> Subset:
    """The chosen classes and areas of one split of a database."""
    with contextlib.closing(open_read_only(database)) as conn:
        selection = select(
            conn, split=split, classes=data.classes, area=data.area, area_policy=data.area_policy,
            keep_empty=keep_empty,
        )  # fmt: skip
    return Subset(selection, images_dir)


def training_sets(data: Data, folder: Path, seed: int) -> tuple[Subset, Subset]:
    """What is trained and what is validated on, from the databases of `verify`."""
    train = read_split(data, folder / "train.db", "train", image_folder(data, "train"), keep_empty=False)
    if "val" not in annotation_files(data):
        return hold_out(train, data.val_share, seed)
    val = read_split(data, folder / "val.db", "val", image_folder(data, "val"), keep_empty=True)
    return train, val


def hold_out(train: Subset, share: float, seed: int) -> tuple[Subset, Subset]:
    """(the rest, about `share` of the pictures); published: 25 percent, drawn anew in each run."""
    rest, held = hash_split(train.selection, share=share, seed=seed)
    return Subset(rest, train.images_dir), Subset(held, train.images_dir)


def test_set(data: Data, folder: Path, seed: int) -> Subset:
    """What is tested on: the test file's pictures, or the validation pictures where there is none."""
    if "test" not in annotation_files(data):
        return training_sets(data, folder, seed)[1]
    return read_split(data, folder / "test.db", "test", image_folder(data, "test"), keep_empty=True)


def run_import(ctx: Context) -> None:
    """Stage `import`."""
    counts = {}
    for split, path in annotation_files(ctx.config.data).items():
        ctx.check_stop()
        database = ctx.out / f"{split}.db"
        database.unlink(missing_ok=True)  # left by a kill
        counts[split] = import_coco(database, path, split=split)
        tell_rejected(ctx, split, counts[split])
        ctx.count("pictures", counts[split].images)
        ctx.count("annotations", counts[split].annotations)
    write_json(ctx.out / "counts.json", {split: vars(row) for split, row in counts.items()})


def tell_rejected(ctx: Context, split: str, counts: ImportCounts) -> None:
    """One warning per split that lost rows."""
    if counts.rejected:
        faults = ", ".join(f"{number} x {fault}" for fault, number in counts.rejected.items())
        ctx.warn(f"{split}: left out {faults}")


def run_verify(ctx: Context) -> None:
    """Stage `verify`."""
    data, report = ctx.config.data, {}
    for split in annotation_files(data):
        ctx.check_stop()
        database = ctx.out / f"{split}.db"
        shutil.copyfile(ctx.inputs["import"] / database.name, database)
        found = verify(database, image_folder(data, split))
        report[split] = {"pictures": found.num_images, "faults": found.faults, "examples": found.examples}
        ctx.count("pictures", found.num_images)
        ctx.count("skipped", found.num_skipped)
        if found.num_skipped:
            ctx.warn(f"{split}: {found.num_skipped} pictures are left out; first: {found.examples[0]}")
    write_json(ctx.out / "verify.json", report)
