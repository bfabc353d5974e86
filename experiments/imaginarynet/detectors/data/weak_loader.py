"""Batches for WSDDN and OICR: detectron2's dataset dicts with proposals and labels of whole pictures.

for batch in weak_batches(data.image_labels, book, config.oicr, seed=0, first_step=0):
    losses = model(batch)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from experiments.imaginarynet.detectors.data.records import Source

if TYPE_CHECKING:
    from experiments.imaginarynet.config_weak import WeakConfig
    from experiments.imaginarynet.detectors.proposals.book import ProposalBook


def weak_batches(
    data: Source, book: ProposalBook, settings: WeakConfig, *, seed: int, first_step: int, workers: int = 0
) -> Iterator[list[dict[str, Any]]]:
    """Endless batches of `settings.batch` pictures from step `first_step` on.

    Each dict: image (uint8 tensor (3, h, w) in the settings' channel order), file_name, image_id, height and
    width (of the stored picture), proposals (Instances with proposal_boxes in pixels of `image` and
    objectness_logits), image_labels (float32 (C,), 0 or 1). Batch s depends on (seed, s) alone.
    """
    raise NotImplementedError
