# SPDX-License-Identifier: GPL-3.0-or-later
"""Renders the pictures of assets/tabletop, each into a checkpoint of its own. Needs bpy.

    python -m assets.make.tabletop_render --work DIR --part I/N [--count M] [--config FILE]

Started by assets.make.tabletop, one process a core; a killed one goes on where it stopped. What a picture
looks like depends on the seed, its split and its index alone.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import numpy as np

from assets.make.tabletop_plan import CONFIG, SEED, Plan, pictures
from assets.make.tabletop_scene import MIN_VISIBILITY, compose, shows_enough
from experiments.solid.annotate import Annotation, annotate, boxes_and_areas
from experiments.solid.config import SolidConfig
from experiments.solid.layout.failure import LayoutFailure
from experiments.solid.layout.scene import Scene
from experiments.solid.library import MeshLibrary, RoomLibrary
from experiments.solid.render.renderer import Renderer
from experiments.solid.store.samples import TargetSample, encode_png, missing_indices, save_sample
from suite.config import load_config
from suite.errors import BadInput, guard
from suite.leave import leave
from suite.stage import STOP


class Maker:
    """Makes one sample at a time."""

    def __init__(self, config: SolidConfig, plan: Plan) -> None:
        self.config = config
        self.meshes, self.rooms = MeshLibrary.load(plan.clean), RoomLibrary.load(plan.rooms)
        self.renderer = Renderer(config, self.meshes, self.rooms, threads=1)

    def make(self, split: str, index: int) -> TargetSample:
        """The first attempt at this picture that shows all its objects well."""
        for attempt in range(self.config.layout.max_attempts):
            try:
                scene = compose(
                    self.config, rooms=self.rooms, meshes=self.meshes,
                    split=split, seed=SEED, index=index, attempt=attempt,
                )  # fmt: skip
            except LayoutFailure:
                continue
            ids = self.renderer.ids(scene)  # a hundredth of the picture's time
            if not shows_enough(*boxes_and_areas(ids, len(scene.objects))):
                continue
            rendered = self.renderer.target(scene)
            found = annotate(rendered.ids, rendered.solo_areas, scene)
            if found.visibility.min() >= MIN_VISIBILITY:
                return _sample(scene, rendered.rgb, found)
        raise BadInput(
            f"{split} {index}: no scene in {self.config.layout.max_attempts} attempts",
            fix="loosen assets/make/tabletop.yaml",
        )


def _sample(scene: Scene, rgb: np.ndarray, found: Annotation) -> TargetSample:
    return TargetSample(
        image=encode_png(rgb), label_map=found.label_map, bboxes=found.bboxes, visibility=found.visibility,
        mask_bbox_ratio=found.mask_bbox_ratio, angles=found.angles, attempts=scene.attempt + 1,
        scene=scene.to_json(),
    )  # fmt: skip


def render(plan: Plan, config: SolidConfig, *, part: int, parts: int, count: int | None) -> None:
    """Every `parts`-th missing picture. Returns early after SIGTERM or when the maker that started this
    process is gone; what is there is kept.
    """
    wanted, parent = pictures(count)[part::parts], os.getppid()
    maker: Maker | None = None
    for split, index in wanted:
        if STOP.is_set or os.getppid() != parent:
            return
        if missing_indices(plan.checkpoints(split), [index]):
            maker = maker or Maker(config, plan)  # Blender is not started where nothing is left to do
            save_sample(plan.checkpoints(split), index, maker.make(split, index))


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description="Render one part of assets/tabletop.")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--config", type=Path, default=CONFIG)
    parser.add_argument("--part", required=True, metavar="I/N")
    parser.add_argument("--count", type=int)
    options = parser.parse_args()
    part, _, parts = options.part.partition("/")
    STOP.install()
    config = load_config(SolidConfig, options.config)
    render(Plan.of(options.work, config), config, part=int(part), parts=int(parts), count=options.count)
    return 0


if __name__ == "__main__":
    leave(lambda: guard(main))
    sys.exit()
