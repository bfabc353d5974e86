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
from experiments.imaginarynet.detectors.weak import weights
from experiments.imaginarynet.detectors.weak.assign import Targets, assign, choose_seeds
from experiments.imaginarynet.detectors.weak.backbones import build_backbone
from experiments.imaginarynet.detectors.weak.heads import (
    BOX_STD,
    BRANCH_STD,
    Branches,
    Logits,
    build_head,
    pool,
)
from experiments.imaginarynet.detectors.weak.losses import (
    box_loss,
    decode,
    midn_loss,
    midn_scores,
    refine_loss,
    spatial_loss,
)


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
        self.backbone = build_backbone(settings)
        self.head = build_head(self.backbone, settings)
        self.branches = Branches(self.head.out_channels, num_classes, settings)
        for name in ("pixel_mean", "pixel_std"):
            values = torch.tensor(getattr(settings, name), dtype=torch.float32).view(3, 1, 1)
            self.register_buffer(name, values, persistent=False)

    @staticmethod
    def is_refinement(name: str) -> bool:
        """Whether the parameter of that name belongs to a refinement branch."""
        return name.startswith("branches.refinements.")

    def forward(
        self,
        batch: Sequence[dict[str, Any]],
        *,
        generator: torch.Generator | None = None,
        refine: bool = True,
    ) -> dict[str, Tensor]:
        """Losses of training, each the mean over the pictures: loss_midn, loss_refine1, ...

        generator: of dropout, on the model's device. refine: False leaves out all but the losses of the
        picture's labels. Every picture needs at least one proposal.
        """
        boxes = self._boxes(batch)
        hidden = self.head(self._pooled(batch, boxes), generator)
        logits = self.branches(hidden)
        sums: dict[str, Tensor] = {}
        start = 0
        for item, own in zip(batch, boxes, strict=True):
            end = start + len(own)
            labels = item["image_labels"].to(hidden)
            one = self._losses(logits.rows(start, end), hidden[start:end], own, labels, refine)
            for name, value in one.items():
                sums[name] = sums[name] + value if name in sums else value
            start = end
        return {name: value / len(batch) for name, value in sums.items()}

    @torch.no_grad()
    def scores(self, batch: Sequence[dict[str, Any]]) -> list[ProposalScores]:
        """Of each picture; a picture without proposals gets none. Call `eval()` first."""
        boxes = self._boxes(batch)
        if not sum(map(len, boxes)):
            return [ProposalScores(own, own.new_zeros(0, self.num_classes)) for own in boxes]
        logits = self.branches(self.head(self._pooled(batch, boxes)))
        found, start = [], 0
        for own in boxes:
            found.append(judge(logits.rows(start, start + len(own)), own, self.settings))
            start += len(own)
        return found

    def _boxes(self, batch: Sequence[dict[str, Any]]) -> list[Tensor]:
        return [item["proposals"].proposal_boxes.tensor.to(self.pixel_mean) for item in batch]

    def _pooled(self, batch: Sequence[dict[str, Any]], boxes: list[Tensor]) -> Tensor:
        """(sum of R, K, size, size): pictures of one size go through the backbone together.

        No picture is padded, so none depends on the others of its batch.
        """
        groups: dict[tuple[int, ...], list[int]] = {}
        for place, item in enumerate(batch):
            groups.setdefault(tuple(item["image"].shape), []).append(place)
        parts: list[Tensor] = [torch.empty(0)] * len(batch)
        for places in groups.values():
            images = torch.stack([self._normalised(batch[place]["image"]) for place in places])
            pooled = self._pool(self.backbone(images), [boxes[place] for place in places])
            split = pooled.split([len(boxes[place]) for place in places])
            for place, part in zip(places, split, strict=True):
                parts[place] = part
        pooled = parts[0] if len(parts) == 1 else torch.cat(parts)
        if not self.settings.score_bias:
            return pooled
        known = torch.cat([item["proposals"].objectness_logits.to(pooled) for item in batch])
        return pooled * (1 + self.settings.score_bias * known)[:, None, None, None]

    def _pool(self, features: Tensor, boxes: list[Tensor]) -> Tensor:
        return pool(features, boxes, self.settings)

    def _normalised(self, image: Tensor) -> Tensor:
        return (image.to(self.pixel_mean) - self.pixel_mean) / self.pixel_std

    def _losses(
        self, logits: Logits, hidden: Tensor, boxes: Tensor, labels: Tensor, refine: bool
    ) -> dict[str, Tensor]:
        """Of one picture."""
        settings = self.settings
        teacher = midn_scores(logits.classes, logits.proposals, temperature=settings.temperature)
        losses = {"loss_midn": settings.midn_weight * midn_loss(teacher, labels, reduce=settings.midn_reduce)}
        if settings.spatial_regulariser:
            pull = spatial_loss(hidden, boxes, teacher, labels)
            losses["loss_regulariser"] = settings.spatial_regulariser * pull
        if not refine:
            return losses
        for number, (own, weight) in enumerate(zip(logits.refinements, settings.refine_weights, strict=True)):
            targets = self._targets(teacher, boxes, labels)
            losses[f"loss_refine{number + 1}"] = weight * refine_loss(own, targets, log_eps=settings.log_eps)
            teacher = own.softmax(dim=1)[:, 1:]
        if logits.fast_rcnn is not None:
            targets = self._targets(teacher, boxes, labels)
            losses["loss_cls"] = refine_loss(logits.fast_rcnn, targets)
            losses["loss_box"] = box_loss(
                logits.offsets, boxes, targets, box_weights=settings.box_weights
            )
        return losses

    def _targets(self, teacher: Tensor, boxes: Tensor, labels: Tensor) -> Targets:
        seeds = choose_seeds(teacher.detach(), labels)
        return assign(boxes, seeds, fg_iou=self.settings.fg_iou, ignore_iou=self.settings.ignore_iou)


