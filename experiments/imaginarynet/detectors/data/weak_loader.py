"""Batches for WSDDN and OICR: detectron2's dataset dicts with proposals and labels of whole pictures.

    data = with_proposals(data, book)
    for batch in weak_batches(data, book, config.oicr, seed=0, first_step=0):
        losses = model(batch)

No box of an annotation can be in a batch: the records of level "image" hold none, and other levels are
refused.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

import suite.compat.detectron2  # noqa: F401
from experiments.imaginarynet.detectors.data import views
from experiments.imaginarynet.detectors.data.prefetch import in_order
from experiments.imaginarynet.detectors.data.records import (
    ImageLabelled,
    Source,
    TrainingData,
    picture_digest,
    read_picture,
)
from experiments.imaginarynet.detectors.data.sampler import EpochSampler
from suite.errors import BadInput
from suite.seeds import item_rng

# isort: split
from detectron2.structures import Boxes, Instances

if TYPE_CHECKING:
    from experiments.imaginarynet.config_weak import WeakConfig
    from experiments.imaginarynet.detectors.proposals.book import ProposalBook

ORDER_STREAM, VIEW_STREAM = "imaginarynet.weak.order", "imaginarynet.weak.view"


def with_proposals(data: TrainingData, book: ProposalBook) -> TrainingData:
    """The data without those image-level pictures that have no proposal; a note tells their number.

    Raises BadInput for a picture that nobody searched, and where none is left or none was there.
    """
    source = _labelled(data)
    kept = tuple(row for row in source.pictures if not book.is_empty(picture_digest(row.file)))
    left_out = len(source) - len(kept)
    if not kept:
        what = f"none of the {len(source)} pictures has a proposal"
        raise BadInput(what, file=book.folder, fix="lower proposals.min_side, or check the pictures")
    notes = (*data.notes, f"{left_out} pictures without a proposal left out") if left_out else data.notes
    return replace(data, image_labels=replace(source, pictures=kept), notes=notes)


def weak_batches(
    data: TrainingData,
    book: ProposalBook,
    settings: WeakConfig,
    *,
    seed: int,
    first_step: int,
    workers: int | None = None,
) -> Iterator[list[dict[str, Any]]]:
    """Endless batches of `settings.batch` pictures, one per pass, from pass `first_step` on.

    An update of `iter_size` passes takes as many batches. Each dict: image (uint8 tensor (3, h, w) in
    `settings.channel_order`), file_name, image_id, height and width (of the stored picture), proposals
    (Instances with proposal_boxes in pixels of `image` and objectness_logits, the book's scores),
    image_labels (float32 (C,), 0 or 1). With `settings.flip` the mirrored copies of the whole set are items
    of their own (Fast R-CNN); pictures of the source "imaginary" take their scale from
    `settings.imaginary_scales` where that names some. Batch b depends on (seed, b) alone, whatever the
    `workers` (None: as the settings say).

    Raises BadInput for a picture that does not decode or was not searched; pictures without a proposal must
    be left out before (`with_proposals`).
    """
    maker = _Maker(_labelled(data), book, settings, seed)
    requests = map(maker.request, itertools.count(first_step))
    return in_order(maker.batch, requests, workers=settings.workers if workers is None else workers)


def _labelled(data: TrainingData) -> Source:
    """The source of level "image". Raises BadInput where the setting has none."""
    if data.image_labels is None:
        raise BadInput("the setting has no pictures with image-level labels", fix="name `image_labels`")
    return data.image_labels


class _Maker:
    """Batches by their number."""

    def __init__(self, source: Source, book: ProposalBook, settings: WeakConfig, seed: int) -> None:
        self.pictures, self.num_classes = source.pictures, len(source.class_names)
        self.book, self.settings, self.seed = book, settings, seed
        num_items = len(self.pictures) * (2 if settings.flip else 1)
        self.sampler = EpochSampler(num_items, settings.batch, seed=seed, stream=ORDER_STREAM)

    def request(self, number: int) -> tuple[int, list[int]]:
        """The number of a batch and its items; not for threads, because the sampler keeps its last epoch."""
        return number, self.sampler.batch(number).tolist()

    def batch(self, request: tuple[int, list[int]]) -> list[dict[str, Any]]:
        """The dicts of a request."""
        number, items = request
        first = number * len(items)
        return [self._dataset_dict(item, first + place) for place, item in enumerate(items)]

    def _dataset_dict(self, item: int, position: int) -> dict[str, Any]:
        copy, place = divmod(item, len(self.pictures))
        picture, is_mirrored = self.pictures[place], copy == 1
        rng = item_rng(self.seed, VIEW_STREAM, position)
        pixels = read_picture(picture.file)
        size = self._draw_size(picture, pixels, rng)
        labels = torch.zeros(self.num_classes)
        labels[sorted(picture.labels)] = 1
        image = views.as_channels(
            views.resized(pixels, size), order=self.settings.channel_order, flip=is_mirrored
        )
        return {
            "image": torch.from_numpy(image),
            "file_name": str(picture.file),
            "image_id": picture.id,
            "height": picture.height,
            "width": picture.width,
            "proposals": self._proposals(picture, pixels.shape[:2], size, is_mirrored=is_mirrored, rng=rng),
            "image_labels": labels,
        }

    def _draw_size(
        self, picture: ImageLabelled, pixels: np.ndarray, rng: np.random.Generator
    ) -> tuple[int, int]:
        settings, (height, width) = self.settings, pixels.shape[:2]
        scales = (picture.source == "imaginary" and settings.imaginary_scales) or settings.scales
        side = scales[rng.integers(len(scales))]
        return views.scaled_size(
            height, width, side=side, which=settings.scale_side, max_side=settings.max_side
        )

    def _proposals(
        self,
        picture: ImageLabelled,
        old: tuple[int, int],
        new: tuple[int, int],
        *,
        is_mirrored: bool,
        rng: np.random.Generator,
    ) -> Instances:
        """Scaled, mirrored, rid of doubles, shuffled and cut to their number; sizes are (height, width)."""
        found = self.book[picture_digest(picture.file)]
        boxes = views.scaled_boxes(found.boxes, old, new)
        if is_mirrored:
            boxes = views.mirrored_boxes(boxes, new[1])
        kept = np.arange(len(boxes))
        if self.settings.dedup:
            kept, _ = views.distinct(boxes, self.settings.stride)
        kept = rng.permutation(kept)[: self.settings.max_proposals or None]
        proposals = Instances(new)
        proposals.proposal_boxes = Boxes(torch.from_numpy(boxes[kept]))
        proposals.objectness_logits = torch.from_numpy(found.scores[kept])
        return proposals
