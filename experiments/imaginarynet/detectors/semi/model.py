"""Unbiased Teacher on mmdet's SemiBaseDetector, with what that class lacks (Liu et al., ICLR 2021).

Lacking there: the softmax focal loss of proposals, the removal of box losses on pseudo boxes, training on
background where there is no pseudo box, and the burn-in with its copy (`BurnInHook`).
"""

from __future__ import annotations

from typing import Any

import suite.compat.mmcv  # noqa: F401

# isort: split
import torch
from mmdet.engine.hooks import MeanTeacherHook
from mmdet.models.detectors import SemiBaseDetector
from mmdet.models.utils import rename_loss_dict, reweight_loss_dict
from mmdet.registry import MODELS
from mmdet.structures import SampleList
from torch import Tensor, nn
from torch.nn import functional as F

_BOX_LOSSES = ("loss_rpn_bbox", "loss_bbox")


@MODELS.register_module()
class SoftmaxFocalLoss(nn.Module):
    """(1 - p)^gamma * cross-entropy, over the number of rows that have a weight; no alpha (published code).

    p is the probability of the row's own class; gamma 0 is the mean cross-entropy.
    """

    use_sigmoid = False  # asked by mmdet's heads

    def __init__(self, gamma: float = 1.5, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.gamma, self.loss_weight = gamma, loss_weight

    def forward(
        self,
        cls_score: Tensor,
        label: Tensor,
        weight: Tensor | None = None,
        avg_factor: float | None = None,
        reduction_override: str | None = None,
    ) -> Tensor:
        """cls_score: float (n, classes + 1) logits; label: int64 (n,); weight: float (n,). A scalar.

        reduction_override "none" gives (n,). Without rows the loss is 0.
        """
        entropy = F.cross_entropy(cls_score, label, reduction="none")
        # exp(-entropy) is p; entropy may fall below 0 by rounding.
        loss = (1 - torch.exp(-entropy)).clamp(min=0) ** self.gamma * entropy
        if weight is not None:
            loss = loss * weight
        if reduction_override == "none":
            return self.loss_weight * loss
        return self.loss_weight * loss.sum() / (max(len(label), 1) if avg_factor is None else avg_factor)


@MODELS.register_module()
class UnbiasedTeacher(SemiBaseDetector):
    """A student and the running mean of its weights, the teacher, which labels unlabelled pictures for it.

    A data sample whose metainfo has `image_labels` (places of classes) keeps only pseudo boxes of these.
    """

    def loss_by_pseudo_instances(
        self, batch_inputs: Tensor, batch_data_samples: SampleList, batch_info: dict | None = None
    ) -> dict[str, Any]:
        """Classification losses of RPN and RoI head; where the teacher is sure of nothing, all is background.

        batch_inputs: float (n, 3, h, w). Pseudo boxes stand in `gt_instances`, with `scores`.
        """
        for sample in batch_data_samples:
            sample.gt_instances = keep_sure(
                sample.gt_instances, self.semi_train_cfg.cls_pseudo_thr, sample.get("image_labels", None)
            )
        losses = self.student.loss(batch_inputs, batch_data_samples)
        # Dropped, not multiplied by 0: the gradient is the same, and 0 * inf would not be 0.
        losses = {name: value for name, value in losses.items() if name not in _BOX_LOSSES}
        weight = self.semi_train_cfg.get("unsup_weight", 1.0)
        return rename_loss_dict("unsup_", reweight_loss_dict(losses, weight))


def keep_sure(instances: Any, threshold: float, image_labels: tuple[int, ...] | None = None) -> Any:
    """The instances (boxes, labels, scores) with a score above the threshold and of a class that is there.

    image_labels: places of the classes that the picture is known to have; None: nothing is known.
    """
    kept = instances.scores > threshold
    if image_labels is not None:
        known = torch.tensor(sorted(image_labels), dtype=instances.labels.dtype, device=kept.device)
        kept &= torch.isin(instances.labels, known)
    return instances[kept]


class BurnInHook(MeanTeacherHook):
    """The teacher: nothing during the burn-in, the student's copy at its end, a running mean afterwards.

    teacher = decay * teacher + (1 - decay) * student, for all entries of the state, buffers included.
    """

    def __init__(self, *, decay: float, burn_in: int) -> None:
        """decay: in [0, 1]; burn_in: steps. The base class takes neither 0 nor 1 for its momentum."""
        self.momentum, self.burn_in = 1 - decay, burn_in
        self.interval, self.skip_buffers = 1, False

    def before_train(self, runner: Any) -> None:
        """The copy, where there is no burn-in."""
        if runner.iter == 0 and self.burn_in == 0:
            copy_to_teacher(runner.model)

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """runner.iter: the step that was just made, from 0."""
        done = runner.iter + 1
        if done == self.burn_in:
            copy_to_teacher(runner.model)
        elif done > self.burn_in:
            self.momentum_update(runner.model, self.momentum)


def copy_to_teacher(model: SemiBaseDetector) -> None:
    """The whole state, counters of batch norm included."""
    model.teacher.load_state_dict(model.student.state_dict())
