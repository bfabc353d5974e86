"""One step of the semi-supervised detectors: SGD on the student, then the teacher's running mean.

Every random number of a step is a function of (seed, step), those of the labelled pictures apart from those
of the unlabelled ones: with a weight of 0 for these, training is the supervised one bit for bit.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Generator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from mmdet.models.detectors import SemiBaseDetector
from torch import Tensor

from experiments.imaginarynet.config_semi import SemiConfig
from experiments.imaginarynet.detectors.semi.batches import Batch, Pool, as_inputs, batches
from experiments.imaginarynet.detectors.semi.model import BurnInHook
from experiments.imaginarynet.detectors.semi.network import seeded
from experiments.imaginarynet.detectors.semi.views import View
from experiments.imaginarynet.learn.torch_loop import Pace, restore, state_of
from suite.errors import BadInput

NAMES = ("loss_rpn_cls", "loss_rpn_bbox", "loss_cls", "loss_bbox")
COLUMNS = (*(f"loss_sup_{name[5:]}" for name in NAMES), *(f"loss_unsup_{name[5:]}" for name in NAMES))


class SemiLearner:
    """A student, its teacher and the batches they see, as `learn.torch_loop.fit` trains them.

    A subclass may have other losses: `labelled_losses`, `unlabelled_losses`.
    """

    losses = ("loss", *COLUMNS, "pseudo_boxes")  # the last: per unlabelled picture

    def __init__(
        self,
        model: SemiBaseDetector,
        settings: SemiConfig,
        pool: Pool,
        *,
        seed: int,
        name: str,
        device: torch.device | None = None,
    ) -> None:
        """model: of network.build_model. name: for messages; no random number depends on it."""
        self.model, self.settings, self.pool, self.name, self.seed = model, settings, pool, name, seed
        self.device = device or torch.device("cpu")
        self.phase = Pace(
            steps=settings.steps, measure_every=settings.measure_every, save_every=settings.save_every
        )
        self.steps = 0
        self.model.to(self.device)
        learned = [p for p in model.student.parameters() if p.requires_grad]
        self.optimizer = torch.optim.SGD(
            learned, lr=settings.lr, momentum=settings.momentum, weight_decay=settings.weight_decay
        )
        self.hook = BurnInHook(decay=settings.ema, burn_in=settings.burn_in)
        self.hook.before_train(SimpleNamespace(iter=0, model=model))
        self._batches: Generator[Batch] | None = None

    # -- losses -----------------------------------------------------------------------------------------

    def labelled_losses(self, batch: Batch) -> dict[str, Any]:
        """`sup_...` losses by name, of the strong and the weak views together."""
        views = [weak for weak, _ in batch.labelled]
        if self.settings.strong_supervised:
            views = [strong for _, strong in batch.labelled] + views
        inputs, samples = self.prepared(views)
        return self.model.loss_by_gt_instances(inputs, samples)

    def unlabelled_losses(self, batch: Batch) -> tuple[dict[str, Any], float]:
        """`unsup_...` losses by name, already weighted, and the pseudo boxes per picture."""
        model = self.model
        weak_inputs, weak_samples = self.prepared([weak for weak, _ in batch.unlabelled])
        inputs, samples = self.prepared([strong for _, strong in batch.unlabelled])
        found, info = model.get_pseudo_instances(weak_inputs, weak_samples)
        samples = model.project_pseudo_instances(found, samples)
        losses = model.loss_by_pseudo_instances(inputs, samples, info)
        least = self.settings.threshold
        sure = sum(int((sample.gt_instances.scores > least).sum()) for sample in samples)
        return losses, sure / len(samples)

    def prepared(self, views: list[View]) -> tuple[Tensor, list]:
        """Normalised, padded float (n, 3, h, w) on the device, and the data samples."""
        data = self.model.data_preprocessor(as_inputs(views), training=True)
        return data["inputs"], data["data_samples"]

    def compute(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor], float]:
        """The loss that is descended, its parts by name, and the pseudo boxes per picture."""
        with seeded(self.seed, "labelled", self.steps):
            parts, pseudo = dict(self.labelled_losses(batch)), 0.0
        if batch.unlabelled and self.settings.unlabelled_weight > 0:
            with seeded(self.seed, "unlabelled", self.steps):
                found, pseudo = self.unlabelled_losses(batch)
            parts |= found
        summed = {name: total_of(value) for name, value in parts.items() if "loss" in name}
        return torch.stack(list(summed.values())).sum(), summed, pseudo

    # -- a step -----------------------------------------------------------------------------------------

    def step(self) -> tuple[float, ...]:
        """One step; returns the values of `losses`. Raises BadInput where the loss is not finite."""
        if self._batches is None:
            self._batches = batches(self.pool, self.settings, seed=self.seed, first_step=self.steps)
        batch = next(self._batches)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.settings, self.steps)
        self.optimizer.zero_grad(set_to_none=True)
        loss, parts, pseudo = self.compute(batch)
        value = float(loss.detach())
        if not np.isfinite(value):
            pictures = ", ".join(map(str, batch.ids))
            raise BadInput(
                f"the loss of {self.name} at step {self.steps} is {value}; pictures {pictures}",
                fix="look at these pictures, or lower the learning rate",
            )
        loss.backward()
        if self.settings.clip_norm:
            torch.nn.utils.clip_grad_norm_(self.model.student.parameters(), self.settings.clip_norm)
        self.optimizer.step()
        self._follow()
        self.steps += 1
        return value, *(_column(parts, name) for name in COLUMNS), pseudo

    def _follow(self) -> None:
        """The teacher, by mmdet's hook."""
        self.hook.after_train_iter(SimpleNamespace(iter=self.steps, model=self.model), self.steps)

    def measure(self) -> dict[str, float]:
        """The learning rate of the step just made."""
        return {"lr": learning_rate(self.settings, self.steps - 1)}

    # -- state ------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """All that the next step depends on; the batches follow from the step."""
        return state_of(self.steps, model=self.model, optimizer=self.optimizer)

    def load(self, state: Mapping[str, Any], where: Path) -> None:
        """Undo of `state`. Raises BadInput for a state of other settings."""
        self.steps = restore(state, where, model=self.model, optimizer=self.optimizer)
        self.close()

    def close(self) -> None:
        """End the threads that make batches; a further step begins others."""
        if self._batches is not None:
            self._batches.close()
        self._batches = None

    def result(self) -> torch.nn.Module:
        """The detector that training is for: the teacher, or the student where none follows it."""
        has_teacher = self.settings.ema > 0 and self.steps >= self.settings.burn_in
        return self.model.teacher if has_teacher else self.model.student


def learning_rate(settings: SemiConfig, step: int) -> float:
    """At a step, from 0: linear warm-up, then a tenth less at each of `decay_steps`."""
    rate = settings.lr * 0.1 ** bisect_right(settings.decay_steps, step)
    if step < settings.warmup:
        share = step / settings.warmup
        rate *= settings.warmup_factor * (1 - share) + share
    return rate


def total_of(value: Any) -> Tensor:
    """The scalar of one of mmdet's losses; those of several levels come as a list."""
    return sum(part.mean() for part in value) if isinstance(value, (list, tuple)) else value.mean()


def _column(parts: Mapping[str, Tensor], column: str) -> float:
    """loss_sup_cls is mmdet's sup_loss_cls; 0 where there is none."""
    source, _, name = column.removeprefix("loss_").partition("_")
    value = parts.get(f"{source}_loss_{name}")
    return 0.0 if value is None else float(value.detach())
