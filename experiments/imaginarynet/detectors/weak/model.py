"""WSDDN and OICR: proposals of a picture are scored by class, learned from the picture's labels alone.

    model = build_weak_detector(settings, num_classes=20, seed=0, weights_dir=DATA_DIR / "weights")
    losses = model(batch, generator=generator)     # a dict of scalars; their sum is descended
    model.eval()
    for found in model.scores(batch): found.boxes, found.scores

`batch` is a list of detectron2's dataset dicts: "image" (3, h, w) in the settings' channel order, 0..255;
"proposals": Instances with proposal_boxes (and objectness_logits where `score_bias` is set); in training
"image_labels": float32 (C,), 1 for the classes of the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from experiments.imaginarynet.config_weak import WeakConfig


@dataclass(frozen=True, eq=False)
class ProposalScores:
    """The judgement of one picture's R proposals by the settings' `score_rule`."""

    boxes: Tensor  # float32 (R, 4), or (R, C, 4) with `fast_rcnn`: x1, y1, x2, y2 in pixels of the input
    scores: Tensor  # float32 (R, C)


class WeakDetector(nn.Module):
    """Backbone, pooling over proposals, heads and losses."""

    def __init__(self, settings: WeakConfig, num_classes: int) -> None:
        super().__init__()
        self.settings, self.num_classes = settings, num_classes

    def forward(
        self, batch: Sequence[dict[str, Any]], *, generator: torch.Generator | None = None, refine: bool = True
    ) -> dict[str, Tensor]:
        """Losses of training, each the mean over the pictures: loss_midn, loss_refine1, ...

        generator: of dropout, on the model's device. refine: False leaves out all but the image-level losses.
        """
        raise NotImplementedError

    def scores(self, batch: Sequence[dict[str, Any]]) -> list[ProposalScores]:
        """Of each picture, without gradients."""
        raise NotImplementedError


def build_weak_detector(
    settings: WeakConfig, num_classes: int, *, seed: int, weights_dir: Path | None = None
) -> WeakDetector:
    """A detector with the settings' backbone weights and heads drawn from `seed`."""
    raise NotImplementedError
