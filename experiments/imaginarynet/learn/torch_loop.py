"""Training in PyTorch: AdamW, a running mean of the weights, and a state that a kill leaves whole.

What is kept is the running mean. Every step is a function of (seed, step): on the CPU of one machine, with
one number of threads, a run that was killed and goes on is the run that was not.
"""

from __future__ import annotations

import copy
import json
import math
import os
import pickle
import zipfile
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from experiments.imaginarynet.learn.hooks import Hooks
from suite.errors import BadInput, Stopped
from suite.seeds import item_rng


@dataclass(frozen=True, kw_only=True)
class Phase:
    """How one network is trained."""

    steps: int
    batch: int
    lr: float
    warmup: int = 100  # steps
    weight_decay: float = 0.01
    mean_decay: float = 0.998  # of the running mean of the weights
    clip_norm: float = 1.0
    measure_every: int = 250  # steps
    save_every: int = 100  # steps


@dataclass(frozen=True, kw_only=True)
class Pace:
    """The schedule alone, for a learner that has settings of its own; in steps."""

    steps: int
    measure_every: int
    save_every: int


class Schedule(Protocol):
    """What the loop asks of the settings, in steps; `Phase` and `Pace` have it."""

    @property
    def steps(self) -> int: ...

    @property
    def measure_every(self) -> int: ...

    @property
    def save_every(self) -> int: ...


class Trainable(Protocol):
    """What `fit` trains; `Learner` is one, with AdamW and a running mean of its own."""

    losses: tuple[str, ...]
    name: str
    steps: int  # done

    @property
    def phase(self) -> Schedule: ...

    def step(self) -> tuple[float, ...]:
        """One step; the values of `losses`."""

    def measure(self) -> dict[str, float]:
        """Further figures of a row of the curve."""

    def state(self) -> dict[str, Any]:
        """All that the next step depends on, for `torch.save`."""

    def load(self, state: dict[str, Any], where: Path) -> None:
        """Undo of `state`."""


class Stateful(Protocol):
    """A module or an optimiser."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: dict[str, Any]) -> Any: ...


class Learner(ABC):
    """A network in training. A subclass says what the losses are and what is measured."""

    losses: tuple[str, ...] = ("loss",)  # names of what `compute` returns; the first is descended

    def __init__(self, model: nn.Module, phase: Phase, *, count: int, name: str, seed: int) -> None:
        """count: training pictures. name: of the random streams."""
        self.model, self.phase, self.count, self.name, self.seed = model, phase, count, name, seed
        self.mean = copy.deepcopy(model).requires_grad_(False)
        self.steps = 0
        # Norms and biases are not to be drawn to zero.
        groups = [
            {"params": [p for p in model.parameters() if p.ndim >= 2], "weight_decay": phase.weight_decay},
            {"params": [p for p in model.parameters() if p.ndim < 2], "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=phase.lr, betas=(0.9, 0.99))

    @abstractmethod
    def compute(self, rows: np.ndarray, generator: torch.Generator) -> tuple[Tensor, ...]:
        """The values of `losses` on some training pictures; all randomness from `generator` (CPU)."""

    @abstractmethod
    def measure(self) -> dict[str, float]:
        """Figures of the running mean on the held-out pictures."""

    def step(self) -> tuple[float, ...]:
        """One step; returns the values of `losses`. Raises BadInput where one is not finite."""
        generator = torch.Generator().manual_seed(self.number("noise", self.steps))
        for group in self.optimizer.param_groups:
            group["lr"] = self.phase.lr * self._share()
        self.optimizer.zero_grad(set_to_none=True)
        found = self.compute(self._rows(), generator)
        found[0].backward()
        values = tuple(float(value.detach()) for value in found)
        if not np.isfinite(values).all():
            raise BadInput(f"the losses at step {self.steps} of {self.name} are {values}", fix="lower --lr")
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.phase.clip_norm)
        self.optimizer.step()
        self._follow()
        self.steps += 1
        return values

    def number(self, stream: str, index: int) -> int:
        """A random number for one item of one of this learner's streams."""
        return int(item_rng(self.seed, f"{self.name}.{stream}", index).integers(0, 2**63 - 1))

    def _rows(self) -> np.ndarray:
        """Rows of this step's pictures: each epoch is a permutation of its own, its last part batch left."""
        batch = min(self.phase.batch, self.count)
        epoch, place = divmod(self.steps, self.count // batch)
        order = item_rng(self.seed, f"{self.name}.order", epoch).permutation(self.count)
        return order[place * batch : (place + 1) * batch]

    def _share(self) -> float:
        """Of the learning rate: linear warm-up, then half a cosine to a hundredth."""
        phase = self.phase
        if self.steps < phase.warmup:
            return (self.steps + 1) / phase.warmup
        done = (self.steps - phase.warmup) / max(1, phase.steps - phase.warmup)
        return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))

    def _follow(self) -> None:
        """Move the running mean; its first steps forget faster, so that it leaves the start behind."""
        decay = min(self.phase.mean_decay, (1 + self.steps) / (10 + self.steps))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.mean.parameters()), list(self.model.parameters()), 1 - decay)

    def state(self) -> dict[str, Any]:
        """All that the next step depends on."""
        return state_of(self.steps, model=self.model, mean=self.mean, optimizer=self.optimizer)

    def load(self, state: dict[str, Any], where: Path) -> None:
        """Undo of `state`. Raises BadInput for a state of other settings."""
        self.steps = restore(state, where, model=self.model, mean=self.mean, optimizer=self.optimizer)


