"""Training pictures per second of the dense detector against the published procedure, in one run.

    python -m benchmarks.dense                        # 96 pictures of 640x480, five epochs of each way
    python -m benchmarks.dense --pictures 48 --size 192 144 --epochs 3 --threads 1

Run it in the detectron2 environment. Pictures are those of assets/tabletop, enlarged to COCO's usual size
unless --size says otherwise, since decoding is part of what is measured; --coco and --images take others.

All ways train the same network (preset `cpu`, box head, 128x64 grey) on the same batches in the same order:

    published   every picture decoded in every epoch, targets made picture by picture and box by box, float32
    cache       decoded once; else as published
    batched     and the targets of the whole batch at once (assign.py), weights with channels last
    bfloat16    and the network in bfloat16 (`train.amp`), for processors that have it

Targets are compared before anything is timed: both assignments must be equal on every batch. An epoch of
each way follows one of the other, so that a busy machine slows all of them; the medians are shown.
Measured with `--threads 1 --pictures 64 --epochs 2` on two idle AMD EPYC cores, in pictures per second:
published 51.9, cache 57.2, batched 68.5, bfloat16 118.9, which is 2.3 times the first. Data and targets
together fall from 2.7 to 0.3 ms a picture. What is left is the network (15.7 ms published, 13.6 batched,
7.5 bfloat16): the quicker it runs, the more the rest counts.

Not covered: reading from a slow disk (the files are in the page cache), evaluation, a GPU, the published
network itself (468 million multiplications a picture against 170 of the preset with its box head).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import resource
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from experiments.dense_detector.anchors import anchor_shapes, grid_anchors
from experiments.dense_detector.assign import BACKGROUND, NEUTRAL, Assignment, assign
from experiments.dense_detector.boxes import box_iou
from experiments.dense_detector.data import Batch, DetectionDataset, batches
from experiments.dense_detector.db import create, import_coco, open_read_only
from experiments.dense_detector.losses import detection_loss
from experiments.dense_detector.model import DenseDetector
from experiments.dense_detector.presets import PRESETS
from experiments.dense_detector.selection import Selection, select
from suite.datasets.tabletop import tabletop_path
from suite.errors import guard

SIZE_WH, BATCH_SIZE, SEED = (128, 64), 16, 0
JPEG_QUALITY = 90
PHASES = ("data", "targets", "network", "loss", "update")


@dataclass(frozen=True)
class Way:
    """How an epoch is trained."""

    name: str
    cache: bool
    batched: bool
    bfloat16: bool


WAYS = (
    Way("published", cache=False, batched=False, bfloat16=False),
    Way("cache", cache=True, batched=False, bfloat16=False),
    Way("batched", cache=True, batched=True, bfloat16=False),
    Way("bfloat16", cache=True, batched=True, bfloat16=True),
)


def main() -> None:
    """Command line: see the module docstring."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=96, help="training pictures, default 96")
    parser.add_argument("--size", type=int, nargs=2, default=(640, 480), help="stored width and height")
    parser.add_argument("--epochs", type=int, default=5, help="timed epochs of each way, default 5")
    parser.add_argument("--threads", type=int, default=2, help="of torch, default 2")
    parser.add_argument("--coco", type=Path, help="an annotation file in place of tabletop's")
    parser.add_argument("--images", type=Path, help="its folder of pictures")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    annotations, images = (args.coco, args.images) if args.coco else tabletop_path("train")
    with tempfile.TemporaryDirectory() as folder:
        selection = enlarged(annotations, images, Path(folder), args.pictures, tuple(args.size))
        measured = measure(selection, Path(folder), args.epochs)
    boxes = sum(len(image.boxes) for image in selection.images)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    cpus = f"{platform.machine()}, {len(os.sched_getaffinity(0))} CPUs"
    print(f"{cpus}, {args.threads} threads of torch; peak memory {peak:.0f} MB")
    print(f"{len(selection)} pictures of {args.size[0]}x{args.size[1]}, {boxes} boxes, batch {BATCH_SIZE}")
    print_table(measured, len(selection))


def enlarged(
    annotations: Path, images: Path, folder: Path, number: int, size_wh: tuple[int, int]
) -> Selection:
    """The first pictures of a COCO set, stored anew as JPEG of `size_wh` below `folder`, with their boxes."""
    tree = json.loads(annotations.read_text(encoding="utf-8"))
    rows = sorted(tree["images"], key=lambda row: row["id"])[:number]
    factors = {}
    for row in rows:
        with Image.open(images / row["file_name"]) as picture:
            stored = picture.convert("RGB").resize(size_wh, Image.Resampling.BICUBIC)
        row["file_name"] = Path(row["file_name"]).name
        stored.save(folder / row["file_name"], "JPEG", quality=JPEG_QUALITY)
        factors[row["id"]] = (size_wh[0] / row["width"], size_wh[1] / row["height"])
        row["width"], row["height"] = size_wh
    kept = [row for row in tree["annotations"] if row["image_id"] in factors]
    for row in kept:
        fx, fy = factors[row["image_id"]]
        x, y, width, height = row["bbox"]
        row |= {"bbox": [x * fx, y * fy, width * fx, height * fy], "area": row["area"] * fx * fy}
        row.pop("segmentation", None)
    file, database = folder / "annotations.json", folder / "train.db"
    file.write_text(json.dumps({"images": rows, "annotations": kept, "categories": tree["categories"]}))
    create(database).close()
    import_coco(database, file, split="train")
    with contextlib.closing(open_read_only(database)) as conn:
        return select(conn, split="train")


