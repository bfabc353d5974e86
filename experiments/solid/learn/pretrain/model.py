"""Query and key network of SOLID.

The query network is a stock Mask R-CNN under detectron2's own names, so that any `GeneralizedRCNN` loads its
tensors. The key network is a moving average of its backbone, FPN, box head and embedding (`backbone_k.*`,
`roi_heads_k.*`); it embeds the query pictures, never has a gradient and is always in evaluation mode. The
bank is `queue` (num_classes, D); `queue_ids` (num_classes,) holds the class of each row that was written.

A training step is

    model.refresh(queries, query_ids)        # moving average, embed the queries, write the bank
    losses = model(targets)                  # or its DistributedDataParallel wrapper

The published step refreshes the bank after the backbone has seen the targets; neither reads what the other
writes, so the order makes no difference.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import suite.compat.detectron2  # noqa: F401

# isort: split
import torch
from detectron2.modeling.backbone import Backbone
from detectron2.modeling.meta_arch import GeneralizedRCNN
from detectron2.modeling.roi_heads import StandardROIHeads
from detectron2.structures import Boxes
from torch import nn

from experiments.solid.learn.engine.ranks import all_gather
from experiments.solid.learn.pretrain.bank import NEVER_WRITTEN, random_bank, write_rows_
from experiments.solid.learn.pretrain.ema import Pairs, follow_, pair

KEY_PREFIXES = {"backbone_k.": "backbone.", "roi_heads_k.": "roi_heads."}


class KeyHeads(nn.Module):
    """Pooler, box head and embedding of the key network: a copy from the query network's RoI heads."""

    def __init__(self, heads: StandardROIHeads) -> None:
        super().__init__()
        self.in_features = heads.box_in_features
        self.box_pooler = copy.deepcopy(heads.box_pooler)
        self.box_head = copy.deepcopy(heads.box_head)
        self.box_predictor = copy.deepcopy(heads.box_predictor)
        del self.box_predictor.bbox_pred  # queries are not refined

    def forward(self, features: dict[str, torch.Tensor], boxes: list[Boxes]) -> torch.Tensor:
        """Unit embeddings of all boxes of all pictures, pooled at once: (sum of boxes, D)."""
        return embed_boxes(self, self.in_features, features, boxes)


def embed_boxes(
    heads: nn.Module, in_features: Sequence[str], features: dict[str, torch.Tensor], boxes: list[Boxes]
) -> torch.Tensor:
    """Pool, box head, embedding; `boxes[i]` lie in picture i, in pixels of the network's input."""
    pooled = heads.box_pooler([features[name] for name in in_features], boxes)
    return heads.box_predictor.embeddings(heads.box_head(pooled))


