"""The `targets` stage: compose, render and annotate pictures, one shard of consecutive indices at a time.

What picture `index` looks like depends on the seed and the index alone: a scene that cannot be laid out,
or shows no object, is drawn again with the next attempt number of the same index.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from experiments.solid.annotate import annotate
from experiments.solid.config import SolidConfig
from experiments.solid.layout.compose import compose_target
from experiments.solid.layout.failure import LayoutFailure
from experiments.solid.layout.scene import Scene
from experiments.solid.library import MeshLibrary, RoomLibrary
from experiments.solid.store.samples import (
    GivenUp,
    TargetSample,
    encode_png,
    load_sample,
    missing_indices,
    save_sample,
)
from experiments.solid.store.writer import commit_target_shard, reset_group
from suite.seeds import item_rng
from suite.stage import Context

if TYPE_CHECKING:  # the renderer imports bpy
    from experiments.solid.render.renderer import Renderer

STREAM = "solid.target"


def prepare(ctx: Context) -> None:
    """Once per run: whatever another run left in the store's targets goes away before the first shard is
    written.
    """
    reset_group(ctx.inputs["store"] / "solid.zarr", "targets", key=ctx.key)


def run(ctx: Context) -> None:
    """One shard: every missing sample is rendered and checkpointed, then the shard's files are written in one
    go.
    """
    from experiments.solid.render.renderer import Renderer

    first = ctx.shard * ctx.config.store.shard_size
    indices = range(first, min(first + ctx.config.store.shard_size, ctx.config.store.num_images))
    todo = missing_indices(ctx.work, indices)
    seconds: Counter[str] = Counter()
    if todo:
        maker = TargetMaker(
            ctx.config,
            MeshLibrary.load(ctx.inputs["clean"]),
            RoomLibrary.load(ctx.inputs["rooms"]),
            seed=ctx.seed,
        )
        renderer = Renderer(ctx.config, maker.meshes, maker.rooms, device=ctx.device)
        ctx.facts["rendered_on"] = renderer.rendered_on
        with ctx.progress(len(indices), done=len(indices) - len(todo)) as bar:
            for index in todo:
                ctx.check_stop()
                save_sample(ctx.work, index, maker.make(index, renderer))
                ctx.event("rendered", index=index)
                bar.advance()
        seconds = maker.seconds + Counter(renderer.seconds)
    ctx.check_stop()
    samples = [load_sample(ctx.work, index) for index in indices]
    for path in commit_target_shard(ctx.inputs["store"] / "solid.zarr", ctx.shard, samples):
        ctx.output(path)
    _count(ctx, samples)
    ctx.facts["seconds"] = {name: round(value, 3) for name, value in seconds.items()}
    ctx.facts["rendered_now"] = len(todo)


def _count(ctx: Context, samples: list[TargetSample | GivenUp]) -> None:
    for sample in samples:
        if isinstance(sample, GivenUp):
            ctx.count("given_up")
            ctx.warn(f"a picture was given up: {sample.reason}")
        else:
            ctx.count("images")
            ctx.count("boxes", len(sample.bboxes))
            ctx.count("scenes_redrawn", sample.attempts - 1)


class TargetMaker:
    """Makes one sample at a time; counts the seconds of layout, annotation and encoding in `seconds`."""

    def __init__(self, config: SolidConfig, meshes: MeshLibrary, rooms: RoomLibrary, *, seed: int) -> None:
        self.config, self.meshes, self.rooms, self.seed = config, meshes, rooms, seed
        self.seconds: Counter[str] = Counter()

    def make(self, index: int, renderer: Renderer) -> TargetSample | GivenUp:
        """The sample of this index; GivenUp after `layout.max_attempts` scenes without one visible object."""
        reason = ""
        for attempt in range(self.config.layout.max_attempts):
            started = time.perf_counter()
            try:
                scene = self.compose(index, attempt)
            except LayoutFailure as failure:
                reason = str(failure)
                continue
            finally:
                self.seconds["layout"] += time.perf_counter() - started
            rendered = renderer.target(scene)
            if (rendered.ids > 0).any():
                return self._sample(scene, rendered.rgb, rendered.ids, rendered.solo_areas)
            reason = "no object is visible"
        return GivenUp(f"no scene in {self.config.layout.max_attempts} attempts, last: {reason}")

    def compose(self, index: int, attempt: int) -> Scene:
        """The scene of one attempt at one index."""
        rng = item_rng(self.seed, STREAM, index, attempt)
        return compose_target(
            rng,
            self.config,
            rooms=self.rooms,
            meshes=self.meshes,
            seed=self.seed,
            index=index,
            attempt=attempt,
        )

    def _sample(self, scene: Scene, rgb: np.ndarray, ids: np.ndarray, solo_areas: np.ndarray) -> TargetSample:
        started = time.perf_counter()
        found = annotate(ids, solo_areas, scene)
        self.seconds["annotate"] += time.perf_counter() - started
        started = time.perf_counter()
        sample = TargetSample(
            image=encode_png(rgb),
            label_map=found.label_map,
            bboxes=found.bboxes,
            visibility=found.visibility,
            mask_bbox_ratio=found.mask_bbox_ratio,
            angles=found.angles,
            attempts=scene.attempt + 1,
            scene=scene.to_json(),
        )
        self.seconds["encode"] += time.perf_counter() - started
        return sample
