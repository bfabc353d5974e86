"""Training: batch -> forward -> assignment -> losses -> backward -> step; everything else is bookkeeping.

    python experiments/dense_detector/train.py --db train.db --images train2017 --resize 128 64 --out RUN

is the published command; `python -m experiments.dense_detector train` takes the same flags (cli.py), or
`--config` as a stage of a run. On the CPU a run is a function of its settings and seed: going on from a
checkpoint after `kill -9` gives the same weights and the same metrics.jsonl as never having been killed.

Not covered: more than one GPU; equal results on a GPU, or with another number of threads.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # started by its path: the packages lie two folders up
    sys.path[0] = str(Path(__file__).resolve().parents[2])

import numpy as np
import torch
from PIL import Image

from experiments.dense_detector.checkpoint import (
    BEST,
    LAST,
    check_same_run,
    load_checkpoint,
    restore_rng,
    rng_state,
    save_checkpoint,
)
from experiments.dense_detector.config import DenseConfig, variant
from experiments.dense_detector.data import Batch, batches, num_batches
from experiments.dense_detector.descent import Descent
from experiments.dense_detector.detector import (
    Detector,
    choose_shapes,
    count_costs,
    detector_of,
    detector_state,
    make_detector,
)
from experiments.dense_detector.evaluate import Evaluator
from experiments.dense_detector.journal import Journal
from experiments.dense_detector.schedule import lr_factor
from experiments.dense_detector.splits import Subset, dataset_of, training_sets
from experiments.dense_detector.viz import draw_all, drawn_batch
from suite.config import to_tree
from suite.errors import BadInput, Stopped
from suite.manifest import file_digest, write_json
from suite.stage import STOP, Context

SNAPSHOTS = "snapshots"  # folder per step, a PNG per tag


class Trainer:
    """One run in the folder `out`. `database`: digest of the annotations, kept in the checkpoint."""

    def __init__(
        self,
        config: DenseConfig,
        train_set: Subset,
        val_set: Subset,
        *,
        out: Path,
        seed: int,
        device: str = "cpu",
        database: str = "",
        resume: bool = False,
    ) -> None:
        torch.set_num_threads(config.train.threads)
        torch.manual_seed(seed)
        self.config, self.out, self.seed, self.database = config, out, seed, database
        self.dataset, val_dataset = dataset_of(train_set, config.data), dataset_of(val_set, config.data)
        self.evaluator = Evaluator(val_dataset)
        self.drawn = drawn_batch(val_dataset, config.evaluate.num_drawn)
        self.state = load_checkpoint(out / LAST) if resume else None
        self.detector = self._detector(train_set, device)
        self.descent = Descent(self.detector, config.train)
        self.step, self.best = 0, None
        if self.state is not None:
            self.descent.load_state_dict(self.state)
            self.step, self.best = self.state["step"], self.state["best"]
            restore_rng(self.state["rng"])

    def _detector(self, train_set: Subset, device: str) -> Detector:
        if self.state is None:
            shapes = choose_shapes(self.config, train_set.selection, self.seed)
            return make_detector(self.config, train_set.classes, shapes, device)
        check_same_run(self.state, self.config, self.seed, self.out / LAST)
        return detector_of({**self.state, "config": to_tree(self.config)}, self.out / LAST, device)

    @property
    def steps_per_epoch(self) -> int:
        """Batches of an epoch, the last one perhaps smaller."""
        return num_batches(self.dataset, self.config.train.batch_size)

    @property
    def num_steps(self) -> int:
        """Steps of the whole schedule."""
        return self.config.train.epochs * self.steps_per_epoch

    @property
    def last_step(self) -> int:
        """Where this run ends: `max_steps` cuts the schedule off, it does not shrink it."""
        return min(self.num_steps, self.config.train.max_steps or self.num_steps)

    @property
    def pictures_seen(self) -> int:
        """Pictures trained on so far, each pass counted."""
        epochs, rest = divmod(self.step, self.steps_per_epoch)
        return epochs * len(self.dataset) + min(rest * self.config.train.batch_size, len(self.dataset))

    @property
    def snapshot_steps(self) -> set[int]:
        """When heat maps and predictions are drawn: evenly, the first and the last step included."""
        return set(np.linspace(0, self.last_step, self.config.train.snapshots).round().astype(int).tolist())

    def run(self, should_stop: Callable[[], bool] = lambda: False) -> dict[str, Any]:
        """Train to the end. Raises Stopped, after a checkpoint, when `should_stop()` says so."""
        train = self.config.train
        with Journal(self.out, self.state["journal"] if self.state else None) as journal:
            if self.step == 0:
                self.draw(journal)
            begin, first = time.monotonic(), self.pictures_seen
            for batch in self.batches():
                row = self.update(batch)
                self.step += 1
                if self.step % train.log_every == 0 or self.step == self.last_step:
                    journal.row(self.step, "train", row)
                    say(f"step {self.step}/{self.last_step}: {shown(row)}")
                epoch, rest = divmod(self.step, self.steps_per_epoch)
                if (rest == 0 and epoch % train.eval_every == 0) or self.step == self.last_step:
                    self.validate(journal)
                if self.step in self.snapshot_steps:
                    self.draw(journal)
                stop = should_stop() and self.step < self.last_step
                if stop or self.step % train.checkpoint_every == 0 or self.step == self.last_step:
                    self.save(LAST, journal)
                if stop:
                    raise Stopped(f"training stopped after step {self.step}", fix="the same command goes on")
            seconds = time.monotonic() - begin
        return self.summary(images_per_second=(self.pictures_seen - first) / max(seconds, 1e-9))

    def batches(self) -> Iterator[Batch]:
        """One batch for each step that is left, epoch after epoch."""
        data, train = self.config.data, self.config.train
        while self.step < self.last_step:  # `run` counts the steps
            epoch, first = divmod(self.step, self.steps_per_epoch)
            epoch_batches = batches(
                self.dataset, train.batch_size, seed=self.seed, epoch=epoch, first=first,
                shuffle=train.shuffle, flip=data.flip, jitter=data.jitter, workers=data.workers,
            )  # fmt: skip
            yield from islice(epoch_batches, self.last_step - self.step)

    def update(self, batch: Batch) -> dict[str, float | None]:
        """One step at the rate of the schedule; returns what there is to log."""
        train, steps = self.config.train, self.steps_per_epoch
        lr = train.lr * lr_factor(train, self.step, steps_per_epoch=steps, num_steps=self.num_steps)
        try:
            row = self.descent.update(self.detector, batch, lr)
        except FloatingPointError as error:
            what = f"{error} at step {self.step + 1}; image ids: {batch.image_ids}"
            raise BadInput(what, fix="lower train.lr, or look at the boxes of these pictures") from None
        return {"epoch": self.step // steps, **row}

    def validate(self, journal: Journal) -> None:
        """AP on the validation pictures; the best so far is kept in best.pt."""
        result = self.evaluator.evaluate(self.detector)
        row = {name: getattr(result.metrics, name) for name in ("ap", "ap50", "ap75", "ar100")}
        journal.row(self.step, "val", row)
        for curve in result.curves:
            journal.pr_curve(self.step, f"pr/{curve.name}", curve.precision, num_truth=curve.num_truth)
        say(f"step {self.step}: validation {shown(row)}")
        if self.best is None or (row["ap"] or 0) > self.best["ap"]:
            self.best = {"step": self.step, "ap": row["ap"] or 0.0, "ap50": row["ap50"] or 0.0}
            self.save(BEST, journal)

    def draw(self, journal: Journal) -> None:
        """Heat maps and predictions on the fixed validation pictures, as PNG and for TensorBoard."""
        folder = self.out / SNAPSHOTS / f"{self.step:06d}"
        for tag, rgb in draw_all(self.detector, *self.drawn).items():
            path = folder / f"{tag}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rgb).save(path)
            journal.image(self.step, tag, rgb)

    def save(self, name: str, journal: Journal) -> None:
        """Write a checkpoint."""
        state = {
            **detector_state(self.detector),
            **self.descent.state_dict(),
            "step": self.step,
            "rng": rng_state(),
            "best": self.best,
            "journal": journal.sync(),
            "seed": self.seed,
            "database": self.database,
        }
        save_checkpoint(self.out / name, state)

    def summary(self, **speed: float) -> dict[str, Any]:
        """What the run came to; figures that depend on the clock are passed in and kept apart."""
        costs = count_costs(self.detector)
        return {
            "steps": self.step,
            "pictures_seen": self.pictures_seen,
            "best": self.best,
            **costs,
            "speed": speed,
        }


def shown(row: Mapping[str, Any]) -> str:
    """`loss 1.23, lr 0.001`."""
    return ", ".join(
        f"{name} {'-' if value is None else format(value, '.4g')}" for name, value in row.items()
    )


def say(text: str) -> None:
    """One line for the log."""
    print(text, file=sys.stderr, flush=True)


def run(ctx: Context) -> None:
    """Stage `train`: one variant per shard."""
    name = ctx.config.train.variants[ctx.shard or 0]
    config = variant(ctx.config, name)
    databases = ctx.inputs["verify"]
    trainer = Trainer(
        config, *training_sets(config.data, databases, ctx.seed), out=ctx.out, seed=ctx.seed,
        device=ctx.device, database=file_digest(databases / "train.db"), resume=(ctx.out / LAST).is_file(),
    )  # fmt: skip
    summary = {"variant": name, **trainer.run(lambda: STOP.is_set)}
    ctx.facts["speed"] = summary.pop("speed")
    write_json(ctx.out / "summary.json", summary)
    ctx.count("pictures seen", summary["pictures_seen"])


if __name__ == "__main__":
    from experiments.dense_detector.cli import main

    sys.exit(main(["train", *sys.argv[1:]]))