# --- the published way to make targets ---


POS_IOU, NEG_IOU = 0.5, 0.4


def assign_one_by_one(anchors: Tensor, batch: Batch) -> Assignment:
    """The rule `published` of assign.py as its authors wrote it down: a loop over pictures, in it one over
    boxes, with masks over the anchors of each.
    """
    labels, matches = [], []
    for boxes, classes, valid in zip(batch.boxes, batch.labels, batch.valid, strict=True):
        target = torch.full((len(anchors),), BACKGROUND)
        matched = torch.zeros(len(anchors), dtype=torch.int64)
        if valid.any():
            boxes, classes = boxes[valid], classes[valid]
            overlaps = []
            for box in boxes:
                overlap = box_iou(box[None], anchors)[0]
                overlap[overlap.argmax()] *= 10
                overlaps.append(overlap)
            iou = torch.stack(overlaps, dim=1)  # (P, boxes)
            positive, negative = (iou >= POS_IOU).any(dim=1), (iou < NEG_IOU).all(dim=1)
            matched = iou.argmax(dim=1)
            target[~negative] = NEUTRAL
            target[positive] = classes[matched[positive]]
        labels.append(target)
        matches.append(matched)
    return Assignment(torch.stack(labels), torch.stack(matches))


def assign_batch(anchors: Tensor, batch: Batch) -> Assignment:
    """The same rule, the whole batch at once."""
    return assign(
        anchors, batch.boxes, batch.labels, batch.valid, rule="published", pos_iou=POS_IOU, neg_iou=NEG_IOU
    )


# --- timing ---


class Training:
    """A network that is trained one way, and the seconds each epoch and each phase took."""

    def __init__(self, way: Way, selection: Selection, images: Path):
        preset, image_hw = PRESETS["cpu"], (SIZE_WH[1], SIZE_WH[0])
        torch.manual_seed(SEED)
        self.way = way
        model = DenseDetector(preset.network, preset.anchors.num_shapes, len(selection.class_names))
        self.model = model if way.batched else model.to(memory_format=torch.contiguous_format)
        shapes = anchor_shapes(preset.anchors, image_hw)
        self.anchors = grid_anchors(model.feature_hw(image_hw), image_hw, shapes)
        self.dataset = DetectionDataset(selection, images, size_wh=SIZE_WH, cache=way.cache)
        self.optimiser = torch.optim.AdamW(self.model.parameters(), lr=1e-3)
        self.seconds, self.epochs = Counter(), []

    def epoch(self, number: int, *, timed: bool = True) -> None:
        """One pass over the pictures."""
        phases, started = Counter(), time.perf_counter()
        last = started

        def lap(phase: str) -> None:
            nonlocal last
            now = time.perf_counter()
            phases[phase] += now - last
            last = now

        for batch in self.batches(number):
            lap("data")
            targets = (assign_batch if self.way.batched else assign_one_by_one)(self.anchors, batch)
            lap("targets")
            with torch.autocast("cpu", torch.bfloat16, enabled=self.way.bfloat16):
                output = self.model(batch.images)
            lap("network")
            loss = detection_loss(output, targets, self.anchors, batch.boxes).total
            lap("loss")
            self.optimiser.zero_grad()
            loss.backward()
            lap("network")
            self.optimiser.step()
            lap("update")
        if timed:
            self.seconds += phases
            self.epochs.append(time.perf_counter() - started)

    def batches(self, number: int) -> Iterator[Batch]:
        """The batches of an epoch, flipped and jittered as in training."""
        chance = {"seed": SEED, "epoch": number, "shuffle": True, "flip": 0.5, "jitter": 0.2}
        return batches(self.dataset, BATCH_SIZE, **chance)


def measure(selection: Selection, images: Path, epochs: int) -> list[Training]:
    """Train every way for `epochs` epochs, in turn. Raises AssertionError where the targets differ."""
    trainings = [Training(way, selection, images) for way in WAYS]
    for batch in trainings[-1].batches(0):
        ours, theirs = (make(trainings[0].anchors, batch) for make in (assign_batch, assign_one_by_one))
        positive = ours.labels >= 0
        assert torch.equal(ours.labels, theirs.labels), "the two ways to make targets differ"
        assert torch.equal(ours.matched[positive], theirs.matched[positive])
    for training in trainings:
        training.epoch(0, timed=False)  # fills the caches and chooses the convolutions' algorithms
    for number in range(1, epochs + 1):
        for training in trainings:
            training.epoch(number)
    return trainings


def print_table(trainings: list[Training], pictures: int) -> None:
    """Pictures per second, the ratio to the published way, and ms per picture by phase."""
    base = statistics.median(trainings[0].epochs)
    heading = "  ".join(f"{phase:>8s}" for phase in PHASES)
    print(f"{'way':10s} pictures/s  ratio  {heading}   ms a picture")
    for training in trainings:
        seconds = statistics.median(training.epochs)
        share = 1000 / pictures / len(training.epochs)
        phases = "  ".join(f"{share * training.seconds[phase]:8.2f}" for phase in PHASES)
        print(f"{training.way.name:10s} {pictures / seconds:10.1f}  {base / seconds:5.2f}  {phases}")


if __name__ == "__main__":
    raise SystemExit(guard(main))