class InstanceDetector(GeneralizedRCNN):
    """Mask R-CNN whose classes are the rows of a bank; see the module docstring.

    roi_heads: StandardROIHeads with an `EmbeddingPredictor`; momentum: of the moving average; query_size:
    longest side of a query in pixels; bank_seed: for the rows' random start. `gather` joins the rows of all
    ranks (tests replace it).
    """

    def __init__(
        self,
        *,
        backbone: Backbone,
        proposal_generator: nn.Module,
        roi_heads: StandardROIHeads,
        pixel_mean: Sequence[float],
        pixel_std: Sequence[float],
        input_format: str,
        momentum: float,
        query_size: int,
        bank_seed: int,
    ) -> None:
        super().__init__(
            backbone=backbone,
            proposal_generator=proposal_generator,
            roi_heads=roi_heads,
            pixel_mean=pixel_mean,
            pixel_std=pixel_std,
            input_format=input_format,
        )
        self.momentum, self.query_size = momentum, query_size
        self.backbone_k = copy.deepcopy(backbone).requires_grad_(False).eval()
        self.roi_heads_k = KeyHeads(roi_heads).requires_grad_(False).eval()
        predictor = roi_heads.box_predictor
        dim = predictor.embed[-1].out_features if len(predictor.embed) else predictor.cls_score.out_features
        generator = torch.Generator().manual_seed(bank_seed)
        self.register_buffer("queue", random_bank(roi_heads.num_classes, dim, generator))
        self.register_buffer("queue_ids", torch.full((roi_heads.num_classes,), NEVER_WRITTEN))
        self.gather: Callable[[torch.Tensor], torch.Tensor] = all_gather
        self._pairs: Pairs | None = None

    def train(self, mode: bool = True) -> InstanceDetector:
        """Training mode for the query network; the key network stays in evaluation mode."""
        super().train(mode)
        self.backbone_k.eval()
        self.roi_heads_k.eval()
        return self

    def _apply(self, *args: Any, **kwargs: Any) -> InstanceDetector:
        self._pairs = None  # `.to(device)` puts new tensors in the place of the buffers
        return super()._apply(*args, **kwargs)

    def pairs(self) -> Pairs:
        """Every tensor of the key network with the one that it follows."""
        if self._pairs is None:
            state = dict(self.state_dict(keep_vars=True))
            keys, queries = {}, {}
            for of_key, of_query in KEY_PREFIXES.items():
                names = [name for name in state if name.startswith(of_key)]
                keys |= {name: state[name] for name in names}
                queries |= {name: state[of_query + name.removeprefix(of_key)] for name in names}
            self._pairs = pair(keys, queries)
        return self._pairs

    @torch.no_grad()
    def embed_queries(self, pictures: Sequence[torch.Tensor]) -> torch.Tensor:
        """(Q, D) float32 unit embeddings by the key network of uint8 BGR (3, h, w) crops, box = crop.

        Every picture is padded to the same square, so an embedding does not depend on the other pictures.
        """
        if not pictures:
            return self.queue.new_zeros((0, self.queue.shape[1]))
        sides = [max(picture.shape[1:]) for picture in pictures]
        unit = max(self.backbone_k.size_divisibility, 1)
        side = -(-max(self.query_size, *sides) // unit) * unit
        batch = self.pixel_mean.new_zeros((len(pictures), 3, side, side))
        for place, picture in zip(batch, pictures, strict=True):
            height, width = picture.shape[1:]
            place[:, :height, :width] = (picture.to(self.device) - self.pixel_mean) / self.pixel_std
        boxes = [
            Boxes(torch.tensor([[0.0, 0.0, p.shape[2], p.shape[1]]], device=self.device)) for p in pictures
        ]
        return self.roi_heads_k(self.backbone_k(batch), boxes)

    @torch.no_grad()
    def refresh(self, pictures: Sequence[torch.Tensor], ids: torch.Tensor) -> None:
        """First half of a step: the key network moves, then the rows of all ranks' queries are overwritten.

        pictures: uint8 BGR (3, h, w); ids: (Q,) int64 class of each. Collective: every rank calls it, with as
        many queries as it has.
        """
        follow_(self.pairs(), self.momentum)
        embeddings = self.embed_queries(pictures)
        write_rows_(self.queue, self.queue_ids, self.gather(ids.to(self.device)), self.gather(embeddings))

    def forward(self, batched_inputs: list[dict[str, Any]]) -> Any:
        """Training: dict of scalar losses. Evaluation: detections, classes are rows of the bank."""
        self.roi_heads.box_predictor.bank = self.queue
        return super().forward(batched_inputs)

    def inference(self, batched_inputs: list[dict[str, Any]], *args: Any, **kwargs: Any) -> Any:
        """detectron2's `inference`, which may also be called directly."""
        self.roi_heads.box_predictor.bank = self.queue
        return super().inference(batched_inputs, *args, **kwargs)

    @torch.no_grad()
    def embed_ground_truth(self, batched_inputs: list[dict[str, Any]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Query network's unit embeddings (n, D) of all ground-truth boxes, and their classes (n,).

        In evaluation mode only: training mode would move the statistics of batch norm.
        """
        assert not self.training
        images = self.preprocess_image(batched_inputs)
        truth = [item["instances"].to(self.device) for item in batched_inputs]
        embeddings = embed_boxes(
            self.roi_heads,
            self.roi_heads.box_in_features,
            self.backbone(images.tensor),
            [instances.gt_boxes for instances in truth],
        )
        return embeddings, torch.cat([instances.gt_classes for instances in truth])
