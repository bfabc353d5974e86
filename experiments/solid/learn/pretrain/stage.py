"""The `pretrain` stage: instance detection on the pictures of the store.

    python -m experiments.solid pretrain --config experiments/solid/configs/smoke.yaml \\
        --clean DIR --store DIR --targets DIR --queries DIR --check DIR --out DIR
    torchrun --nproc-per-node 8 -m experiments.solid pretrain ... --device cuda
    ... -o pretrain.shuffled_queries=true    # the control: queries tell nothing, retrieval stays near chance

Writes `model.pth` and `model.safetensors` (query network under detectron2's names, key network, bank),
`metrics.jsonl`, `retrieval.jsonl`, `lazy_config.yaml`, `summary.json`. Killed at any moment, the same command
goes on from the last checkpoint and ends in the same files (CPU; on CUDA up to non-deterministic kernels).

As published, the statistics of batch norm are per rank and the model file holds rank 0's;
`pretrain.norm=SyncBN` shares them, which torch offers on CUDA only. A small batch per rank wants SyncBN.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import suite.compat.detectron2  # noqa: F401

# isort: split
import torch
from detectron2.utils.events import EventStorage
from torch import nn
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import fp16_compress_hook

from experiments.solid.learn.data.index import StoreIndex, check_classes
from experiments.solid.learn.data.pretrain import PretrainBatch, pretrain_loader
from experiments.solid.learn.engine import ranks
from experiments.solid.learn.engine.amp import Amp
from experiments.solid.learn.engine.checkpoint import NormStatistics, save_model
from experiments.solid.learn.engine.loop import METRICS, append_jsonl, start_step, train_loop
from experiments.solid.learn.engine.setup import seed_everything, set_up
from experiments.solid.learn.pretrain import lazy, retrieval
from experiments.solid.learn.pretrain.model import InstanceDetector
from experiments.solid.store.reader import SolidStore
from suite.errors import BadInput
from suite.manifest import write_json
from suite.stage import Context
from suite.tables import read_jsonl

RETRIEVAL = "retrieval.jsonl"
STREAM = "solid.pretrain.torch"
TAIL = 0.1  # last part of the iterations over which the summary averages the loss
# detectron2's own counters that go into the metrics: mean per picture (or RoI) over the log window
WATCHED = {
    "bank/fg_accuracy": "fg_accuracy",
    "roi_head/num_fg_samples": "num_fg_rois",
    "rpn/num_pos_anchors": "num_pos_anchors",
    "mask_rcnn/accuracy": "mask_accuracy",
}


class Skipped:
    """Samples that the loader had to replace, over all iterations of this rank; part of the checkpoint."""

    def __init__(self) -> None:
        self.count = 0

    def state_dict(self) -> dict[str, int]:
        return {"count": self.count}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        self.count = state["count"]


class Pretraining:
    """One rank's training: model, optimiser, loader, and the step over them."""

    def __init__(self, ctx: Context, device: torch.device, index: StoreIndex) -> None:
        self.ctx, self.device, self.index = ctx, device, index
        self.settings = ctx.config.pretrain
        self.store_path = SolidStore.open(ctx.inputs["store"]).path
        self.tree = lazy.lazy_pretrain(
            ctx.config, num_classes=index.num_classes, seed=ctx.seed, device=ctx.device
        )
        made = lazy.make(self.tree, device)
        self.model: InstanceDetector = made.model.train()
        self.optimizer, self.lr_factor = made.optimizer, made.lr_factor
        self.base_lrs = [group["lr"] for group in self.optimizer.param_groups]
        self.wrapped = wrap(self.model, precision=self.settings.precision)
        self.amp = Amp(self.settings.precision, device)
        self.skipped = Skipped()
        self.batches: Iterator[PretrainBatch] = iter(())
        self.sample_ids: list[int] = []

    def train(self) -> None:
        """Run the iterations that are left."""
        first = start_step(self.ctx)
        if first == 0 and self.ctx.rank == 0:
            (self.ctx.out / RETRIEVAL).unlink(missing_ok=True)
            self.measure(0)
        self.batches = pretrain_loader(
            self.store_path,
            self.index,
            self.ctx.config,
            seed=self.ctx.seed,
            rank=ranks.rank(),
            world_size=ranks.world_size(),
            start_step=first,
            device=self.device,
        )
        train_loop(
            self.ctx,
            step=self.step,
            state={"model": self.model, "optimizer": self.optimizer, "amp": self.amp},
            per_rank={"norm": NormStatistics(self.model), "skipped": self.skipped},
            iterations=self.settings.iterations,
            checkpoint_every=self.settings.checkpoint_every,
            log_every=self.settings.log_every,
            sample_ids=lambda: self.sample_ids,
        )

    def step(self, index: int) -> dict[str, torch.Tensor | float]:
        """Iteration `index`: refresh the bank, losses, backward, update; measure retrieval when it is due."""
        batch = next(self.batches)
        self.sample_ids = [target["image_id"] for target in batch.targets]
        self.skipped.count += batch.skipped
        factor = self.lr_factor(index)
        for group, lr in zip(self.optimizer.param_groups, self.base_lrs, strict=True):
            group["lr"] = lr * factor
        with self.amp.autocast():
            self.model.refresh(batch.queries, batch.query_ids)
        with EventStorage(index) as storage:
            with self.amp.autocast():
                losses = self.wrapped(batch.targets)
            self.amp.update(sum(losses.values()), self.optimizer)
            watched = {
                ours: torch.tensor(storage.latest()[theirs][0] if theirs in storage.latest() else 0.0)
                for theirs, ours in WATCHED.items()
            }
        done, every = index + 1, self.settings.retrieval_every
        if self.ctx.rank == 0 and (done == self.settings.iterations or (every and done % every == 0)):
            self.measure(done)
        return losses | watched | {"lr": self.optimizer.param_groups[0]["lr"]}

    def measure(self, done: int) -> None:
        """One line of retrieval.jsonl, after `done` iterations."""
        row = retrieval.measure(self.model, self.store_path, self.index, self.ctx.config)
        append_jsonl(self.ctx.out / RETRIEVAL, {"step": done} | row)
        told = {name: row[f"{name}_fresh_top1"] for name in ("train", "held_out")}
        self.ctx.event("measured", iteration=done, chance=row["chance_top1"], **told)

    def finish(self) -> None:
        """Write what the stage leaves; rank 0 alone."""
        skipped = sum(ranks.gather_objects(self.skipped.count))
        if self.ctx.rank:
            return
        if skipped:
            self.ctx.warn(f"{skipped} samples could not be read and were replaced")
        self.ctx.count("iterations", self.settings.iterations)
        self.ctx.count("skipped_samples", skipped)
        save_model(self.ctx.out / "model.pth", self.model.state_dict())
        lazy.save_tree(self.tree, self.ctx.out / "lazy_config.yaml")
        summary = summarise(read_jsonl(self.ctx.out / METRICS), read_jsonl(self.ctx.out / RETRIEVAL))
        summary |= {"seed": self.ctx.seed, "shuffled_queries": self.settings.shuffled_queries}
        summary |= {"skipped_samples": skipped, "world_size": ranks.world_size()}
        write_json(self.ctx.out / "summary.json", summary)


