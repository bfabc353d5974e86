"""Instance detection: boxes and masks of the models that some query pictures show, in a target picture.

The published code raises an exception here, so the rule is ours. A region that the RPN proposes is answered
by the query whose embedding is nearest to its own, and its score does not depend on how many queries there
are:

    score = objectness * max(0, cosine(region, query))

Training's softmax over the bank would not do: over one query it is 1 for every region, and over 52,447 rows
at temperature 0.2 it cannot exceed e^5 / (e^5 + 52446 e^-5), which is 0.3, and hardly exceeds 0.003 where the
other rows are orthogonal. Regions are thinned out by NMS over all queries together: one region, one answer.
"""

from __future__ import annotations

from typing import Any

import suite.compat.detectron2  # noqa: F401

# isort: split
import torch
from detectron2.layers import nms
from detectron2.modeling.postprocessing import detector_postprocess
from detectron2.structures import Boxes, Instances
from torch import nn

from experiments.solid.learn.pretrain.model import InstanceDetector


def match(embeddings: torch.Tensor, bank: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(R,) float cosine to the nearest of the unit rows `bank` (K, D), and (R,) int64 which row that is.

    embeddings: (R, D), unit. At a tie the first row.
    """
    scores = embeddings @ bank.T
    return scores.amax(dim=1), scores.argmax(dim=1)


def choose(
    boxes: torch.Tensor, scores: torch.Tensor, *, min_score: float, max_overlap: float, most: int
) -> torch.Tensor:
    """(n,) int64, surest first: which of the boxes (R, 4) stay, at most `most`.

    Left out: scores (R,) below `min_score`, boxes without an area, and boxes whose IoU with a surer one that
    stays is above `max_overlap`.
    """
    whole = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1]) & boxes.isfinite().all(dim=1)
    good = (whole & (scores >= min_score)).nonzero().squeeze(1)
    return good[nms(boxes[good].float(), scores[good].float(), max_overlap)[:most]]


class QueryDetector(nn.Module):
    """A pre-trained model asked for the rows of `bank` (K, D), unit; stands where detectron2 has a model.

    Called with detectron2's input dicts it returns one {"instances": Instances} each, in pixels of the stored
    picture: `pred_boxes`, `scores`, `pred_classes` (row of the bank), `cosine`, `pred_masks` bool (n, H, W).
    max_overlap and most default to the detector's own (0.5 and 100 as published).
    """

    def __init__(
        self,
        model: InstanceDetector,
        bank: torch.Tensor,
        *,
        min_score: float = 0.0,
        max_overlap: float | None = None,
        most: int | None = None,
    ) -> None:
        super().__init__()
        predictor = model.roi_heads.box_predictor
        self.model, self.bank, self.min_score = model.eval(), bank.to(model.device), min_score
        self.max_overlap = predictor.test_nms_thresh if max_overlap is None else max_overlap
        self.most = predictor.test_topk_per_image if most is None else most

    @property
    def backbone(self) -> nn.Module:
        """The query network's, for those who ask for its size divisibility."""
        return self.model.backbone

    @torch.no_grad()
    def forward(self, batched_inputs: list[dict[str, Any]]) -> list[dict[str, Instances]]:
        """See the class."""
        model = self.model
        images = model.preprocess_image(batched_inputs)
        features = model.backbone(images.tensor)
        proposals, _ = model.proposal_generator(images, features, None)
        found = model.roi_heads.forward_with_given_boxes(features, self._answers(features, proposals))
        return [
            {"instances": detector_postprocess(answers, item["height"], item["width"])}
            for answers, item in zip(found, batched_inputs, strict=True)
        ]

    def _answers(self, features: dict[str, torch.Tensor], proposals: list[Instances]) -> list[Instances]:
        """Refined, scored and thinned out regions of every picture, in pixels of the network's input."""
        heads = self.model.roi_heads
        pooled = heads.box_pooler(
            [features[name] for name in heads.box_in_features], [p.proposal_boxes for p in proposals]
        )
        predictions = heads.box_predictor(heads.box_head(pooled))
        cosine, which = match(predictions[0], self.bank)
        sizes = [len(p) for p in proposals]
        parts = zip(
            proposals,
            heads.box_predictor.predict_boxes(predictions, proposals),
            cosine.split(sizes),
            which.split(sizes),
            strict=True,
        )
        return [self._thin_out(*part) for part in parts]

    def _thin_out(
        self, proposals: Instances, boxes: torch.Tensor, cosine: torch.Tensor, which: torch.Tensor
    ) -> Instances:
        clipped = Boxes(boxes[:, :4])
        clipped.clip(proposals.image_size)
        scores = proposals.objectness_logits.sigmoid() * cosine.clamp(min=0)
        chosen = choose(
            clipped.tensor,
            scores,
            min_score=self.min_score,
            max_overlap=self.max_overlap,
            most=self.most,
        )
        found = Instances(proposals.image_size)
        found.pred_boxes, found.scores = clipped[chosen], scores[chosen]
        found.pred_classes, found.cosine = which[chosen], cosine[chosen]
        return found
