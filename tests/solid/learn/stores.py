"""Small stores on which something can be learned: every class has a colour, on targets and on queries."""

from __future__ import annotations

import colorsys
import dataclasses
from pathlib import Path

import numpy as np

from experiments.solid.store.invariants import tight_boxes
from experiments.solid.store.samples import QuerySample, TargetSample, encode_png
from experiments.solid.store.schema import StoreLayout
from experiments.solid.store.writer import commit_query_shard, commit_target_shard
from tests.solid.store.fakes import empty_store, target

LAYOUT = StoreLayout(
    num_images=12,
    num_classes=6,
    num_shots=3,
    max_objects=4,
    height=48,
    width=64,
    query_resolution=32,
    shard_size=4,
    query_shard_size=4,
)


def colour(class_id: int, num_classes: int) -> np.ndarray:
    """(3,) float RGB in 0..255; hues are spread evenly."""
    return np.array(colorsys.hsv_to_rgb(class_id / num_classes, 1.0, 1.0)) * 255


def textured(rng: np.random.Generator, height: int, width: int, rgb: np.ndarray) -> np.ndarray:
    """(height, width, 3) uint8 of one colour with noise."""
    noise = rng.uniform(0.7, 1.0, (height, width, 1))
    return (noise * rgb).astype(np.uint8)


def coloured_target(index: int, layout: StoreLayout = LAYOUT) -> TargetSample:
    """Rectangles of different classes on grey, the later ones in front."""
    rng = np.random.default_rng([index, 2])
    label_map = np.zeros((layout.height, layout.width), np.uint8)
    rgb = textured(rng, layout.height, layout.width, np.full(3, 90.0))
    drawn = []
    for _ in range(rng.integers(2, layout.max_objects + 1)):
        h, w = rng.integers(layout.height // 4, layout.height // 2, 2)
        y, x = rng.integers(0, layout.height - h), rng.integers(0, layout.width - w)
        class_id = int(rng.integers(layout.num_classes))
        drawn.append(class_id)
        label_map[y : y + h, x : x + w] = len(drawn)
        rgb[y : y + h, x : x + w] = textured(rng, h, w, colour(class_id, layout.num_classes))
    present = np.unique(label_map[label_map > 0])
    label_map = np.searchsorted(present, label_map, side="right").astype(np.uint8)
    boxes, areas = tight_boxes(label_map, len(present))
    classes = np.array(drawn)[present - 1]
    ratio = areas / ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))
    return dataclasses.replace(
        target(index, layout, num_boxes=len(boxes)),
        image=encode_png(rgb),
        label_map=label_map,
        bboxes=np.column_stack([boxes, classes]).astype(np.int32),
        visibility=np.ones(len(boxes), np.float32),
        mask_bbox_ratio=ratio.astype(np.float32),
        angles=np.zeros((len(boxes), 3), np.float32),
    )


def coloured_query(class_id: int, layout: StoreLayout = LAYOUT) -> QuerySample:
    """Views of different sizes in the class's colour."""
    rng = np.random.default_rng([class_id, 3])
    side = layout.query_resolution
    sizes = [(side - 2 * shot, side // 2 + 3 * shot) for shot in range(layout.num_shots)]
    shots = [textured(rng, h, w, colour(class_id, layout.num_classes)) for h, w in sizes]
    return QuerySample(class_id, tuple(map(encode_png, shots)))


def write_store(folder: Path, layout: StoreLayout = LAYOUT) -> Path:
    """A folder as create-store, targets and queries leave it; returns `folder`."""
    path = empty_store(folder, layout)
    for shard in range(layout.num_shards("targets")):
        rows = layout.shard_rows("targets", shard)
        commit_target_shard(path, shard, [coloured_target(row, layout) for row in rows])
    for shard in range(layout.num_shards("queries")):
        rows = layout.shard_rows("queries", shard)
        commit_query_shard(path, shard, [coloured_query(row, layout) for row in rows])
    return folder
