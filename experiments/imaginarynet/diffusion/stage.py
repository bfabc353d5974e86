"""The stages that draw with a diffusion pipeline: `images` of a round, and `diffusion-samples`.

A kill costs the batch at hand; pictures that stand are not drawn again. Where none is left, no model is
loaded.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from experiments.imaginarynet.rounds import round_of, shard_range, stage_name
from experiments.imaginarynet.store.manifest import CANDIDATES, Candidate, read_rows
from experiments.imaginarynet.store.seeds import candidate_seed
from experiments.imaginarynet.store.shard import ShardWriter

if TYPE_CHECKING:
    from experiments.imaginarynet.diffusion.pipeline import Diffusion, Drawn
    from suite.stage import Context

BACKEND = "stablediffusion"
OVERFLOW = "pixels are not finite: the dtype overflowed; set diffusion.dtype=bfloat16 or float32"
HELD_BACK = "held back by the safety checker of the model"


def run(ctx: Context) -> None:
    """Draw, encode and write the candidates of shard `ctx.shard` of a round."""
    config = ctx.config
    prompts = ctx.inputs[stage_name("prompts", round_of(ctx.stage.name))]
    rows = read_rows(prompts / CANDIDATES)
    own = shard_range(len(rows), ctx.shard or 0, config.compute.shard_size)
    _write(ctx, rows[own.start : own.stop])


def run_samples(ctx: Context) -> None:
    """Draw `diffusion_samples` pictures from first-round prompts, taken from the classes in turn.

    They stand beside the set, unfiltered, whatever backend draws the set. Where there are fewer prompts than
    that, one of each.
    """
    rows = read_rows(ctx.inputs["prompts"] / CANDIDATES)
    chosen = in_turn(rows, ctx.config.diffusion_samples)
    samples = ctx.config.images.samples_per_prompt
    _write(ctx, [
        replace(
            row, backend=BACKEND,
            seed=candidate_seed(
                ctx.seed, BACKEND, row.class_name, number=row.number, samples_per_prompt=samples
            ),
        )
        for row in chosen
    ])  # fmt: skip


def in_turn(rows: Sequence[Candidate], count: int) -> list[Candidate]:
    """The first `count` rows with a prompt by number within the class, then by class; in order of `rows`."""
    with_prompt = [row for row in rows if row.status == "queued"]
    first = sorted(with_prompt, key=lambda row: (row.number, row.class_id))[:count]
    names = {row.candidate_id for row in first}
    return [row for row in rows if row.candidate_id in names]


def _write(ctx: Context, rows: Sequence[Candidate]) -> None:
    images, negative = ctx.config.images, ctx.config.diffusion.negative_prompt
    rows = [replace(row, negative_prompt=negative) for row in rows]
    shard = ShardWriter(ctx, rows, image_format=images.format, quality=images.quality)
    if shard.missing:
        _draw(ctx, shard)
    shard.finish()


def _draw(ctx: Context, shard: ShardWriter) -> None:
    import torch

    from experiments.imaginarynet.diffusion.pipeline import Diffusion

    torch.set_num_threads(ctx.config.compute.threads)
    painter = Diffusion.load(ctx.config.diffusion, batch=ctx.config.images.batch, device=ctx.device)
    for remark in painter.remarks():
        ctx.warn(remark)
    missing, began, cut, held_back = shard.missing, time.perf_counter(), 0, 0
    with ctx.progress(len(shard.rows), done=len(shard.rows) - len(missing)) as bar:
        for start in range(0, len(missing), painter.batch):
            batch = missing[start : start + painter.batch]
            drawn = painter.draw([row.prompt for row in batch], [row.seed for row in batch])
            _keep(shard, painter, batch, drawn)
            cut, held_back = cut + drawn.cut, held_back + int(drawn.is_held_back.sum())
            bar.advance(len(batch))
            ctx.check_stop()
    if cut:
        ctx.warn(f"{cut} prompts have more than {painter.parts.text_length} tokens; their ends were cut off")
    if held_back:
        ctx.count("held_back", held_back)
    ctx.facts |= {"draw_seconds": time.perf_counter() - began, "drawn": len(missing)}


def _keep(shard: ShardWriter, painter: Diffusion, rows: Sequence[Candidate], drawn: Drawn) -> None:
    is_kept = drawn.is_good & ~drawn.is_held_back
    good = [row for row, kept in zip(rows, is_kept, strict=True) if kept]
    shard.put(good, drawn.pictures[is_kept], models=painter.digests, params=painter.facts)
    for row, is_good, kept in zip(rows, drawn.is_good, is_kept, strict=True):
        if not kept:
            shard.fail(row, HELD_BACK if is_good else OVERFLOW)