def wrap(model: InstanceDetector, *, precision: str) -> nn.Module:
    """The model as it is, or over several ranks its data-parallel wrapper with the published settings."""
    wrapped = ranks.data_parallel(model, model.device)
    if ranks.world_size() > 1 and precision == "float16" and model.device.type == "cuda":
        wrapped.register_comm_hook(None, fp16_compress_hook)
    return wrapped


def summarise(metrics: list[dict[str, Any]], measured: list[dict[str, Any]]) -> dict[str, Any]:
    """Key figures of a run: every loss at the first iteration and over the last tenth, last retrieval.

    A line of metrics is the mean over the iterations since the line before; the tail weighs it by them.
    """
    iterations = metrics[-1]["step"]
    starts = [0, *(row["step"] for row in metrics[:-1])]
    spans = [row["step"] - start for row, start in zip(metrics, starts, strict=True)]
    tail = [
        (row, span) for row, span in zip(metrics, spans, strict=True) if row["step"] > (1 - TAIL) * iterations
    ]
    losses = [name for name in metrics[0] if name.startswith("loss") or name in ("total_loss", "fg_accuracy")]
    weight = sum(span for _, span in tail)
    return {
        "iterations": iterations,
        "first": {name: metrics[0][name] for name in losses},
        "last_tenth": {name: sum(row[name] * span for row, span in tail) / weight for name in losses},
        "retrieval": {"first": measured[0], "last": measured[-1]},
    }


def build_index(ctx: Context) -> StoreIndex:
    """Rank 0 reads the store once; the others map what it wrote."""
    path = None
    if ctx.rank == 0:
        store = SolidStore.open(ctx.inputs["store"])
        check_classes(store, ctx.inputs["clean"] / "classes.json")
        path = StoreIndex.build(store, ctx.work / "index").path
    return StoreIndex.open(ranks.from_rank_0(path))


def run(ctx: Context) -> None:
    """Pre-train; see the module docstring. BadInput for contradictions of settings and store."""
    settings = ctx.config.pretrain
    set_up(settings.threads, settings.precision)
    if settings.norm == "SyncBN" and ctx.device == "cpu" and ranks.world_size() > 1:
        raise BadInput(
            "pretrain.norm=SyncBN: torch shares batch statistics on CUDA only",
            fix="use pretrain.norm=BN, one process, or --device cuda",
        )
    with ranks.process_group(ctx.device) as device:
        index = build_index(ctx)
        seed_everything(ctx.seed, STREAM, ranks.rank())
        training = Pretraining(ctx, device, index)
        training.train()
        training.finish()
