"""What W2N trains: a Faster R-CNN on all noisy labels first, then a student and its teacher per round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from mmengine.logging import MMLogger
from torch import Tensor

from experiments.imaginarynet.config_semi import SemiConfig
from experiments.imaginarynet.config_w2n import W2NConfig, W2NRound
from experiments.imaginarynet.detectors.data.records import Boxed, ImageLabelled, Unlabelled
from experiments.imaginarynet.detectors.semi.batches import Pool
from experiments.imaginarynet.detectors.semi.learner import SemiLearner
from experiments.imaginarynet.detectors.semi.network import build_model
from experiments.imaginarynet.detectors.semi.views import View
from experiments.imaginarynet.detectors.semi.weights import load_backbone
from experiments.imaginarynet.detectors.w2n.labels import NoisyLabels
from experiments.imaginarynet.detectors.w2n.model import W2NTeacher


class RoundLearner(SemiLearner):
    """A round: labelled views tell which of their instances each task trusts."""

    def __init__(
        self, model: W2NTeacher, settings: SemiConfig, pool: Pool, labels: NoisyLabels, **facts: Any
    ) -> None:
        """pool: `boxed` and `unlabelled` of the same pictures. facts: as SemiLearner's."""
        super().__init__(model, settings, pool, **facts)
        self.labels, self.rows = labels, labels.rows_of()

    def prepared(self, views: list[View]) -> tuple[Tensor, list]:
        """As SemiLearner's; instances of labelled views have `clean_cls` and `clean_reg`, bool (n,)."""
        inputs, samples = super().prepared(views)
        for view, sample in zip(views, samples, strict=True):
            if len(view.boxes):
                rows = self.rows[view.id]
                for flag in ("clean_cls", "clean_reg"):
                    values = torch.from_numpy(getattr(self.labels, flag)[rows])
                    sample.gt_instances[flag] = values.to(inputs.device)
        return inputs, samples


def boxed(pictures: Sequence[ImageLabelled], labels: NoisyLabels) -> tuple[Boxed, ...]:
    """The pictures that have an instance which some task trusts, with all their noisy labels as boxes."""
    trusted = set(labels.picture[labels.clean_cls | labels.clean_reg].tolist())
    rows_of = labels.rows_of()
    return tuple(
        Boxed(
            **_place(picture), boxes=labels.boxes[rows_of[picture.id]],
            labels=labels.labels[rows_of[picture.id]], difficult=np.zeros(len(rows_of[picture.id]), bool),
        )
        for picture in pictures if picture.id in trusted
    )  # fmt: skip


def unlabelled(pictures: Sequence[ImageLabelled]) -> tuple[Unlabelled, ...]:
    """The same pictures without what is known of them."""
    return tuple(Unlabelled(**_place(picture)) for picture in pictures)


def first_learner(
    pictures: Sequence[ImageLabelled], labels: NoisyLabels, settings: W2NConfig, *, num_classes: int,
    seed: int, **facts: Any,
) -> SemiLearner:  # fmt: skip
    """Supervised training on all noisy labels; W2N's localization adaptation but for its unpublished loss."""
    student = replace(settings.student, burn_in=0)
    model = build_model("faster-rcnn", student, num_classes=num_classes, seed=seed)
    load_backbone(model, student.weights)
    return SemiLearner(model, student, Pool(boxed(pictures, labels)), seed=seed, **facts)


def round_learner(
    pictures: Sequence[ImageLabelled], labels: NoisyLabels, settings: W2NConfig, round: W2NRound, *,
    state: Mapping[str, Tensor], num_classes: int, seed: int, **facts: Any,
) -> RoundLearner:  # fmt: skip
    """A round that begins with the detector of `state`, as student and as teacher.

    All pictures are unlabelled ones, too, whose classes are known.
    """
    student = replace(
        settings.student, burn_in=0, steps=round.steps, lr=round.lr, decay_steps=round.decay_steps
    )
    MMLogger.get_current_instance().setLevel("WARNING")
    model = W2NTeacher(settings, round, num_classes)
    for network in (model.student, model.teacher):
        network.load_state_dict(dict(state))
    model.train()
    model.teacher.eval()
    known = {picture.id: picture.labels for picture in pictures}
    pool = Pool(boxed(pictures, labels), unlabelled(pictures), known)
    return RoundLearner(model, student, pool, labels, seed=seed, **facts)


def _place(picture: ImageLabelled) -> dict[str, Any]:
    return {name: getattr(picture, name) for name in ("id", "file", "width", "height", "source")}
