"""Learning-rate schedules as closed forms of the iteration, and the optimiser of both trainings."""

from __future__ import annotations

from collections.abc import Sequence
from math import cos, pi

import torch
from torch import nn

import suite.compat.detectron2  # noqa: F401

# isort: split
from detectron2.solver.build import get_default_optimizer_params


def warmup_cosine(
    step: int, *, warmup: int, warmup_factor: float, schedule: int, final_factor: float
) -> float:
    """Factor on the learning rate at iteration `step` (from 0): linear warm-up, then half a cosine.

    f(s) = final + (1 - final) (1 + cos(pi s / schedule)) / 2 for s >= warmup; before, the line from
    warmup_factor at 0 to f(warmup). Published schedule: 10,000 of 1,000,000 iterations, final 0.01.
    """

    def half_cosine(s: float) -> float:
        return final_factor + (1 - final_factor) * 0.5 * (1 + cos(pi * s / schedule))

    if step >= warmup:
        return half_cosine(step)
    return warmup_factor + (half_cosine(warmup) - warmup_factor) * step / warmup


def warmup_steps(
    step: int, *, warmup: int, warmup_factor: float, steps: Sequence[int], gamma: float = 0.1
) -> float:
    """Factor at iteration `step` (from 0): linear warm-up to 1, then times `gamma` at each of `steps`."""

    def stairs(s: int) -> float:
        return gamma ** sum(s >= milestone for milestone in steps)

    if step >= warmup:
        return stairs(step)
    return warmup_factor + (stairs(warmup) - warmup_factor) * step / warmup


def optimizer(
    model: nn.Module, *, lr: float, momentum: float, weight_decay: float, weight_decay_norm: float
) -> torch.optim.SGD:
    """SGD with another weight decay on the norm layers, parameters grouped by detectron2."""
    groups = get_default_optimizer_params(
        model, base_lr=lr, weight_decay=weight_decay, weight_decay_norm=weight_decay_norm
    )
    return torch.optim.SGD(groups, lr, momentum=momentum, weight_decay=weight_decay)


def set_lr(chosen: torch.optim.Optimizer, lr: float) -> None:
    """The same learning rate for every group."""
    for group in chosen.param_groups:
        group["lr"] = lr
