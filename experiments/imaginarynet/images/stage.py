"""The stage `images` with DALL-E mini: the pictures of one shard of a round's prompts.

A kill costs the batches at hand; pictures that stand are not drawn again. Two batches are under way at a
time: while one is computed, the one before is encoded and written.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from experiments.imaginarynet.rounds import round_of, shard_range, stage_name
from experiments.imaginarynet.store.manifest import CANDIDATES, Candidate, read_rows
from experiments.imaginarynet.store.shard import ShardWriter

if TYPE_CHECKING:
    from experiments.imaginarynet.images.dalle_mini import DalleMini, Drawn
    from suite.stage import Context

OVERFLOW = "logits or pixels are not finite: the dtype overflowed; set dalle_mini.dtype=bfloat16 or float32"


def run(ctx: Context) -> None:
    """Draw, encode and write the candidates of shard `ctx.shard`; no model is loaded where none is left."""
    config = ctx.config
    prompts = ctx.inputs[stage_name("prompts", round_of(ctx.stage.name))]
    rows = read_rows(prompts / CANDIDATES)
    own = shard_range(len(rows), ctx.shard or 0, config.compute.shard_size)
    shard = ShardWriter(
        ctx, rows[own.start : own.stop], image_format=config.images.format, quality=config.images.quality
    )
    if shard.missing:
        _draw(ctx, shard)
    shard.finish()


def _draw(ctx: Context, shard: ShardWriter) -> None:
    from experiments.imaginarynet.images.devices import setup

    config = ctx.config
    devices = setup(threads=config.compute.threads, device=ctx.device)

    from experiments.imaginarynet.images.dalle_mini import DalleMini

    painter = DalleMini.load(config.dalle_mini, batch=config.images.batch, devices=devices)
    missing = shard.missing
    began, first, cut = time.perf_counter(), 0.0, 0
    with ctx.progress(len(shard.rows), done=len(shard.rows) - len(missing)) as bar:
        for rows, drawn in _one_ahead(painter, missing):
            _keep(shard, painter, rows, drawn)
            cut += drawn.cut
            first = first or time.perf_counter() - began
            bar.advance(len(rows))
            ctx.check_stop()
    if cut:
        ctx.warn(f"{cut} prompts have more than {painter.texts.length} tokens; their ends were cut off")
    ctx.facts |= {
        "devices": len(devices),
        "first_batch_seconds": first,  # with compilation
        "draw_seconds": time.perf_counter() - began,
        "drawn": len(missing),
    }


def _keep(shard: ShardWriter, painter: DalleMini, rows: Sequence[Candidate], drawn: Drawn) -> None:
    good = [row for row, is_good in zip(rows, drawn.is_good, strict=True) if is_good]
    shard.put(good, drawn.pictures[drawn.is_good], models=painter.digests, params=painter.facts)
    for row, is_good in zip(rows, drawn.is_good, strict=True):
        if not is_good:
            shard.fail(row, OVERFLOW)


def _one_ahead(painter: DalleMini, rows: Sequence[Candidate]) -> Iterator[tuple[Sequence[Candidate], Drawn]]:
    """(rows, their pictures) of each batch; the next batch has been started when one is handed out."""
    before: tuple[Sequence[Candidate], Drawn] | None = None
    for start in range(0, len(rows), painter.capacity):
        batch = rows[start : start + painter.capacity]
        drawn = painter.draw([row.prompt for row in batch], [row.seed for row in batch])
        if before is not None:
            yield before
        before = batch, drawn
    if before is not None:
        yield before
