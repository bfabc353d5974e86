"""Batches of the target set for fine-tuning and testing.

As detectron2's stock mapper does it (resize by the short edge, flip, bit-masks, empty instances dropped), but
a batch depends on (seed, step, rank) only. Not kept from there: batches of pictures of one orientation.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

import suite.compat.detectron2  # noqa: F401

# isort: split
from detectron2.data import detection_utils
from detectron2.structures import BitMasks, Boxes, BoxMode, Instances

from experiments.solid.config_learning import Finetune
from experiments.solid.learn.data.coco import CocoRecords
from experiments.solid.learn.data.packed import Packed
from experiments.solid.learn.data.sampler import EpochSampler
from experiments.solid.learn.data.transforms import resize_and_flip
from experiments.solid.learn.data.workers import TIMEOUT, in_workers
from suite.errors import BadInput
from suite.seeds import item_rng


@dataclass(frozen=True)
class _Picture:
    """What a worker sends of one picture beside its pixels and masks."""

    facts: dict[str, Any]  # "file_name", "height", "width", "image_id" of the stored picture
    boxes: np.ndarray | None  # (n, 4) float32, resized pixels; None: a test picture
    classes: np.ndarray | None  # (n,) int64


@dataclass(frozen=True)
class _Raw:
    """A batch as it crosses from worker to trainer: masks at one bit per pixel."""

    pictures: list[_Picture]
    images: Packed
    masks: Packed

    def input_dicts(self, device: torch.device | str | None) -> list[dict]:
        """detectron2's input dicts."""
        found = []
        parts = zip(self.pictures, self.images.unpack(), self.masks.unpack(), strict=True)
        for picture, image, bits in parts:
            item = {**picture.facts, "image": image.to(device)}
            if picture.boxes is not None:
                item["instances"] = _instances(picture, tuple(image.shape[1:]), bits, device)
            found.append(item)
        return found


class _FetchTrain:
    """Makes the batch of one (step, positions) request; what a worker process runs."""

    def __init__(self, records: CocoRecords, settings: Finetune, *, seed: int, rank: int) -> None:
        self.records, self.settings, self.seed, self.rank = records, settings, seed, rank

    def __call__(self, request: tuple[int, np.ndarray]) -> _Raw:
        step, positions = request
        rng = item_rng(self.seed, "solid.finetune.augment", step, attempt=self.rank)
        edges = rng.choice(self.settings.short_edges, size=len(positions)).tolist()
        flips = ((rng.random(len(positions)) < 0.5) & self.settings.flip).tolist()
        found = [
            _load(self.records[position], edge, self.settings.max_edge, flip)
            for position, edge, flip in zip(positions.tolist(), edges, flips, strict=True)
        ]
        return _pack(found)


class _FetchTest:
    """Makes the batch of some positions, without annotations."""

    def __init__(self, records: CocoRecords, settings: Finetune) -> None:
        self.records, self.settings = records, settings

    def __call__(self, positions: range) -> _Raw:
        edge, most = self.settings.test_short_edge, self.settings.test_max_edge
        return _pack([_load(self.records[position], edge, most, None) for position in positions])


def finetune_loader(
    records: CocoRecords,
    settings: Finetune,
    *,
    seed: int,
    rank: int = 0,
    world_size: int = 1,
    start_step: int = 0,
    stop_step: int | None = None,
    device: torch.device | str | None = None,
    timeout: float = TIMEOUT,
) -> Generator[list[dict]]:
    """Batches of steps `start_step`..`stop_step` - 1 (default: `iterations`) of one rank.

    Each is a list of detectron2's input dicts: "image" uint8 BGR (3, H, W), "instances" (gt_boxes, gt_classes
    int64 contiguous, gt_masks BitMasks), "height", "width" of the stored picture, "image_id", "file_name".
    BadInput: fewer pictures than a batch (at the call), a picture that cannot be read. Missing: lost workers.
    """
    sampler = EpochSampler(
        len(records),
        settings.batch_size,
        seed=seed,
        rank=rank,
        world_size=world_size,
        stream="solid.finetune.order",
    )
    steps = range(start_step, settings.iterations if stop_step is None else stop_step)
    raws = in_workers(
        _FetchTrain(records, settings, seed=seed, rank=rank),
        ((step, sampler.batch(step)) for step in steps),
        workers=settings.workers,
        timeout=timeout,
    )
    return _batches(raws, device)


