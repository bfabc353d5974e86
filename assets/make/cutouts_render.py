# SPDX-License-Identifier: GPL-3.0-or-later
"""Single things on nothing: shapes as the text-to-image corpus has, rendered with alpha. Needs bpy.

    stage = CutoutStage(seed=0, side=96, samples=16)
    stage.render(compose_cutout(0, "mug", 3))        # uint8 (96, 96, 4), colour not multiplied by alpha

Started by the comparison (experiments/compare/cutouts.py). Shapes are other ones than the corpus shows.
"""

from __future__ import annotations

from dataclasses import replace

import bpy
import numpy as np

from assets.make.t2i_corpus_render import SETTINGS, Stage
from assets.make.t2i_corpus_scene import Scene, compose_alone
from suite.seeds import item_rng

FIRST_VARIANT = 1000  # the corpus shows those from 0 on
STREAM = "compare.cutout.{}"


def compose_cutout(seed: int, word: str, number: int) -> Scene:
    """Render number `number` of a class: a shape, colour, view and light of its own."""
    rng = item_rng(seed, STREAM.format(word), number)
    return compose_alone(rng, seed, word, index=number, variant=FIRST_VARIANT + number)


class CutoutStage(Stage):
    """Renders one scene after the other with one thread; floor and wall light the thing and do not show."""

    mode = "RGBA"

    def __init__(self, seed: int, *, side: int, samples: int) -> None:
        super().__init__(seed, replace(SETTINGS, resolution=(side, side), samples=samples))
        self._scene.render.film_transparent = True
        self._scene.render.image_settings.color_mode = self.mode
        self._floor.visible_camera = self._wall.visible_camera = False

    def render(self, scene: Scene) -> np.ndarray:
        """A picture (side, side, 4) uint8; every thing is shown once, so its mesh is not kept."""
        try:
            return super().render(scene)
        finally:
            for mesh in self._meshes.values():
                bpy.data.meshes.remove(mesh)
            self._meshes.clear()
