"""The classifier of instance detection: cosine similarity to a bank of class embeddings, no background class.

Source: SOLID, published code and config. With f the box feature of a sampled RoI, W the embedding layers and
B (num_classes, D) the bank:

    s = normalise(W f);  logits_k = <s, normalise(B_k)> / temperature
    loss_cls     = mean over foreground RoIs of the cross entropy over all K rows; no background class
    loss_box_reg = L1 over foreground RoIs, divided by the number of all sampled RoIs (stock detectron2)

Whether a region is background is learnt by the RPN alone. At test time the original raises an exception; here
the score of a detection is its class probability times the RPN's objectness (ours: the class probability says
nothing about background).
"""

from __future__ import annotations

from collections.abc import Sequence

import suite.compat.detectron2  # noqa: F401

# isort: split
import torch
from detectron2.layers import ShapeSpec, cat
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.roi_heads import FastRCNNOutputLayers
from detectron2.structures import Instances
from detectron2.utils.events import get_event_storage
from torch import nn
from torch.nn import functional as F


def bank_logits(embeddings: torch.Tensor, bank: torch.Tensor, temperature: float) -> torch.Tensor:
    """(R, K) logits of unit embeddings (R, D) against the unit rows of a bank (K, D)."""
    return embeddings @ bank.T / temperature


def foreground_loss(
    embeddings: torch.Tensor, classes: torch.Tensor, bank: torch.Tensor, temperature: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross entropy over the whole bank, foreground only.

    embeddings: (R, D) unit rows; classes: (R,) int64, in [0, K) for foreground, K for background; bank:
    (K, D) unit rows without gradient. Returns the scalar loss (0, with the gradient connected, where there is
    no foreground) and the (F,) bool hits of the foreground RoIs: whether the nearest row is the right one.
    """
    foreground = ((classes >= 0) & (classes < len(bank))).nonzero().squeeze(1)
    if len(foreground) == 0:
        return embeddings.sum() * 0.0, classes.new_zeros(0, dtype=torch.bool)
    logits = bank_logits(embeddings[foreground], bank, temperature)
    wanted = classes[foreground]
    return F.cross_entropy(logits, wanted), logits.detach().argmax(1) == wanted


class EmbeddingPredictor(FastRCNNOutputLayers):
    """Box deltas for all classes together, and an embedding where detectron2 has class scores.

    `cls_score` is the first embedding layer (embed_dims[0], fc_dim), so that it lies where stock detectron2
    looks for its classifier; longer `embed_dims` continue in `embed`: ReLU and Linear for each further width.
    `bank` (num_classes, D), unit rows, must be set before losses or detections are asked for; it is no part
    of the state.
    """

    def __init__(
        self,
        input_shape: ShapeSpec,
        *,
        box2box_transform: Box2BoxTransform,
        num_classes: int,
        embed_dims: Sequence[int],
        temperature: float,
        test_score_thresh: float,
        test_nms_thresh: float,
        test_topk_per_image: int,
    ) -> None:
        super().__init__(
            input_shape,
            box2box_transform=box2box_transform,
            num_classes=embed_dims[0] - 1,  # makes `cls_score` with embed_dims[0] outputs
            cls_agnostic_bbox_reg=True,
            test_score_thresh=test_score_thresh,
            test_nms_thresh=test_nms_thresh,
            test_topk_per_image=test_topk_per_image,
        )
        # detectron2 starts class scores at N(0, 0.01). Embeddings are normalised, so small weights only mean
        # large steps: the keys of all classes then run into one direction before they begin to part.
        self.cls_score.reset_parameters()
        self.num_classes = num_classes
        self.temperature = temperature
        self.embed = nn.Sequential()
        for wide, narrow in zip(embed_dims[:-1], embed_dims[1:], strict=True):
            self.embed.append(nn.ReLU())
            self.embed.append(nn.Linear(wide, narrow))
        self.bank: torch.Tensor | None = None

    def embeddings(self, features: torch.Tensor) -> torch.Tensor:
        """(R, D) float32 unit rows of box features (R, fc_dim), also under autocast."""
        with torch.autocast(features.device.type, enabled=False):
            return F.normalize(self.embed(self.cls_score(features.flatten(1).float())), dim=1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Box features (R, fc_dim) -> unit embeddings (R, D) and box deltas (R, 4)."""
        return self.embeddings(x), self.bbox_pred(x.flatten(1))

    def losses(
        self, predictions: tuple[torch.Tensor, torch.Tensor], proposals: list[Instances]
    ) -> dict[str, torch.Tensor]:
        """Scalars `loss_cls` and `loss_box_reg`; logs the share of right foreground RoIs."""
        embeddings, deltas = predictions
        classes = cat([p.gt_classes for p in proposals])
        loss_cls, hits = foreground_loss(embeddings, classes, self.bank, self.temperature)
        if len(hits):
            get_event_storage().put_scalar("bank/fg_accuracy", hits.float().mean().item())
        boxes = cat([p.proposal_boxes.tensor for p in proposals])
        # A picture without objects has no `gt_boxes`; its RoIs are background, so any box will do.
        wanted = cat([(p.gt_boxes if p.has("gt_boxes") else p.proposal_boxes).tensor for p in proposals])
        return {
            "loss_cls": loss_cls,
            "loss_box_reg": self.box_reg_loss(boxes, wanted, deltas.float(), classes),
        }

    def predict_probs(
        self, predictions: tuple[torch.Tensor, torch.Tensor], proposals: list[Instances]
    ) -> tuple[torch.Tensor, ...]:
        """Per picture (R_i, K + 1): class probability times objectness; the last column, background, is 0."""
        embeddings, _ = predictions
        classes = F.softmax(bank_logits(embeddings, self.bank, self.temperature), dim=1)
        objectness = cat([p.objectness_logits for p in proposals]).sigmoid()
        scores = F.pad(classes * objectness[:, None], (0, 1))
        return scores.split([len(p) for p in proposals])
