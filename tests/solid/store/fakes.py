"""Samples that look like rendered ones to the store, and stages that look finished, without Blender."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from experiments.solid.store.invariants import tight_boxes
from experiments.solid.store.samples import QuerySample, TargetSample, encode_png
from experiments.solid.store.schema import Group, StoreLayout
from experiments.solid.store.writer import commit_query_shard, commit_target_shard, create_store, reset_group
from suite.manifest import MANIFEST, file_digest, key_of, write_json

LAYOUT = StoreLayout(
    num_images=10,
    num_classes=5,
    num_shots=3,
    max_objects=4,
    height=24,
    width=32,
    query_resolution=20,
    shard_size=4,
    query_shard_size=2,
)


def target(index: int, layout: StoreLayout = LAYOUT, *, num_boxes: int | None = None) -> TargetSample:
    """A target that satisfies every invariant: overlapping rectangles, later ones in front."""
    rng = np.random.default_rng(index)
    label_map = np.zeros((layout.height, layout.width), np.uint8)
    for _ in range(rng.integers(1, layout.max_objects + 1) if num_boxes is None else num_boxes):
        y, x = rng.integers(0, layout.height - 4), rng.integers(0, layout.width - 4)
        label_map[y : y + rng.integers(3, 12), x : x + rng.integers(3, 12)] = label_map.max() + 1
    present = np.unique(label_map[label_map > 0])
    label_map = np.searchsorted(present, label_map, side="right").astype(np.uint8)
    boxes, areas = tight_boxes(label_map, len(present))
    classes = rng.integers(0, layout.num_classes, len(boxes))
    drawn = [{"class_id": int(c), "size": 0.5, "bin": 0, "placed": True} for c in classes]
    scene = {
        "index": index,
        "attempted": layout.max_objects,
        "objects": drawn,
        "drawn": drawn,
        "room": {"id": "000"},
    }
    return TargetSample(
        image=encode_png(rng.integers(0, 256, (layout.height, layout.width, 3), dtype=np.uint8)),
        label_map=label_map,
        bboxes=np.column_stack([boxes, classes]).astype(np.int32),
        visibility=rng.uniform(0.1, 1, len(boxes)).astype(np.float32),
        mask_bbox_ratio=(areas / ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))).astype(
            np.float32
        ),
        angles=rng.uniform(-3, 3, (len(boxes), 3)).astype(np.float32),
        attempts=1 + index % 2,
        scene=json.dumps(scene, sort_keys=True),
    )


def query(class_id: int, layout: StoreLayout = LAYOUT) -> QuerySample:
    """A class whose views have different sizes."""
    rng = np.random.default_rng([class_id, 1])
    shots = [
        rng.integers(0, 256, (3 + s, layout.query_resolution, 3), dtype=np.uint8)
        for s in range(layout.num_shots)
    ]
    return QuerySample(class_id, tuple(map(encode_png, shots)))


def empty_store(folder: Path, layout: StoreLayout = LAYOUT) -> Path:
    """A store stage with both groups ready to be written."""
    folder.mkdir(parents=True, exist_ok=True)
    table = [{"id": f"model{c}"} for c in range(layout.num_classes)]
    (folder / "classes.json").write_text(json.dumps(table), encoding="utf-8")
    path = create_store(folder / "solid.zarr", layout, classes_sha256=file_digest(folder / "classes.json"))
    for group in ("targets", "queries"):
        reset_group(path, group, key=f"key of {group}")
    return path


def write_shard(path: Path, group: Group, shard: int, layout: StoreLayout = LAYOUT) -> list[Path]:
    """Commit one shard of fakes."""
    make, commit = (target, commit_target_shard) if group == "targets" else (query, commit_query_shard)
    return commit(path, shard, [make(row, layout) for row in layout.shard_rows(group, shard)])


def usage(seconds: float) -> dict:
    """What a process used, as manifests say it."""
    return {
        "wall_seconds": seconds,
        "cpu_seconds": 2 * seconds,
        "peak_rss_bytes": 1_000_000 * (1 + int(seconds)),
        "peak_gpu_bytes": None,
        "facts": {"seconds": {"layout": seconds / 4, "rgb": seconds / 2}},
    }


def manifest(stage: str, inputs: Sequence[str] = (), **extra: object) -> dict:
    """A manifest with the fields of suite.stage."""
    return {
        "stage": stage,
        "key": f"key of {stage}",
        "key_parts": {"packages": {"bpy": "4.5.15"}, "seed": 3},
        "inputs": {name: {"path": f"../{name}", "key": ""} for name in inputs},
        "outputs": [],
        "packages": {"numpy": "1.26.4"},
        "environment": {
            "python": "3.11.2",
            "prefix": "/opt/venv",
            "packages_sha256": "ab" * 32,
            "lock_sha256": None,
        },
        "git": {"commit": "cd" * 20, "dirty": False},
        "host": {
            "name": "box",
            "system": "Linux 6",
            "cpu": "CPU",
            "cores": 2,
            "memory_bytes": 10**9,
            "gpus": [],
        },
        "device": "cpu",
        "counts": {"images": 10, "views": 15},
        "warnings": [],
        **usage(1.0),
        **extra,
    }


def finished_run(root: Path, layout: StoreLayout = LAYOUT) -> dict[str, Path]:
    """Folders `store`, `targets` and `queries` as three finished stages leave them."""
    store = empty_store(root / "store", layout)
    write_json(root / "store" / MANIFEST, manifest("create-store"))
    for group in ("targets", "queries"):
        stage = root / group
        for shard in range(layout.num_shards(group)):
            files = write_shard(store, group, shard, layout)
            (stage / f"{shard:05d}").mkdir(parents=True)
            rows = [
                {"path": f"../{f.relative_to(root)}", "bytes": f.stat().st_size, "sha256": file_digest(f)}
                for f in files
            ]
            key = key_of({"stage_key": f"key of {group}", "shard": shard})
            write_json(stage / f"{shard:05d}" / MANIFEST, {"key": key, "outputs": rows})
        write_json(stage / "key.json", {"key": f"key of {group}"})
        write_json(stage / MANIFEST, manifest(group, inputs=["store"], shards=[usage(s) for s in range(3)]))
    return {"store": root / "store", "targets": root / "targets", "queries": root / "queries"}
