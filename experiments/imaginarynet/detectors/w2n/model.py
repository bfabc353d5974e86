"""The student and the teacher of W2N's semi-supervised module: Unbiased Teacher with a split of its labels.

Per step (published code; paper, section 3):

    labelled pictures, instances trusted for classification   rpn_cls + roi_cls
    labelled pictures, instances trusted for regression       rpn_bbox + roi_bbox
    unlabelled pictures, teacher boxes above a threshold      weight * (rpn_cls + roi_cls)
    with `teacher_boxes`: those that pass the jitter test     weight * (rpn_bbox + roi_bbox)

A picture without an instance that a task trusts takes no part in that task. The published code passes a
labelled picture through the network once per task; here both tasks share its features.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import suite.compat.mmcv  # noqa: F401

# isort: split
import torch
from mmdet.models.utils import rename_loss_dict, reweight_loss_dict
from mmdet.structures import SampleList
from mmdet.structures.bbox import bbox2roi
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch import Tensor

from experiments.imaginarynet.config_w2n import W2NConfig, W2NRound
from experiments.imaginarynet.detectors.semi.model import UnbiasedTeacher, keep_sure
from experiments.imaginarynet.detectors.semi.network import semi_config
from experiments.imaginarynet.detectors.w2n.jitter import box_spread, shifts

CLS = ("loss_rpn_cls", "loss_cls")
REG = ("loss_rpn_bbox", "loss_bbox")
IGNORED_SHARE = 0.5  # of a proposal that an ignored instance covers, from which on it is no background


class W2NTeacher(UnbiasedTeacher):
    """A student and its teacher. Labelled instances say in `clean_cls`, `clean_reg` (bool) who trusts them.

    The shifts of the jitter test are drawn from torch's global generator, whose state the training loop sets.
    """

    def __init__(self, settings: W2NConfig, round: W2NRound, num_classes: int) -> None:
        config = semi_config("unbiased-teacher", settings.student, num_classes)
        if settings.ignore_unclean:
            for part in ("rpn", "rcnn"):
                config["detector"]["train_cfg"][part]["assigner"]["ignore_iof_thr"] = IGNORED_SHARE
        super().__init__(**ConfigDict(config))
        self.settings, self.round = settings, round

    def loss_by_gt_instances(self, batch_inputs: Tensor, batch_data_samples: SampleList) -> dict[str, Any]:
        """Losses of labelled pictures, float (n, 3, h, w); without a split, all losses on all instances."""
        features = self.student.extract_feat(batch_inputs)
        if not self.round.split:
            return rename_loss_dict("sup_", losses_on(self.student, features, batch_data_samples))
        losses: dict[str, Any] = {}
        for flag, names in (("clean_cls", CLS), ("clean_reg", REG)):
            rows, trusted = self._trusted(batch_data_samples, flag)
            if rows:
                found = losses_on(self.student, [level[rows] for level in features], trusted)
                losses |= {name: found[name] for name in names}
        return rename_loss_dict("sup_", losses)

    def _trusted(self, samples: SampleList, flag: str) -> tuple[list[int], SampleList]:
        """Rows of the pictures with a trusted instance, and their samples with these instances alone."""
        rows, kept = [], []
        for row, sample in enumerate(samples):
            clean = sample.gt_instances[flag]
            if clean.any():
                sample = sample.clone()
                if self.settings.ignore_unclean:
                    sample.ignored_instances = InstanceData(bboxes=sample.gt_instances.bboxes[~clean])
                sample.gt_instances = sample.gt_instances[clean]
                rows.append(row)
                kept.append(sample)
        return rows, kept

    @torch.no_grad()
    def get_pseudo_instances(
        self, batch_inputs: Tensor, batch_data_samples: SampleList
    ) -> tuple[SampleList, dict[str, Any]]:
        """The teacher's boxes with `scores` and, with `teacher_boxes`, `spread`, of float (n, 3, h, w)."""
        self.teacher.eval()
        features = self.teacher.extract_feat(batch_inputs)
        proposals = self.teacher.rpn_head.predict(features, batch_data_samples, rescale=False)
        results = self.teacher.roi_head.predict(features, proposals, batch_data_samples, rescale=False)
        for row, (sample, found) in enumerate(zip(batch_data_samples, results, strict=True)):
            if self.round.teacher_boxes:
                found.spread = spread_of(self.teacher, features, row, sample, found, settings=self.settings)
            sample.gt_instances = found
        return batch_data_samples, {}

    def project_pseudo_instances(
        self, batch_pseudo_instances: SampleList, batch_data_samples: SampleList
    ) -> SampleList:
        """The same boxes for the strongly changed pictures, whose geometry is that of the weak ones."""
        for source, sample in zip(batch_pseudo_instances, batch_data_samples, strict=True):
            sample.gt_instances = copy.deepcopy(source.gt_instances)
        return batch_data_samples

    def loss_by_pseudo_instances(
        self, batch_inputs: Tensor, batch_data_samples: SampleList, batch_info: dict | None = None
    ) -> dict[str, Any]:
        """Losses of unlabelled pictures, float (n, 3, h, w), whose boxes are the teacher's.

        The samples keep the boxes that taught classification.
        """
        steady = [self._steady(sample) for sample in batch_data_samples] if self.round.teacher_boxes else []
        for sample in batch_data_samples:
            sample.gt_instances = self._sure(sample)
        features = self.student.extract_feat(batch_inputs)
        found = losses_on(self.student, features, batch_data_samples)
        losses = {name: found[name] for name in CLS}
        rows = [row for row, instances in enumerate(steady) if len(instances)]
        if rows:
            samples = [self._with(batch_data_samples[row], steady[row]) for row in rows]
            found = losses_on(self.student, [level[rows] for level in features], samples)
            losses |= {name: found[name] for name in REG}
        weight = self.settings.student.unlabelled_weight
        return rename_loss_dict("unsup_", reweight_loss_dict(losses, weight))

    def _sure(self, sample: Any) -> InstanceData:
        return keep_sure(sample.gt_instances, self.settings.student.threshold, self._known(sample))

    def _steady(self, sample: Any) -> InstanceData:
        """Boxes above the lower threshold that pass the jitter test."""
        kept = keep_sure(sample.gt_instances, self.settings.box_threshold, self._known(sample))
        return kept[kept.spread < self.settings.max_spread]

    def _known(self, sample: Any) -> tuple[int, ...] | None:
        """Classes that the picture is known to have; None where they are not to be used."""
        return sample.get("image_labels", None) if self.settings.use_image_labels else None

    @staticmethod
    def _with(sample: Any, instances: InstanceData) -> Any:
        sample = sample.clone()
        sample.gt_instances = instances
        return sample


