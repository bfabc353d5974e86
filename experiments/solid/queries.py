"""The `queries` stage: each model alone on a turntable, every view cropped to the object (SOLID's query
images).
"""

from __future__ import annotations

from experiments.solid.annotate import crop_query
from experiments.solid.layout.compose import compose_query
from experiments.solid.library import MeshLibrary
from experiments.solid.store.samples import QuerySample, encode_png, load_sample, missing_indices, save_sample
from experiments.solid.store.writer import commit_query_shard, reset_group
from suite.seeds import item_rng
from suite.stage import Context

STREAM = "solid.query"


def prepare(ctx: Context) -> None:
    """Once per run: whatever another run left in the store's queries goes away before the first shard is
    written.
    """
    reset_group(ctx.inputs["store"] / "solid.zarr", "queries", key=ctx.key)


def run(ctx: Context) -> None:
    """One shard of classes: every missing class is rendered and checkpointed, then written in one go."""
    from experiments.solid.render.renderer import Renderer

    meshes = MeshLibrary.load(ctx.inputs["clean"])
    first = ctx.shard * ctx.config.store.query_shard_size
    class_ids = range(first, min(first + ctx.config.store.query_shard_size, meshes.num_classes))
    todo = missing_indices(ctx.work, class_ids)
    seconds: dict[str, float] = {}
    if todo:
        renderer = Renderer(ctx.config, meshes, None, device=ctx.device)
        ctx.facts["rendered_on"] = renderer.rendered_on
        with ctx.progress(len(class_ids), done=len(class_ids) - len(todo)) as bar:
            for class_id in todo:
                ctx.check_stop()
                rng = item_rng(ctx.seed, STREAM, class_id)
                scene = compose_query(rng, ctx.config, class_id=class_id, meshes=meshes, seed=ctx.seed)
                crops = [crop_query(view) for view in renderer.query(scene)]
                shots = tuple(b"" if crop is None else encode_png(crop) for crop in crops)
                save_sample(ctx.work, class_id, QuerySample(class_id=class_id, shots=shots))
                ctx.event("rendered", class_id=class_id)
                bar.advance()
        seconds = renderer.seconds
    ctx.check_stop()
    samples = [load_sample(ctx.work, class_id) for class_id in class_ids]
    for path in commit_query_shard(ctx.inputs["store"] / "solid.zarr", ctx.shard, samples):
        ctx.output(path)
    for sample in samples:
        ctx.count("classes")
        ctx.count("views", sample.num_views)
        empty = len(sample.shots) - sample.num_views
        if empty:
            ctx.count("empty_views", empty)
            ctx.warn(f"class {sample.class_id}: {empty} views show nothing of the model")
    ctx.facts["seconds"] = {name: round(value, 3) for name, value in seconds.items()}
    ctx.facts["rendered_now"] = len(todo)
