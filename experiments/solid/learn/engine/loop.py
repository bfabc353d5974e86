"""The training loop: resumes to the step, stops on SIGTERM, refuses a loss that is no number.

One checkpoint in the work folder holds everything that decides the next step: model, optimiser, loss scaler,
iteration and the state of every random generator, of every rank. `*.jsonl` in the output folder is cut back
to the checkpoint's iteration on resume, so that the finished file is that of an undisturbed run; it holds no
clock. Times go to the manifest's facts.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from experiments.solid.learn.engine import ranks
from experiments.solid.learn.engine.checkpoint import Stateful, load_checkpoint, save_checkpoint
from experiments.solid.learn.engine.setup import generator_states, set_generator_states
from suite.errors import BadInput
from suite.stage import STOP, Context

CHECKPOINT = "checkpoint.pt"
METRICS = "metrics.jsonl"
_NOT_FINITE = "look at these samples, or lower the learning rate; the last checkpoint is from before"

Scalars = dict[str, torch.Tensor | float]


def start_step(ctx: Context) -> int:
    """Iterations that are done already: where loaders begin. Every rank must call it."""
    path = ctx.work / CHECKPOINT
    done = load_checkpoint(path, mmap=True)["step"] if ctx.rank == 0 and path.exists() else 0
    return ranks.from_rank_0(done)


def train_loop(
    ctx: Context,
    *,
    step: Callable[[int], Scalars],
    state: Mapping[str, Stateful],
    iterations: int,
    checkpoint_every: int,
    log_every: int,
    sample_ids: Callable[[], list[Any]],
    on_log: Callable[[int, dict[str, float]], Mapping[str, float] | None] | None = None,
    per_rank: Mapping[str, Stateful] | None = None,
) -> None:
    """Run `step(i)` for the iterations that are left; on return the last checkpoint is in the work folder.

    step: forward, backward and update of iteration i (from 0); returns scalars. Tensors (losses) are averaged
      over the log window and the ranks; plain numbers are logged as they were last. Names that begin with
      `loss` are also summed up as `total_loss`.
    state: what the checkpoint holds of rank 0. per_rank: what differs between ranks (`NormStatistics`).
    on_log: called with the number of finished iterations and the line; what it returns is added to the line.
    sample_ids: the samples of the last iteration, named when a scalar is not finite (BadInput).
    Lines come after iteration 1, every `log_every` and the last. Raises Stopped after SIGTERM.
    """
    run = _Run(ctx, dict(state), dict(per_rank or {}))
    first = run.resume()
    begun = perf_counter()
    with ctx.progress(iterations, done=first) as bar:
        for index in range(first, iterations):
            run.window.add(run.checked(run.stepped(step, index, sample_ids), index, sample_ids))
            done = index + 1
            if done == 1 or done % log_every == 0 or done == iterations:
                run.log(done, on_log)
            stop = ranks.any_rank(STOP.is_set, run.device)
            if stop or done % checkpoint_every == 0 or done == iterations:
                run.save(done)
            bar.advance()
            if stop and done < iterations:
                ctx.check_stop(told=True)
    seconds = perf_counter() - begun
    ctx.facts |= {"first_iteration": first, "train_seconds": seconds, "world_size": ranks.world_size()}
    if iterations > first:
        ctx.facts["seconds_per_iteration"] = seconds / (iterations - first)


def truncate_jsonl(path: Path, step: int) -> None:
    """Keep the whole lines whose "step" is at most `step`."""
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        if not line.endswith("\n") or json.loads(line)["step"] > step:
            break
        kept.append(line)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text("".join(kept), encoding="utf-8")
    temporary.replace(path)


def append_jsonl(path: Path, row: Mapping[str, Any]) -> None:
    """One line, flushed to the disk."""
    with path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(row) + "\n")
        stream.flush()
        os.fsync(stream.fileno())


class _Window:
    """Sums since the last line; part of the checkpoint, so that a line never depends on a restart."""

    def __init__(self) -> None:
        self.sums: dict[str, float] = {}
        self.last: dict[str, float] = {}
        self.count = 0

    def add(self, values: tuple[dict[str, float], dict[str, float]]) -> None:
        means, self.last = values
        for name, value in means.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        self.count += 1

    def take(self, device: torch.device) -> dict[str, float]:
        """Means over window and ranks, then the plain numbers; empties the window."""
        means = torch.tensor([value / self.count for value in self.sums.values()], dtype=torch.float64)
        if ranks.world_size() > 1:
            means = ranks.mean_over_ranks(means.to(device)).cpu()
        row = dict(zip(self.sums, means.tolist(), strict=True)) | self.last
        self.__init__()
        return row

    def state_dict(self) -> dict[str, Any]:
        return {"sums": dict(self.sums), "last": dict(self.last), "count": self.count}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.sums, self.last, self.count = dict(state["sums"]), dict(state["last"]), state["count"]


class _Run:
    """One training and its files."""

    def __init__(self, ctx: Context, state: dict[str, Stateful], per_rank: dict[str, Stateful]) -> None:
        self.ctx, self.state = ctx, state
        self.window = _Window()
        self.per_rank = per_rank | {"window": self.window}
        self.device = ranks.torch_device(ctx.device)
        self.path = ctx.work / CHECKPOINT

    def resume(self) -> int:
        """Load the checkpoint, if there is one, cut the logs back to it; returns the finished iterations."""
        found = load_checkpoint(self.path) if self.ctx.rank == 0 and self.path.exists() else None
        found = ranks.from_rank_0(found)
        done = 0 if found is None else found["step"]
        for log in self.ctx.out.glob("[!.]*.jsonl"):
            truncate_jsonl(log, done)
        if found is None:
            return 0
        if len(found["ranks"]) != ranks.world_size():
            what = f"the checkpoint is by {len(found['ranks'])} ranks, there are {ranks.world_size()}"
            raise BadInput(what, file=self.path, fix="start as many, or delete it to begin again")
        if set(found["state"]) != set(self.state):
            raise BadInput("the checkpoint is of another program", file=self.path, fix="delete it")
        for name, item in self.state.items():
            item.load_state_dict(found["state"][name])
        mine = found["ranks"][ranks.rank()]
        for name, item in self.per_rank.items():
            item.load_state_dict(mine[name])
        set_generator_states(mine["generators"])
        self.ctx.event("resumed", iteration=done)
        return done

    def save(self, done: int) -> None:
        """Every rank contributes, rank 0 writes."""
        mine = {name: item.state_dict() for name, item in self.per_rank.items()}
        gathered = ranks.gather_objects(mine | {"generators": generator_states()})
        if self.ctx.rank == 0:
            state = {name: item.state_dict() for name, item in self.state.items()}
            save_checkpoint(self.path, {"step": done, "state": state, "ranks": gathered})

    def log(self, done: int, on_log: Callable[..., Mapping[str, float] | None] | None) -> None:
        """One line of metrics.jsonl."""
        row: dict[str, float] = {"step": done} | self.window.take(self.device)
        row |= (on_log(done, row) if on_log else None) or {}
        if self.ctx.rank == 0:
            append_jsonl(self.ctx.out / METRICS, row)
        self.ctx.event("trained", iteration=done, total_loss=row.get("total_loss"))

    def stepped(
        self, step: Callable[[int], Scalars], index: int, sample_ids: Callable[[], list[Any]]
    ) -> Scalars:
        """One step; detectron2's own refusal of boxes that are not finite gets the samples' names."""
        try:
            return step(index)
        except FloatingPointError as error:
            samples = ", ".join(map(str, sample_ids()))
            raise BadInput(
                f"{self.ctx.label}: {error} (iteration {index}; samples {samples})", fix=_NOT_FINITE
            ) from None

    def checked(
        self, values: Scalars, index: int, sample_ids: Callable[[], list[Any]]
    ) -> tuple[dict[str, float], dict[str, float]]:
        """(averaged scalars, plain numbers); BadInput on every rank when one is not finite on any of them."""
        tensors = {name: value.detach().float() for name, value in values.items() if torch.is_tensor(value)}
        # One copy from the device for all of them.
        flat = torch.stack(list(tensors.values())).tolist() if tensors else []
        means = dict(zip(tensors, flat, strict=True))
        losses = [value for name, value in means.items() if name.startswith("loss")]
        if losses and "total_loss" not in means:
            means["total_loss"] = math.fsum(losses) if all(map(math.isfinite, losses)) else sum(losses)
        plain = {name: float(value) for name, value in values.items() if name not in tensors}
        bad = not all(map(math.isfinite, [*means.values(), *plain.values()]))
        if ranks.any_rank(bad, self.device):
            self._refuse(means | plain, index, sample_ids() if bad else [], bad)
        return means, plain

    def _refuse(self, values: Mapping[str, float], index: int, ids: list[Any], bad: bool) -> None:
        mine = dict(values) if bad else {}
        found = ranks.gather_objects((mine, ids))
        parts = "; ".join(
            ", ".join(f"{name}={value:.6g}" for name, value in row.items()) for row, _ in found if row
        )
        samples = [sample for _, rows in found for sample in rows]
        raise BadInput(
            f"{self.ctx.label}: a loss is not finite at iteration {index}: {parts}; samples"
            f" {', '.join(map(str, samples))}",
            fix=_NOT_FINITE,
        )