def judge(logits: Logits, boxes: Tensor, settings: WeakConfig) -> ProposalScores:
    """Scores of one picture's proposals by the published rules.

    midn: WSDDN's product of both streams. refine-sum: the refinements' probabilities added up (OICR's Caffe
    code). refine-mean-frcn: the mean of the refinements' mean and the Fast R-CNN head's, whose boxes are
    those it moves, per class (pcl.pytorch).
    """
    if settings.score_rule == "midn":
        scores = midn_scores(logits.classes, logits.proposals, temperature=settings.temperature)
        return ProposalScores(boxes, scores)
    refined = torch.stack([one.softmax(dim=1)[:, 1:] for one in logits.refinements])
    if settings.score_rule == "refine-sum" or logits.fast_rcnn is None:
        return ProposalScores(boxes, refined.sum(dim=0))
    scores = (refined.mean(dim=0) + logits.fast_rcnn.softmax(dim=1)[:, 1:]) / 2
    moved = decode(boxes[:, None], logits.offsets[:, 1:], settings.box_weights)
    return ProposalScores(moved, scores)


def build_weak_detector(
    settings: WeakConfig, num_classes: int, *, seed: int, weights_dir: Path | None = None
) -> WeakDetector:
    """A detector with the settings' backbone weights, and heads drawn from `seed`.

    weights_dir: where a file of `weights` is looked for. Raises Missing or BadInput where it cannot be read.
    """
    model = WeakDetector(settings, num_classes)
    weights.draw_weights(model.backbone, seed=seed, name="weak.backbone")
    weights.draw_weights(model.head, seed=seed, name="weak.head")
    weights.load_pretrained(model.backbone, model.head, settings, weights_dir)
    for name, layer in model.branches.named_modules():
        if isinstance(layer, nn.Linear):
            std = BOX_STD if name == "offsets" else BRANCH_STD
            weights.draw_normal(layer, std, seed=seed, name=f"weak.branches.{name}")
    return model.to(memory_format=torch.channels_last)
