"""Optimisers as pure functions: parameters, gradients and slots in; new parameters and slots out.

`slots` is a flat list of float32 arrays, so that a checkpoint holds it like the weights and a compiled step
takes it as an argument. The learning rate is an argument of every update: schedules need no state.

SGDW, Adam and AdaBelief follow the published code (TensorFlow 2.10 and TensorFlow Addons 0.19), which
differs from Keras 3 in one point that matters: the weight decay of SGDW is not multiplied by the learning
rate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from keras import ops

from experiments.gafi.nn.backend import Tensor
from suite.errors import BadInput

Arrays = Sequence[Tensor]


class Optimizer(Protocol):
    """What a training step needs of an optimiser."""

    def init(self, params: Arrays) -> list[Tensor]:
        """The slots before the first update."""

    def update(
        self, params: Arrays, grads: Arrays, slots: Arrays, *, lr: Tensor | float
    ) -> tuple[list[Tensor], list[Tensor]]:
        """(new params, new slots); nothing is changed in place."""


@dataclass(frozen=True, kw_only=True)
class Sgd:
    """Momentum SGD; with `weight_decay` the SGDW of GaFi.

    `w <- w - d w;  v <- m v - lr g;  w <- w + m v - lr g` (Nesterov; without it `w <- w + v`), where d is
    `weight_decay`: its share of the step grows as the rate falls. It covers every parameter, batch norm and
    biases included.
    """

    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 0.0

    def init(self, params: Arrays) -> list[Tensor]:
        return [ops.zeros_like(w) for w in params]

    def update(
        self, params: Arrays, grads: Arrays, slots: Arrays, *, lr: Tensor | float
    ) -> tuple[list[Tensor], list[Tensor]]:
        lr = ops.convert_to_tensor(lr, "float32")
        keep = 1.0 - self.weight_decay
        new_params, velocities = [], []
        for w, g, v in zip(params, grads, slots, strict=True):
            if self.weight_decay:
                w = w * keep
            step = lr * g
            v = self.momentum * v - step
            new_params.append(w + (self.momentum * v - step if self.nesterov else v))
            velocities.append(v)
        return new_params, velocities


@dataclass(frozen=True, kw_only=True)
class Adam:
    """Adam as in TensorFlow: `w <- w - lr sqrt(1 - b2^t) / (1 - b1^t) * m / (sqrt(v) + eps)`.

    The epsilon stands outside the root and is added before the bias correction. Slots: the number of
    updates, then every m, then every v.
    """

    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-7

    def init(self, params: Arrays) -> list[Tensor]:
        return _two_moments(params)

    def update(
        self, params: Arrays, grads: Arrays, slots: Arrays, *, lr: Tensor | float
    ) -> tuple[list[Tensor], list[Tensor]]:
        t, moments1, moments2 = _split_moments(slots, len(params))
        rate = lr * ops.sqrt(1.0 - self.beta2**t) / (1.0 - self.beta1**t)
        new_params, new1, new2 = [], [], []
        for w, g, m, v in zip(params, grads, moments1, moments2, strict=True):
            m = m + (1.0 - self.beta1) * (g - m)
            v = v + (1.0 - self.beta2) * (g * g - v)
            new_params.append(w - rate * m / (ops.sqrt(v) + self.eps))
            new1.append(m)
            new2.append(v)
        return new_params, [t, *new1, *new2]


@dataclass(frozen=True, kw_only=True)
class AdaBelief:
    """AdaBelief without rectification: v follows `(g - m)^2`, and epsilon enters v and the denominator."""

    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8

    def init(self, params: Arrays) -> list[Tensor]:
        return _two_moments(params)

    def update(
        self, params: Arrays, grads: Arrays, slots: Arrays, *, lr: Tensor | float
    ) -> tuple[list[Tensor], list[Tensor]]:
        t, moments1, moments2 = _split_moments(slots, len(params))
        correct1, correct2 = 1.0 - self.beta1**t, 1.0 - self.beta2**t
        new_params, new1, new2 = [], [], []
        for w, g, m, v in zip(params, grads, moments1, moments2, strict=True):
            m = self.beta1 * m + (1.0 - self.beta1) * g
            v = self.beta2 * v + (1.0 - self.beta2) * ops.square(g - m) + self.eps
            new_params.append(w - lr * (m / correct1) / (ops.sqrt(v / correct2) + self.eps))
            new1.append(m)
            new2.append(v)
        return new_params, [t, *new1, *new2]


def _two_moments(params: Arrays) -> list[Tensor]:
    return [ops.zeros((), "float32"), *map(ops.zeros_like, params), *map(ops.zeros_like, params)]


def _split_moments(slots: Arrays, num: int) -> tuple[Tensor, Arrays, Arrays]:
    """(number of this update from 1, first moments, second moments)."""
    return slots[0] + 1.0, slots[1 : 1 + num], slots[1 + num :]


_BUILDERS: dict[str, Callable[[float, bool, float], Optimizer]] = {
    "sgdw": lambda momentum, nesterov, decay: Sgd(momentum=momentum, nesterov=nesterov, weight_decay=decay),
    "sgd": lambda momentum, nesterov, _: Sgd(momentum=momentum, nesterov=nesterov),
    "adam": lambda *_: Adam(),
    "adabelief": lambda *_: AdaBelief(),
}


def build_optimizer(name: str, *, momentum: float, nesterov: bool, weight_decay: float) -> Optimizer:
    """The classifier's optimiser by its published name; what a rule does not use is ignored, as published.

    name: sgdw (published choice), sgd, adam, adabelief. Raises BadInput.
    """
    if name not in _BUILDERS:
        raise BadInput(f"OPTIMIZATION.optimizer: unknown `{name}`", fix=f"choose {', '.join(_BUILDERS)}")
    return _BUILDERS[name](momentum, nesterov, weight_decay)