def test_loader(
    records: CocoRecords,
    settings: Finetune,
    *,
    batch_size: int,
    rank: int = 0,
    world_size: int = 1,
    device: torch.device | str | None = None,
    timeout: float = TIMEOUT,
) -> Generator[list[dict]]:
    """The pictures of one rank in order, resized for testing; as `finetune_loader`, without "instances".

    Rank r takes pictures r, r + world_size, ...; the last batch may be smaller.
    """
    mine = range(rank, len(records), world_size)
    requests = (mine[start : start + batch_size] for start in range(0, len(mine), batch_size))
    fetch = _FetchTest(records, settings)
    raws = in_workers(fetch, requests, workers=settings.workers, timeout=timeout)
    return _batches(raws, device)


test_loader.__test__ = False  # pytest would collect it by its name


def read_bgr(record: dict[str, Any]) -> np.ndarray:
    """(H, W, 3) uint8 BGR picture of a record. BadInput: damaged, or not of the size that the record says."""
    try:
        image = detection_utils.read_image(record["file_name"], format="BGR")
    # What Pillow raises for damaged files; SyntaxError comes from its PNG reader.
    except (OSError, ValueError, SyntaxError) as error:
        raise BadInput(
            f"picture does not decode ({error})", file=record["file_name"], fix="copy it again"
        ) from None
    if image.shape[:2] != (record["height"], record["width"]):
        what = f"is {image.shape[1]}x{image.shape[0]}, its entry says {record['width']}x{record['height']}"
        raise BadInput(what, file=record["file_name"], fix="correct width and height (after EXIF rotation)")
    return image


def _load(
    record: dict[str, Any], short_edge: int, max_edge: int, flip: bool | None
) -> tuple[_Picture, np.ndarray, np.ndarray]:
    """One record as its facts, BGR (3, H, W) and packed masks; `flip=None`: a test picture."""
    image = read_bgr(record)
    transform = resize_and_flip(*image.shape[:2], short_edge, max_edge, bool(flip))
    image = np.ascontiguousarray(transform.apply_image(image).transpose(2, 0, 1))
    annotations = record.pop("annotations")
    if flip is None:
        return _Picture(record, None, None), image, np.zeros(0, np.uint8)
    size = image.shape[1:]
    for annotation in annotations:
        annotation["bbox_mode"] = BoxMode.XYXY_ABS
        detection_utils.transform_instance_annotations(annotation, transform, size)
        if isinstance(annotation["segmentation"], np.ndarray):  # from RLE; polygons come as bool later
            annotation["segmentation"] = annotation["segmentation"].astype(bool)
    instances = detection_utils.annotations_to_instances(annotations, size, mask_format="bitmask")
    instances = detection_utils.filter_empty_instances(instances)
    boxes, classes = instances.gt_boxes.tensor.numpy(), instances.gt_classes.numpy()
    return _Picture(record, boxes, classes), image, np.packbits(instances.gt_masks.tensor.numpy())


def _batches(raws: Generator[_Raw], device: torch.device | str | None) -> Generator[list[dict]]:
    with contextlib.closing(raws):
        for raw in raws:
            yield raw.input_dicts(device)


def _pack(found: list[tuple[_Picture, np.ndarray, np.ndarray]]) -> _Raw:
    pictures, images, masks = zip(*found, strict=True)
    return _Raw(list(pictures), Packed.of(images), Packed.of(masks))


def _instances(
    picture: _Picture, size: tuple[int, int], bits: torch.Tensor, device: torch.device | str | None
) -> Instances:
    n = len(picture.boxes)
    masks = np.unpackbits(bits.numpy(), count=n * size[0] * size[1]).reshape(n, *size)
    instances = Instances(size)
    instances.gt_boxes = Boxes(torch.from_numpy(picture.boxes).to(device))
    instances.gt_classes = torch.from_numpy(picture.classes).to(device)
    instances.gt_masks = BitMasks(torch.from_numpy(masks).to(device).bool())
    return instances