def state_of(steps: int, **parts: Stateful) -> dict[str, Any]:
    """A learner's state after `steps`: that of each part under its name."""
    return {"steps": steps, **{name: part.state_dict() for name, part in parts.items()}}


def restore(state: dict[str, Any], where: Path, **parts: Stateful) -> int:
    """Undo of `state_of`; returns the steps. Raises BadInput for a state of other settings."""
    try:
        for name, part in parts.items():
            part.load_state_dict(state[name])
        return state["steps"]
    except (KeyError, RuntimeError, ValueError):
        raise BadInput("a state of other settings", file=where, fix="delete it to begin anew") from None


def fit(learner: Trainable, *, path: Path, hooks: Hooks | None = None) -> list[dict[str, Any]]:
    """Train to the last step, or go on from the state in `path`; returns the rows of the curve.

    Raises Stopped by way of `hooks.check_stop` when the state is on the disk; BadInput for a state that is
    damaged or of other settings, and for losses that are not finite.
    """
    hooks, phase = hooks or Hooks(), learner.phase
    rows, window = _resume(learner, path, hooks)
    with hooks.progress(phase.steps, learner.name, done=learner.steps) as bar:
        while learner.steps < phase.steps:
            try:
                hooks.check_stop()
            except Stopped:
                _save(path, learner, rows, window)
                raise
            window.append(learner.step())
            if bar is not None:
                bar.advance()
            is_last = learner.steps == phase.steps
            if learner.steps % phase.measure_every == 0 or is_last:
                rows.append(_row(learner, window))
                window = []
                hooks.event("measured", **{name: f"{value:.5g}" for name, value in rows[-1].items()})
            if learner.steps % phase.save_every == 0 or is_last:
                _save(path, learner, rows, window)
    return rows


def _row(learner: Trainable, window: list[tuple[float, ...]]) -> dict[str, Any]:
    means = np.mean(window, 0).tolist()
    return {"step": learner.steps, **dict(zip(learner.losses, means, strict=True)), **learner.measure()}


def _save(path: Path, learner: Trainable, rows: list, window: list) -> None:
    """The state; the file is whole or absent."""
    state = learner.state() | {"journal": json.dumps({"rows": rows, "window": window})}
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as stream:
            torch.save(state, stream)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:  # a full disk names no file by itself
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)


def _resume(learner: Trainable, path: Path, hooks: Hooks) -> tuple[list, list]:
    """Rows of the curve and losses since the last of them; both empty at the start."""
    if not path.exists():
        return [], []
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        journal = json.loads(state["journal"])
    except (RuntimeError, pickle.UnpicklingError, zipfile.BadZipFile, EOFError, ValueError, KeyError):
        raise BadInput("no readable state", file=path, fix="delete it to begin anew") from None
    learner.load(state, path)
    hooks.event("resumed", step=learner.steps)
    return journal["rows"], journal["window"]
