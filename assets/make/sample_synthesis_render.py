# SPDX-License-Identifier: GPL-3.0-or-later
"""Renders pictures of assets/sample_synthesis, each into a checkpoint of its own. Needs bpy.

    python -m assets.make.sample_synthesis_render --work DIR --part I/N [--count M] [--sets A,B]

Started by assets.make.sample_synthesis, one process a core; a killed one goes on where it stopped. What a
picture looks like depends on the seed, its set, its split and its index alone.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from assets.make.sample_synthesis_blender import Stage
from assets.make.sample_synthesis_develop import cut_out, develop, encode
from assets.make.sample_synthesis_outdoors import compose_cutout, compose_scene
from assets.make.sample_synthesis_plan import CODES, SEED, SETS, Plan, pictures, stream
from assets.make.sample_synthesis_qr import MIN_SIDE, compose_qr
from assets.make.sample_synthesis_scene import NoPlace, Scene, extent
from suite.errors import BadInput, guard
from suite.leave import leave
from suite.manifest import read_json, write_json
from suite.seeds import item_rng
from suite.stage import STOP

MAX_ATTEMPTS = 300
MIN_VISIBILITY = 0.7  # of an object's pixels
MIN_CONTRAST = 14.0  # standard deviation of a box's grey values: a code that the light has eaten is none


def annotate(scene: Scene, ids: np.ndarray, solo: dict[int, int]) -> list[dict[str, Any]]:
    """Box x1, y1, x2, y2, visibility and note of every wanted object.

    NoPlace if one is hidden or too small.
    """
    found = []
    for wanted in scene.wanted:
        rows, columns = np.nonzero(ids == wanted.mark)
        visibility = len(rows) / max(1, solo[wanted.mark])
        if visibility < MIN_VISIBILITY:
            raise NoPlace("hidden")
        if wanted.points is not None:
            limits = (*scene.resolution, *scene.resolution)
            corners = extent(scene.eye.pixels(wanted.points, scene.resolution))
            bounds = [float(np.clip(value, 0, limit)) for value, limit in zip(corners, limits, strict=True)]
        else:
            bounds = [float(columns.min()), float(rows.min()), columns.max() + 1.0, rows.max() + 1.0]
        if min(bounds[2] - bounds[0], bounds[3] - bounds[1]) < MIN_SIDE:
            raise NoPlace("too small")
        found.append({
            "box": [round(value, 2) for value in bounds], "area": len(rows),
            "visibility": round(visibility, 3), **wanted.note,
        })  # fmt: skip
    return found


def shows_contrast(pixels: np.ndarray, found: list[dict[str, Any]]) -> bool:
    """Whether every box of a picture (H, W, 3) uint8 shows light and dark."""
    grey = pixels[..., :3].mean(axis=2)
    for row in found:
        x1, y1, x2, y2 = (round(value) for value in row["box"])
        if grey[y1:y2, x1:x2].std() < MIN_CONTRAST:
            return False
    return True


class Maker:
    """Makes one picture at a time."""

    def __init__(self) -> None:
        self._stage, self._codes = Stage(), read_json(CODES)

    def make(self, name: str, split: str, index: int) -> tuple[bytes, dict[str, Any]]:
        """The file of the first attempt at this picture that shows all its objects, and what it shows."""
        for attempt in range(MAX_ATTEMPTS):
            try:
                scene = self._compose(name, split, index, attempt)
                found = annotate(scene, *self._stage.ids(scene))
            except NoPlace:
                continue
            rgba = self._stage.render(scene).rgba
            if scene.cutout:
                pixels = cut_out(rgba, scene.film)
            else:
                pixels = develop(
                    rgba, scene.film, item_rng(SEED, stream(name, split, "grain"), index, attempt)
                )
                if not shows_contrast(pixels, found):
                    continue
            return encode(pixels, scene.film.quality), {"attempts": attempt + 1, "objects": found}
        raise BadInput(
            f"{name} {split} {index}: no scene in {MAX_ATTEMPTS} attempts", fix="loosen the composer's ranges"
        )

    def _compose(self, name: str, split: str, index: int, attempt: int) -> Scene:
        if name == "qr_photos":
            return compose_qr(split, index, attempt, self._codes[split][index])
        if SETS[name].scenes:
            return compose_scene(name, split, index, attempt)
        return compose_cutout(name, index, attempt)


def render(plan: Plan, names: tuple[str, ...], *, part: int, parts: int, count: int | None) -> None:
    """Every `parts`-th missing picture. Returns early after SIGTERM or when the maker that started this
    process is gone; what is there is kept.
    """
    parent, maker = os.getppid(), None
    for name, split, index in pictures(names, count)[part::parts]:
        if STOP.is_set or os.getppid() != parent:
            return
        picture, note = plan.picture(name, split, index), plan.note(name, split, index)
        if note.is_file():
            continue
        maker = maker or Maker()  # Blender is not started where nothing is left to do
        encoded, shown = maker.make(name, split, index)
        picture.parent.mkdir(parents=True, exist_ok=True)
        picture.write_bytes(encoded)
        write_json(note, json.loads(json.dumps(shown)))


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description="Render one part of assets/sample_synthesis.")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--part", required=True, metavar="I/N")
    parser.add_argument("--sets", required=True, metavar="A,B")
    parser.add_argument("--count", type=int)
    options = parser.parse_args()
    part, _, parts = options.part.partition("/")
    STOP.install()
    names = tuple(options.sets.split(","))
    render(Plan.of(options.work), names, part=int(part), parts=int(parts), count=options.count)
    return 0


if __name__ == "__main__":
    leave(lambda: guard(main))
    sys.exit()
