"""One shard of a published store as samples of ours.

    images             PNG bytes as int8                    the same bytes
    masks              n x H x W of 0 and 1, int8           one label map, because visible masks never overlap
    bboxes             n x 5 int32, half-open               the same
    visibilities, mask_bbox_ratios, angles                  the same
    queries            PNG bytes by class and view          the same bytes

A row counts as missing where its picture or its boxes are null or empty; `valids` is not asked, because jobs
of the published code lose each other's updates of it (the published loader does not ask it either). What is
there must satisfy the invariants of the store; a row that does not is given up with the reason.

The published store holds no scene files: an imported one names the classes in the picture and `imported`.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from experiments.solid.importing.zarr2 import Array2, Files
from experiments.solid.store.invariants import query_problems, target_problems
from experiments.solid.store.samples import GivenUp, QuerySample, TargetSample
from experiments.solid.store.schema import StoreLayout
from suite.errors import BadInput

MISSING = "missing in the published store"
PNG_START = b"\x89PNG\r\n\x1a\n"
TARGET_ARRAYS = ("images", "bboxes", "masks", "visibilities", "mask_bbox_ratios", "angles")
# How many numbers each box has in an array of variable length.
PER_BOX = {"visibilities": 1, "mask_bbox_ratios": 1, "angles": 3}


@dataclass(frozen=True)
class Published:
    """The arrays of a published store."""

    targets: Mapping[str, Array2]
    valids: Array2
    queries: Array2
    query_ids: Array2

    @classmethod
    def open(cls, files: Files, prefix: str = "") -> Published:
        """Open all arrays and compare their lengths. `prefix`: "0/" in a store of several resolutions."""
        targets = {name: Array2.open(files, prefix + name) for name in TARGET_ARRAYS}
        found = cls(
            targets,
            Array2.open(files, prefix + "valids"),
            Array2.open(files, prefix + "queries"),
            Array2.open(files, prefix + "query_ids"),
        )
        lengths = {array.name: array.shape[0] for array in (*targets.values(), found.valids)}
        if len(set(lengths.values())) > 1:
            raise BadInput(
                f"arrays of different lengths: {lengths}", file=files.where(""), fix="get the store again"
            )
        if len(found.queries.shape) != 2 or found.queries.shape[0] != found.query_ids.shape[0]:
            what = f"queries {found.queries.shape}, query_ids {found.query_ids.shape}"
            raise BadInput(what, file=files.where(""), fix="get the store again")
        return found

    def check_ids(self) -> None:
        """BadInput unless row k of the queries is class k, as `create_zarr.py` writes it."""
        ids = self.query_ids.rows(0, self.query_ids.shape[0])
        wrong = np.flatnonzero(ids != np.arange(len(ids)))
        if len(wrong):
            raise BadInput(
                f"row {wrong[0]} is class {ids[wrong[0]]}, expected {wrong[0]}",
                file=self.query_ids.files.where(self.query_ids.name),
                fix="only stores whose rows are in class order are read",
            )

    def resolution(self) -> tuple[int, int]:
        """Height and width of the first picture that there is. BadInput without one."""
        images = self.targets["images"]
        step = images.chunks[0]
        for start in range(0, images.shape[0], step):
            for data in images.rows(start, min(start + step, images.shape[0])):
                if data is not None:
                    return png_size(data.tobytes(), images.files.where(images.name))
        raise BadInput("holds no picture at all", file=images.files.where(images.name), fix="get it again")


def png_size(data: bytes, where: str) -> tuple[int, int]:
    """Height and width in the header of a PNG."""
    if not data.startswith(PNG_START) or len(data) < 24:
        raise BadInput("its first picture is no PNG", file=where, fix="give the published store")
    width, height = struct.unpack(">II", data[16:24])
    return height, width


def target_samples(
    store: Published, layout: StoreLayout, shard: int
) -> tuple[list[TargetSample | GivenUp], int]:
    """All rows of a target shard, and how many whole ones had no flag in `valids`."""
    rows = layout.shard_rows("targets", shard)
    columns = {name: array.rows(rows.start, rows.stop) for name, array in store.targets.items()}
    valids = store.valids.rows(rows.start, rows.stop)
    samples = [
        target_sample({name: column[k] for name, column in columns.items()}, layout, row)
        for k, row in enumerate(rows)
    ]
    unflagged = sum(
        isinstance(sample, TargetSample) and not flag for sample, flag in zip(samples, valids, strict=True)
    )
    return samples, int(unflagged)


def target_sample(
    values: Mapping[str, np.ndarray | None], layout: StoreLayout, row: int
) -> TargetSample | GivenUp:
    """One picture from its flat arrays (None: null or empty)."""
    image, flat_boxes = values["images"], values["bboxes"]
    if image is None or flat_boxes is None:
        return GivenUp(MISSING)
    if flat_boxes.size % 5:
        return GivenUp(f"bboxes holds {flat_boxes.size} numbers, no multiple of 5")
    boxes = flat_boxes.reshape(-1, 5).astype(np.int32)
    n = len(boxes)
    for name, width in PER_BOX.items():
        size = 0 if values[name] is None else values[name].size
        if size != n * width:
            return GivenUp(f"{name} holds {size} numbers for {n} boxes")
    flat_masks = values["masks"]
    pixels = layout.height * layout.width
    if flat_masks is None or flat_masks.size != n * pixels:
        count = 0 if flat_masks is None else flat_masks.size / pixels
        return GivenUp(f"{count:g} masks of {layout.width}x{layout.height} for {n} boxes")
    label_map = label_map_of(flat_masks.reshape(n, layout.height, layout.width))
    if label_map is None:
        return GivenUp("visible masks overlap")
    objects = [{"class_id": int(class_id)} for class_id in boxes[:, 4]]
    sample = TargetSample(
        image=image.tobytes(),
        label_map=label_map,
        bboxes=boxes,
        visibility=values["visibilities"].astype(np.float32),
        mask_bbox_ratio=values["mask_bbox_ratios"].astype(np.float32),
        angles=values["angles"].astype(np.float32).reshape(n, 3),
        attempts=1,  # not published
        scene=json.dumps({"imported": True, "index": row, "objects": objects}, sort_keys=True),
    )
    problems = target_problems(sample, layout)
    return GivenUp("; ".join(problems)) if problems else sample


def label_map_of(masks: np.ndarray) -> np.ndarray | None:
    """(H, W) uint8 of masks (n <= 255, H, W): 0 none, k = mask k - 1; None where two masks share a pixel."""
    if len(masks) > 255:
        return None
    label_map = np.zeros(masks.shape[1:], np.uint8)
    covered = 0
    for number, mask in enumerate(masks, start=1):
        here = mask != 0
        covered += int(np.count_nonzero(here))
        label_map[here] = number
    return label_map if np.count_nonzero(label_map) == covered else None


def query_samples(store: Published, layout: StoreLayout, shard: int) -> list[QuerySample | GivenUp]:
    """All classes of a query shard."""
    rows = layout.shard_rows("queries", shard)
    samples: list[QuerySample | GivenUp] = []
    for class_id, views in zip(rows, store.queries.rows(rows.start, rows.stop), strict=True):
        sample = QuerySample(class_id, tuple(b"" if view is None else view.tobytes() for view in views))
        if not sample.num_views:
            samples.append(GivenUp(MISSING))
            continue
        problems = query_problems(sample, layout)
        samples.append(GivenUp("; ".join(problems)) if problems else sample)
    return samples
