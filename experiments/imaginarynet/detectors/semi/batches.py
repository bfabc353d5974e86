"""Batches of labelled and unlabelled views, a function of (seed, step) alone.

Which pictures: mmdet's MultiSourceSampler. Each source has its own order and its own random streams, so the
labelled half of a batch is the same whether or not there is an unlabelled one.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

import suite.compat.mmcv  # noqa: F401

# isort: split
import numpy as np
import torch
from mmdet.datasets.samplers import MultiSourceSampler
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import Tensor
from torch.utils.data import ConcatDataset

from experiments.imaginarynet.config_semi import SemiConfig
from experiments.imaginarynet.detectors.data.prefetch import in_order
from experiments.imaginarynet.detectors.data.records import Picture
from experiments.imaginarynet.detectors.semi.network import STREAM
from experiments.imaginarynet.detectors.semi.views import View, strong_view, weak_view
from suite.seeds import item_rng

Pair = tuple[View, View]  # weak, strong
LABELLED, UNLABELLED = "labelled", "unlabelled"


@dataclass(frozen=True)
class Batch:
    """The views of one step."""

    labelled: tuple[Pair, ...]
    unlabelled: tuple[Pair, ...] = ()

    @property
    def ids(self) -> list[int]:
        """Of the records, for messages."""
        return [weak.id for weak, _ in (*self.labelled, *self.unlabelled)]


@dataclass(frozen=True)
class Pool:
    """The pictures that batches are drawn from."""

    labelled: Sequence[Picture]
    unlabelled: Sequence[Picture] = ()
    known_labels: Mapping[int, frozenset[int]] | None = None  # by id, of unlabelled pictures; None: of none


def batches(pool: Pool, settings: SemiConfig, *, seed: int, first_step: int = 0) -> Generator[Batch]:
    """Batches for the steps from `first_step` on, without end; during the burn-in without unlabelled views.

    `batch_labelled` labelled pictures, then `batch_unlabelled` others.
    """
    rows = drawn_rows(pool, settings, seed=seed, first_step=first_step)
    make = partial(_batch, pool, settings, seed)
    yield from in_order(make, enumerate(rows, first_step), workers=settings.workers)


def _batch(pool: Pool, settings: SemiConfig, seed: int, request: tuple[int, list[int]]) -> Batch:
    """request: the step and its rows."""
    step, rows = request
    parts: dict[str, list[Pair]] = {LABELLED: [], UNLABELLED: []}
    for row in rows:
        is_labelled = row < len(pool.labelled)
        if not is_labelled and step < settings.burn_in:
            continue
        source = LABELLED if is_labelled else UNLABELLED
        picture = pool.labelled[row] if is_labelled else pool.unlabelled[row - len(pool.labelled)]
        size = settings.batch_labelled if is_labelled else settings.batch_unlabelled
        rng = item_rng(seed, f"{STREAM}.views.{source}", step * size + len(parts[source]))
        weak = weak_view(picture, settings, rng)
        known = None if is_labelled or pool.known_labels is None else pool.known_labels.get(picture.id)
        if known is not None:
            weak = replace(weak, image_labels=tuple(sorted(known)))
        parts[source].append((weak, strong_view(weak, rng)))
    return Batch(tuple(parts[LABELLED]), tuple(parts[UNLABELLED]))


def drawn_rows(pool: Pool, settings: SemiConfig, *, seed: int, first_step: int) -> Iterator[list[int]]:
    """For each step the rows in (labelled, then unlabelled pictures) that MultiSourceSampler draws."""
    sources = [pool.labelled, pool.unlabelled] if len(pool.unlabelled) else [pool.labelled]
    counts = [settings.batch_labelled, settings.batch_unlabelled][: len(sources)]
    number = int(item_rng(seed, f"{STREAM}.order", 0).integers(0, 2**63 - 1))
    sampler = MultiSourceSampler(
        ConcatDataset([list(source) for source in sources]),
        batch_size=sum(counts),
        source_ratio=counts,
        seed=number,
    )
    rows = islice(iter(sampler), first_step * sum(counts), None)
    while True:
        yield list(islice(rows, sum(counts)))


def as_inputs(views: Sequence[View]) -> dict[str, list]:
    """What mmdet's data preprocessor takes: uint8 (3, h, w) RGB tensors and data samples, none shared."""
    inputs: list[Tensor] = []
    samples: list[DetDataSample] = []
    for view in views:
        shape = view.pixels.shape[:2]
        meta = {"img_id": view.id, "img_shape": shape, "ori_shape": shape, "scale_factor": (1.0, 1.0)}
        # Views of one picture share their geometry: nothing to project between teacher and student.
        meta |= {"homography_matrix": np.eye(3, dtype=np.float32), "image_labels": view.image_labels}
        sample = DetDataSample(metainfo=meta)
        boxes, labels = torch.from_numpy(view.boxes.copy()), torch.from_numpy(view.labels.copy())
        sample.gt_instances = InstanceData(bboxes=boxes, labels=labels)
        inputs.append(torch.from_numpy(np.ascontiguousarray(view.pixels.transpose(2, 0, 1))))
        samples.append(sample)
    return {"inputs": inputs, "data_samples": samples}
