"""`finetune`: stock Mask R-CNN on the target set, one initialisation per shard.

Writes model.pth (as detectron2 loads it), model.safetensors, metrics.jsonl, transfer.json,
config_detectron2.yaml, summary.json. Both arms of a seed see the same pictures in the same order and start
from the same random tensors where nothing is loaded.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import suite.compat.detectron2  # noqa: F401

# isort: split
import torch
from detectron2.config import CfgNode
from detectron2.solver import build_lr_scheduler, build_optimizer
from detectron2.utils.events import EventStorage
from torch import nn

from experiments.solid.config_learning import Finetune
from experiments.solid.learn.data.coco import load_target_set
from experiments.solid.learn.data.finetune import finetune_loader
from experiments.solid.learn.engine import ranks
from experiments.solid.learn.engine.amp import Amp
from experiments.solid.learn.engine.checkpoint import NormStatistics, load_model_tensors, save_model
from experiments.solid.learn.engine.loop import start_step, train_loop
from experiments.solid.learn.engine.setup import seed_everything, set_up
from experiments.solid.learn.finetune.cfg import SAVED, build, effective, finetune_cfg, save
from experiments.solid.learn.finetune.precise_bn import estimate_batch_norm
from experiments.solid.learn.finetune.transfer import Transfer, nothing, transfer, unexpected
from suite.manifest import write_json
from suite.paths import data_path
from suite.stage import Context

MODEL = "model.pth"


def run(ctx: Context) -> None:
    """The stage: train the arm of this shard, estimate batch norm again, write the model."""
    set_up(ctx.config.finetune.threads, ctx.config.finetune.precision)
    with ranks.process_group(ctx.device) as device:
        data = load_target_set(ctx.config.target_set)
        for note in data.notes:
            ctx.warn(note)
        names = data.class_names
        cfg = finetune_cfg(ctx.config, num_classes=len(names), device=str(device))
        tune = effective(ctx.config, cfg).finetune
        cfg = with_cpu_norm(cfg, ctx)
        seed_everything(ctx.seed, "solid.finetune.init")
        model = build(cfg)
        arm = ctx.config.finetune.init[ctx.shard or 0]
        moved = initialise(model, arm, ctx)
        batches = partial(
            finetune_loader,
            data.train,
            tune,
            seed=ctx.seed,
            rank=ranks.rank(),
            world_size=ranks.world_size(),
            device=device,
        )
        train(ctx, cfg, tune, model=model, device=device, batches=batches)
        if ctx.rank == 0:
            write_results(ctx, cfg, tune, model=model, moved=moved, names=names, arm=arm)
        ranks.barrier()


def with_cpu_norm(cfg: CfgNode, ctx: Context) -> CfgNode:
    """SyncBN where it has no kernel, on the CPU: exact alone; among ranks, detectron2's own slower one."""
    if ctx.device != "cpu" or "SyncBN" not in (cfg.MODEL.RESNETS.NORM, cfg.MODEL.FPN.NORM):
        return cfg
    if ranks.world_size() == 1:
        ctx.warn("norm SyncBN of one process is plain batch norm")
        return cfg
    ctx.warn(
        "norm SyncBN on the CPU is detectron2's NaiveSyncBatchNorm: exact where all ranks' batches have the"
        " same size in pixels"
    )
    changed = cfg.clone()
    changed.defrost()
    for part in (changed.MODEL.RESNETS, changed.MODEL.FPN):
        part.NORM = "naiveSyncBN" if part.NORM == "SyncBN" else part.NORM
    changed.freeze()
    return changed


def initialise(model: nn.Module, arm: str, ctx: Context) -> Transfer:
    """Load the checkpoint of the arm, or nothing; transfer.json says what became of each tensor."""
    if arm == "random":
        moved = nothing(model)
    else:
        path = weights_path(ctx)
        moved = transfer(model, load_model_tensors(path), file=path)
        odd = unexpected(moved)
        if odd:
            ctx.warn(odd)
    write_json(ctx.out / "transfer.json", {"init": arm} | moved.to_tree())
    ctx.event("initialised", init=arm, loaded=len(moved.loaded), skipped=len(moved.skipped))
    return moved


def weights_path(ctx: Context) -> Path:
    """The checkpoint of init=pretrained: the one named in the config, or what stage `pretrain` made."""
    named = ctx.config.finetune.weights
    return data_path(named) if named else ctx.inputs["pretrain"] / MODEL


def train(
    ctx: Context,
    cfg: CfgNode,
    tune: Finetune,
    *,
    model: nn.Module,
    device: torch.device,
    batches: partial[Iterator[list[dict[str, Any]]]],
) -> None:
    """All iterations, then the statistics of batch norm; `model` is changed in place."""
    seed_everything(ctx.seed, "solid.finetune.train", ranks.rank())
    wrapped = ranks.data_parallel(model, device)
    optimizer = build_optimizer(cfg, model)
    scheduler = build_lr_scheduler(cfg, optimizer)
    amp = Amp(tune.precision, device)
    data = iter(batches(start_step=start_step(ctx), stop_step=tune.iterations))
    shown: list[dict[str, Any]] = []

    def step(index: int) -> dict[str, torch.Tensor | float]:
        shown[:] = next(data)
        lr = optimizer.param_groups[0]["lr"]
        model.train()
        with EventStorage(index), amp.autocast():
            losses = wrapped(shown)
        amp.update(sum(losses.values()), optimizer)
        scheduler.step()
        return losses | {"lr": lr}

    train_loop(
        ctx,
        step=step,
        state={"model": model, "optimizer": optimizer, "scheduler": scheduler, "amp": amp},
        iterations=tune.iterations,
        checkpoint_every=tune.checkpoint_every,
        log_every=tune.log_every,
        sample_ids=lambda: [item["image_id"] for item in shown],
        per_rank={"norm": NormStatistics(model)},
    )
    seed_everything(ctx.seed, "solid.finetune.precise_bn", ranks.rank())
    more = batches(start_step=tune.iterations, stop_step=tune.iterations + tune.precise_bn)
    estimate_batch_norm(model, more, iterations=tune.precise_bn)


def write_results(
    ctx: Context,
    cfg: CfgNode,
    tune: Finetune,
    *,
    model: nn.Module,
    moved: Transfer,
    names: tuple[str, ...],
    arm: str,
) -> None:
    """Model, config and summary of the finished arm."""
    save_model(ctx.out / MODEL, model.state_dict())
    save(cfg, ctx.out / SAVED)
    summary = {
        "init": arm,
        "iterations": tune.iterations,
        "batch_size": tune.batch_size,
        "ranks": ranks.world_size(),
        "classes": list(names),
        "parameters": sum(p.numel() for p in model.parameters()),
        "tensors_loaded": len(moved.loaded),
        "tensors_skipped": len(moved.skipped),
    }
    write_json(ctx.out / "summary.json", summary)
    ctx.count("iterations", tune.iterations)
    ctx.count("pictures", tune.iterations * tune.batch_size)
