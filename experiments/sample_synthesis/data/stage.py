"""The stage `data`: real images with boxes, checked picture by picture, as COCO files and an index."""

from __future__ import annotations

from typing import TYPE_CHECKING

from experiments.sample_synthesis.data.sets import load_real, write_sets

if TYPE_CHECKING:
    from suite.stage import Context


def run(ctx: Context) -> None:
    """The splits of one object: that of the shard, or the only one. They are the same for every seed of a
    run, so seeds differ in training alone and are scored on the same images.
    """
    name = ctx.config.objects[ctx.shard or 0]
    real = ctx.config.of(name).real
    sets = load_real(name, real, work=ctx.out, threads=ctx.config.compute.threads)
    index = write_sets(ctx.out, name, real, sets)
    for split, facts in index["splits"].items():
        ctx.count(f"{split}_images", facts["images"])
        ctx.count(f"{split}_boxes", facts["boxes"])
        ctx.count("clipped_boxes", facts["clipped_boxes"])
    for kind, number in index["left_out"].items():
        ctx.count(f"left out: {kind}", number)
    for text in (*index["differences"], *index["examples"]):
        ctx.warn(text)
    counts = {split: facts["images"] for split, facts in index["splits"].items()}
    ctx.event("read", object=name, source=index["source"], **counts)
