"""Training step by step in JAX: a state as a tree of arrays, a file that a kill leaves whole, and a curve.

Every step is a function of the state and of the step's number: on the CPU of one machine, with one number of
threads, a run that was killed and goes on ends with the bytes of the run that was not.

Not covered: equal results on a GPU, or with another number of threads.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax

from experiments.imaginarynet.learn.hooks import Hooks
from suite.arrays import read_arrays, write_arrays
from suite.errors import BadInput, Stopped
from suite.seeds import item_rng
from suite.tables import csv_text

Tree = Any  # dicts, lists and tuples of arrays
STATE = "state.npz"
JOURNAL = "journal"
CURVES = "curves.csv"


@dataclass(frozen=True, kw_only=True)
class Phase:
    """How one network is trained."""

    steps: int
    batch: int
    lr: float
    warmup: int = 100  # steps
    weight_decay: float = 0.01  # of matrices and kernels; vectors are not drawn to zero
    clip_norm: float = 1.0
    measure_every: int = 250  # steps
    save_every: int = 100  # steps

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "lr", "measure_every", "save_every"):
            if not getattr(self, name) > 0:
                raise BadInput(f"{name} {getattr(self, name)}: must be above 0")


@dataclass(frozen=True, kw_only=True)
class Learner:
    """A network in training, as functions.

    step: (state, batch) -> (state, {loss: scalar array}), compiled; state["step"] is not touched by it.
    batch: number of the step -> what `step` takes. measure: state -> figures on held-out pictures.
    """

    name: str
    step: Callable[[Tree, Any], tuple[Tree, Mapping[str, jax.Array]]]
    batch: Callable[[int], Any]
    measure: Callable[[Tree], Mapping[str, float]]


def optimiser(phase: Phase) -> optax.GradientTransformation:
    """AdamW behind a clipped gradient; linear warm-up, then half a cosine to a hundredth of the rate."""
    warmup = min(phase.warmup, max(1, phase.steps // 10))
    rate = optax.warmup_cosine_decay_schedule(
        phase.lr / warmup, phase.lr, warmup, max(phase.steps, warmup + 1), end_value=phase.lr / 100
    )
    adam = optax.adamw(
        rate, b1=0.9, b2=0.99, weight_decay=phase.weight_decay,
        mask=lambda params: jax.tree.map(lambda leaf: leaf.ndim >= 2, params),
    )  # fmt: skip
    return optax.chain(optax.clip_by_global_norm(phase.clip_norm), adam)


class Order:
    """Which items each step sees: one permutation of all of them after the other, none left out."""

    def __init__(self, seed: int, stream: str, *, count: int, batch: int) -> None:
        self.seed, self.stream, self.count, self.batch = seed, stream, count, batch
        self._epochs: dict[int, np.ndarray] = {}

    def rows(self, step: int) -> np.ndarray:
        """Items int64 (batch,) of a step."""
        places = np.arange(step * self.batch, (step + 1) * self.batch)
        epochs, within = np.divmod(places, self.count)
        return np.array([self._epoch(int(e))[i] for e, i in zip(epochs, within, strict=True)])

    def _epoch(self, number: int) -> np.ndarray:
        if number not in self._epochs:
            permutation = item_rng(self.seed, f"{self.stream}.order", number).permutation(self.count)
            self._epochs = {n: p for n, p in self._epochs.items() if n == number - 1} | {number: permutation}
        return self._epochs[number]


def fit(
    learner: Learner, initial: Tree, phase: Phase, *, work: Path, curves: Path, hooks: Hooks | None = None
) -> tuple[Tree, list[dict[str, Any]]]:
    """Train to the last step, or go on from the state in `work`; returns the state and the curve's rows.

    Each row has the losses' means since the row before and what `measure` found; `curves` gets them as CSV.
    Raises Stopped by way of `hooks.check_stop` when the state is on the disk; BadInput for a state that is
    damaged or of another network, and for losses that are not finite.
    """
    hooks, path = hooks or Hooks(), work / STATE
    work.mkdir(parents=True, exist_ok=True)
    run = _Run(learner, phase, path, curves, hooks)
    state = run.resume(initial)
    with hooks.progress(phase.steps, learner.name, done=run.done) as bar:
        while run.done < phase.steps:
            try:
                hooks.check_stop()
            except Stopped:
                run.save(state)
                raise
            state = run.advance(state)
            if bar is not None:
                bar.advance()
    run.save(state)
    return state, run.rows


class _Run:
    """A training under way."""

    def __init__(self, learner: Learner, phase: Phase, path: Path, curves: Path, hooks: Hooks) -> None:
        self.learner, self.phase, self.path, self.curves, self.hooks = learner, phase, path, curves, hooks
        self.done = 0
        self.rows: list[dict[str, Any]] = []
        self.window: list[dict[str, float]] = []  # losses since the last row

    def advance(self, state: Tree) -> Tree:
        """One step, and after it what is due."""
        state, losses = self.learner.step(state, self.learner.batch(self.done))
        values = {name: float(value) for name, value in losses.items()}
        if not all(map(math.isfinite, values.values())):
            what = f"the losses at step {self.done} of {self.learner.name} are {values}"
            raise BadInput(what, fix="lower --lr")
        self.window.append(values)
        self.done += 1
        if self.done % self.phase.measure_every == 0 or self.done == self.phase.steps:
            self._measure(state)
        if self.done % self.phase.save_every == 0:
            self.save(state)
        return state

    def _measure(self, state: Tree) -> None:
        means = {name: float(np.mean([row[name] for row in self.window])) for name in self.window[0]}
        self.rows.append({"step": self.done, **means, **self.learner.measure(state)})
        self.window = []
        self.hooks.event("measured", **{name: f"{value:.5g}" for name, value in self.rows[-1].items()})

    def save(self, state: Tree) -> None:
        """The state, then the curve that belongs to it."""
        journal = json.dumps({"done": self.done, "rows": self.rows, "window": self.window})
        leaves = {f"{i:05d}": np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(state))}
        write_arrays(self.path, **{JOURNAL: np.array(journal)}, **leaves)
        self.curves.write_text(csv_text(self.rows), encoding="utf-8")

    def resume(self, initial: Tree) -> Tree:
        """The state in the file, or `initial` without one."""
        if not self.path.exists():
            return initial
        fix = "delete it to begin anew"
        arrays = read_arrays(self.path, fix=fix)
        leaves, tree = jax.tree.flatten(initial)
        try:
            journal = json.loads(str(arrays.pop(JOURNAL)))
            self.done, self.rows, self.window = journal["done"], journal["rows"], journal["window"]
        except (KeyError, ValueError):
            raise BadInput("is no state of a training", file=self.path, fix=fix) from None
        found = [arrays[name] for name in sorted(arrays)]
        if [(a.shape, a.dtype) for a in found] != [(leaf.shape, leaf.dtype) for leaf in leaves]:
            raise BadInput("a state of another network", file=self.path, fix=fix)
        self.hooks.event("resumed", step=self.done)
        return jax.tree.unflatten(tree, [jax.numpy.asarray(array) for array in found])