def losses_on(detector: Any, features: Sequence[Tensor], samples: SampleList) -> dict[str, Any]:
    """All losses of a Faster R-CNN of mmdet on features that are there already.

    features: the levels of the FPN, float (n, channels, h, w), of n pictures with their `samples`.
    """
    for_rpn = copy.deepcopy(samples)
    for sample in for_rpn:  # to whom every object is of one class
        sample.gt_instances.labels = torch.zeros_like(sample.gt_instances.labels)
    losses, proposals = detector.rpn_head.loss_and_predict(
        features, for_rpn, proposal_cfg=detector.train_cfg.rpn_proposal
    )
    return {**losses, **detector.roi_head.loss(features, proposals, samples)}


def regress(detector: Any, features: Sequence[Tensor], boxes: Tensor, labels: Tensor, meta: dict) -> Tensor:
    """float (n, 4): boxes moved by the head of their class, in pixels of the network's input.

    features: the levels of one picture, (1, channels, h, w). boxes: float (n, 4); labels: int64 (n,).
    """
    found = detector.roi_head._bbox_forward(features, bbox2roi([boxes]))
    return detector.roi_head.bbox_head.regress_by_class(boxes, labels, found["bbox_pred"], meta)


def spread_of(
    detector: Any, features: Sequence[Tensor], row: int, sample: Any, found: Any, *, settings: W2NConfig,
    generator: torch.Generator | None = None,
) -> Tensor:  # fmt: skip
    """float (n,): the jitter test of the boxes `found` in the picture at place `row` of the features."""
    own = [level[row : row + 1] for level in features]
    boxes, labels = found.bboxes, found.labels
    by = shifts(len(boxes), copies=settings.jitter_copies, share=settings.jitter_share, generator=generator)
    height, width = sample.img_shape[:2]
    return box_spread(
        boxes, labels, lambda moved, of: regress(detector, own, moved, of, sample.metainfo),
        by=by.to(boxes.device), size=(width, height),
    )  # fmt: skip
