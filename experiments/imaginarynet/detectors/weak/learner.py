"""Training of WSDDN and OICR as the loop of this system's other networks takes it (learn/torch_loop.py).

An update is the gradient of `iter_size` passes over a batch each. Update u is a function of (seed, u) and of
the state before it: its batches are numbers u * iter_size and on, and dropout has a generator of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from experiments.imaginarynet.detectors.weak.optimizer import (
    build_sgd,
    finish_gradients,
    rate_share,
    set_share,
)
from experiments.imaginarynet.learn.torch_loop import Pace, restore, state_of
from suite.errors import BadInput
from suite.seeds import item_rng

if TYPE_CHECKING:
    from experiments.imaginarynet.config_weak import WeakConfig

Batches = Iterator[Sequence[dict[str, Any]]]


class WeakLearner:
    """A weakly supervised detector in training."""

    def __init__(
        self,
        model: nn.Module,
        settings: WeakConfig,
        batches: Callable[[int], Batches],
        *,
        seed: int,
        name: str,
        is_refinement: Callable[[str], bool],
    ) -> None:
        """model: its call on a batch gives the losses (model.py). batches: those from a number on, no end."""
        self.model, self.settings, self.seed, self.name = model, settings, seed, name
        self.phase = Pace(  # in updates
            steps=settings.iterations, measure_every=settings.log_every, save_every=settings.checkpoint_every
        )
        self.steps = 0  # updates done
        branches = tuple(f"loss_refine{place + 1}" for place in range(settings.refinements))
        extra = ("loss_regulariser",) if settings.spatial_regulariser else ()
        boxes = ("loss_cls", "loss_box") if settings.fast_rcnn else ()
        self.losses = ("loss", "loss_midn", *extra, *branches, *boxes, "grad_norm")
        self.optimizer = build_sgd(model, settings, is_refinement=is_refinement)
        self._batches, self._stream = batches, None

    def step(self) -> tuple[float, ...]:
        """One update; returns the values of `losses`, each the mean over the passes.

        Raises BadInput where one is not finite, naming the pictures; the weights are then those from before.
        """
        settings = self.settings
        if self._stream is None:
            self._stream = self._batches(self.steps * settings.iter_size)
        set_share(self.optimizer, rate_share(settings, self.steps))
        self.optimizer.zero_grad(set_to_none=True)
        sums, seen = dict.fromkeys(self.losses, 0.0), []
        for turn in range(settings.iter_size):
            batch = next(self._stream)
            seen += [str(row["image_id"]) for row in batch]
            losses = self.model(
                batch, generator=self._generator(turn), refine=self.steps >= settings.refine_start
            )
            total = torch.stack(list(losses.values())).sum()
            total.backward()
            for name, value in {**losses, "loss": total}.items():
                sums[name] += float(value.detach()) / settings.iter_size
        sums["grad_norm"] = float(finish_gradients(self.model.parameters(), settings))
        values = tuple(sums[name] for name in self.losses)
        if not all(map(math.isfinite, values)):
            told = ", ".join(f"{name} {value:g}" for name, value in zip(self.losses, values, strict=True))
            what = f"{self.name}: not finite in update {self.steps}: {told}; pictures {', '.join(seen)}"
            raise BadInput(what, fix=f"lower {self.settings.kind}.lr, or set clip_norm")
        self.optimizer.step()
        self.steps += 1
        return values

    def _generator(self, turn: int) -> torch.Generator:
        """Of dropout in one pass, on the model's device."""
        index = self.steps * self.settings.iter_size + turn
        number = int(item_rng(self.seed, f"{self.name}.dropout", index).integers(0, 2**63 - 1))
        return torch.Generator(device=next(self.model.parameters()).device).manual_seed(number)

    def measure(self) -> dict[str, float]:
        """Of the update that was last: the base rate."""
        return {"lr": self.settings.lr * rate_share(self.settings, self.steps - 1)}

    def state(self) -> dict[str, Any]:
        """All that the next update depends on."""
        return state_of(self.steps, model=self.model, optimizer=self.optimizer)

    def load(self, state: dict[str, Any], where: Path) -> None:
        """Undo of `state`. Raises BadInput for a state of other settings."""
        self.steps = restore(state, where, model=self.model, optimizer=self.optimizer)
        self._stream = None
