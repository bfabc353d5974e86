"""A real training of a batch-norm-free toy as a stage: `python -m tests.solid.learn.engine.toy train ...`."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass

import torch
from torch import nn

from experiments.solid.learn.engine import ranks
from experiments.solid.learn.engine.amp import Amp
from experiments.solid.learn.engine.checkpoint import save_model
from experiments.solid.learn.engine.loop import append_jsonl, start_step, train_loop
from experiments.solid.learn.engine.schedule import optimizer, set_lr, warmup_cosine
from experiments.solid.learn.engine.setup import seed_everything, set_up
from suite.seeds import item_rng
from suite.stage import Context, Stage
from suite.stage_cli import main

FEATURES = 6


@dataclass(frozen=True)
class Toy:
    iterations: int = 30
    batch_size: int = 4
    checkpoint_every: int = 4
    log_every: int = 3
    lr: float = 0.05
    noise: float = 0.0  # drawn from torch's global generator: a resume that forgets it is seen
    precision: str = "float32"
    pause: float = 0.0  # seconds per iteration, so that a kill can hit the middle
    poison: int = -1  # the iteration whose samples are not finite
    crash_rank: int = -1


def batch(seed: int, step: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The global batch of a step: depends on (seed, step) only."""
    rng = item_rng(seed, "toy.batch", step)
    inputs = torch.from_numpy(rng.standard_normal((size, FEATURES))).float()
    return inputs, inputs.sum(1, keepdim=True).tanh()


def train(ctx: Context) -> None:
    settings: Toy = ctx.config
    set_up(1)
    with ranks.process_group(ctx.device) as device:
        seed_everything(ctx.seed, "toy.init")
        model = nn.Sequential(nn.Linear(FEATURES, 8), nn.Tanh(), nn.Linear(8, 1)).to(device)
        seed_everything(ctx.seed, "toy.train", ranks.rank())
        wrapped = ranks.data_parallel(model, device)
        sgd = optimizer(model, lr=settings.lr, momentum=0.9, weight_decay=1e-4, weight_decay_norm=0.0)
        amp = Amp(settings.precision, device)
        share = ranks.share_of_batch(settings.batch_size)
        mine = slice(ranks.rank() * share, (ranks.rank() + 1) * share)
        ctx.event("begun", iteration=start_step(ctx))

        def step(index: int) -> dict[str, torch.Tensor | float]:
            time.sleep(settings.pause)
            if ranks.rank() == settings.crash_rank and index == 5:
                os._exit(9)
            inputs, wanted = (part[mine] for part in batch(ctx.seed, index, settings.batch_size))
            if index == settings.poison and ranks.rank() == ranks.world_size() - 1:
                inputs = inputs * float("nan")
            lr = settings.lr * warmup_cosine(
                index, warmup=3, warmup_factor=0.1, schedule=settings.iterations, final_factor=0.01
            )
            set_lr(sgd, lr)
            with amp.autocast():
                found = wrapped(inputs) + settings.noise * torch.randn(len(inputs), 1)
                losses = {
                    "loss_square": (found - wanted).square().mean(),
                    "loss_size": 0.1 * found.square().mean(),
                }
            amp.update(sum(losses.values()), sgd)
            return losses | {"lr": lr}

        def on_log(done: int, row: dict[str, float]) -> dict[str, float]:
            if ctx.rank == 0 and done % 2 == 0:
                append_jsonl(ctx.out / "even.jsonl", {"step": done})
            return {"twice": 2.0 * done}

        train_loop(
            ctx,
            step=step,
            state={"model": model, "optimizer": sgd, "amp": amp},
            iterations=settings.iterations,
            checkpoint_every=settings.checkpoint_every,
            log_every=settings.log_every,
            sample_ids=lambda: [f"sample-{ranks.rank()}-{i}" for i in range(share)],
            on_log=on_log,
        )
        if ctx.rank == 0:
            save_model(ctx.out / "model.pth", model.state_dict())


STAGES = {
    stage.name: stage
    for stage in (
        Stage(system="toy", name="train", summary="train", toolchain="detectron2", version=1,
              run="tests.solid.learn.engine.toy:train", config=tuple(Toy.__dataclass_fields__), ranks=True),
        Stage(system="toy", name="alone", summary="train as one process", toolchain="detectron2", version=1,
              run="tests.solid.learn.engine.toy:train", config=("lr",)),
    )
}  # fmt: skip

if __name__ == "__main__":
    sys.exit(main("toy", STAGES, Toy))
