"""The stages `train-redo` (one network per object) and `redo-masks` (its masks of every set of pictures).

`train-redo` reads the pictures of `objects`, variant masked, and writes what redo/train.py names.
`redo-masks` has the shards of `objects`, each with masks.npy and masks.json as `objects` writes them for
other providers, and sheet.png: by the network of `train-redo`, or by that of the file `masks.weights`. That
file is ours (.safetensors; it sees pictures in [-1, 1], as in training) or a published one (.pth; in [0, 1],
as the published synthesis does).
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from experiments.sample_synthesis.objects.mask_cache import MaskCache, predict_masks
from experiments.sample_synthesis.objects.mask_set import MASKS, SEEN, cache_folder, oriented, write_masks
from experiments.sample_synthesis.objects.object_set import (
    PICTURES,
    find_shard,
    read_array,
    read_index,
)
from experiments.sample_synthesis.objects.shards import object_shards
from experiments.sample_synthesis.redo.sheet import write_sheet
from suite.errors import BadInput, Missing
from suite.paths import data_path

if TYPE_CHECKING:
    from experiments.sample_synthesis.redo.masks import RedoMasks
    from suite.stage import Context

SHEET = "sheet.png"
CHUNK = 512  # pictures between two steps of the progress bar


def run_train(ctx: Context) -> None:
    """One network on the object's pictures; goes on from the last checkpoint after a kill."""
    set_up(ctx)
    from experiments.sample_synthesis.redo.train import HISTORY, Hooks, RedoTrainer, train

    name = ctx.config.objects[0]
    shard = find_shard(ctx.inputs["objects"], name, "masked")
    pictures = read_pictures(shard)
    truth = None  # pictures that were read with another provider have masks to compare with
    if (shard / MASKS).exists():
        truth = read_array(shard / MASKS, pictures.shape[:3]) >= SEEN
    settings = ctx.config.redo
    trainer = RedoTrainer(settings, seed=ctx.seed, device=ctx.device)
    hooks = Hooks(
        check_stop=ctx.check_stop,
        progress=lambda total, done=0: ctx.progress(total, done=done),
        event=ctx.event,
        warn=ctx.warn,
    )
    begun = time.perf_counter()
    result = train(trainer, pictures, folder=ctx.out, work=ctx.work, truth=truth, hooks=hooks)
    ctx.count("pictures", len(pictures))
    ctx.count("steps", result.steps)
    ctx.count("restarts", result.restarts)
    ctx.facts |= {"seconds": time.perf_counter() - begun, "collapsed": result.collapsed}
    ctx.facts |= {"last": result.rows[-1], "history": HISTORY}


def run_masks(ctx: Context) -> None:
    """The masks of one shard of `objects`."""
    set_up(ctx)
    name, variant = object_shards(ctx.config)[ctx.shard or 0]
    shard = find_shard(ctx.inputs["objects"], name, variant)
    pictures = read_pictures(shard)
    settings = ctx.config.of(name).masks
    provider = open_weights(ctx, settings.weights, batch=settings.batch, precision=settings.precision)
    cache = MaskCache(cache_folder(ctx.final))
    parts = []
    with ctx.progress(len(pictures)) as bar:
        for start in range(0, len(pictures), CHUNK):
            part = np.asarray(pictures[start : start + CHUNK])
            parts.append(
                predict_masks(part, provider, cache, batch=settings.batch, check_stop=ctx.check_stop)
            )
            bar.advance(len(part))
    found = oriented(np.concatenate(parts), provider)
    if len(found.empty) == len(pictures):
        raise BadInput(
            f"ReDO sees no object in any picture of {name}", fix="train it longer, or with a new seed"
        )
    write_masks(ctx.out, found)
    write_sheet(ctx.out / SHEET, np.asarray(pictures), found.masks)
    ctx.count("pictures", len(pictures))
    ctx.count("empty masks", len(found.empty))
    ctx.facts |= {"masks": dict(cache.counts), "has_been_flipped": found.has_been_flipped}
    ctx.facts |= {"not_read_from_weights": list(provider.skipped)}


def open_weights(ctx: Context, weights: str | None, *, batch: int, precision: str = "float32") -> RedoMasks:
    """The provider of the trained network, or of a file that the settings name."""
    from experiments.sample_synthesis.redo.masks import MASK, RedoMasks

    path = data_path(weights) if weights else ctx.inputs["train-redo"] / MASK
    published = path.suffix in (".pth", ".pt")
    input_range = "published" if published else "ours"
    return RedoMasks(path, device=ctx.device, batch=batch, input_range=input_range, precision=precision)


def read_pictures(shard: Path) -> np.ndarray:
    """pictures.npy uint8 (n, S, S, 3) of a shard of `objects`, mapped. Raises BadInput."""
    index = read_index(shard)
    return read_array(shard / PICTURES, (len(index.keys), index.size, index.size, 3))


def set_up(ctx: Context) -> None:
    """CPU threads, which decide the last bits of sums. Raises Missing without PyTorch or the promised GPU."""
    try:
        import torch
    except ModuleNotFoundError:
        raise Missing("ReDO needs PyTorch", fix="work in the detectron2 environment, which has it") from None
    if ctx.device == "cuda" and not torch.cuda.is_available():
        raise Missing("--device cuda: no usable GPU", fix="look at `make doctor`, or use --device cpu")
    torch.set_num_threads(ctx.config.compute.threads)
