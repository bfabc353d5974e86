"""SGD as the published weakly supervised detectors use it: what learns how fast, and when.

Biases learn at twice the rate and without decay in all of them. In OICR's Caffe code the refinement branches
learn ten times as fast as the rest (their biases twenty times); its PyTorch descendant (pcl.pytorch) has one
rate, a linear warm-up, and adds up the gradients of `iter_size` passes where Caffe takes their mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from experiments.imaginarynet.config_weak import WeakConfig


def rate_share(settings: WeakConfig, update: int) -> float:
    """Of the base rate, in the update of that number (from 0): warm-up, and `gamma` after each of `steps`."""
    share = settings.gamma ** sum(update >= at for at in settings.steps)
    if update < settings.warmup:
        first = settings.warmup_factor
        share *= first + (1 - first) * update / settings.warmup
    return share


def parameter_groups(
    model: nn.Module, settings: WeakConfig, *, is_refinement: Callable[[str], bool]
) -> list[dict[str, Any]]:
    """SGD groups of the parameters that learn; each has `base_lr`, its rate at share 1.

    is_refinement: whether the parameter of that name belongs to a refinement branch. A parameter of one
    dimension is a bias or a scale of a norm: neither is drawn to zero, but only a bias learns faster.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        factor = settings.bias_lr if name.rpartition(".")[2] == "bias" else 1.0
        factor *= settings.refine_lr if is_refinement(name) else 1.0
        decay = settings.weight_decay if parameter.ndim > 1 else 0.0
        groups.setdefault((settings.lr * factor, decay), []).append(parameter)
    return [
        {"params": found, "lr": rate, "base_lr": rate, "weight_decay": decay}
        for (rate, decay), found in groups.items()
    ]


def build_sgd(
    model: nn.Module, settings: WeakConfig, *, is_refinement: Callable[[str], bool]
) -> torch.optim.SGD:
    """SGD with momentum over `parameter_groups`."""
    groups = parameter_groups(model, settings, is_refinement=is_refinement)
    return torch.optim.SGD(groups, lr=settings.lr, momentum=settings.momentum)


def set_share(optimizer: torch.optim.Optimizer, share: float) -> None:
    """Every group learns at `share` of its base rate."""
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * share


def finish_gradients(parameters: Iterable[nn.Parameter], settings: WeakConfig) -> Tensor:
    """What `iter_size` backward passes added up becomes their mean where settings say so, then is clipped.

    Returns the norm of all gradients together before they are clipped, a scalar.
    """
    found = [parameter for parameter in parameters if parameter.grad is not None]
    gradients = [parameter.grad for parameter in found]
    if settings.iter_reduce == "mean" and settings.iter_size > 1:
        torch._foreach_div_(gradients, settings.iter_size)
    norm = torch.nn.utils.get_total_norm(gradients)
    if settings.clip_norm:
        torch.nn.utils.clip_grads_with_norm_(found, settings.clip_norm, norm)
    return norm
