"""`cutouts`: renders of single things on nothing; a shard's folder has `<class>/<number>.png` with alpha.

The things are procedural shapes of tabletop's ten classes (assets/make/t2i_corpus_things.py): none is a mesh
that tabletop shows, and the meshes of assets/meshes that pre-training may use have none of these classes.
Their makers are those of the corpus that ImaginaryNet's embedded models learned from; the shapes are others.
What a render looks like depends on the seed, its class and its number alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from suite.errors import BadInput
from suite.stage import Context

if TYPE_CHECKING:
    from assets.make.cutouts_render import CutoutStage

CLASSES = ("barrel", "bottle", "bread", "carton", "chair", "cone", "lemon", "mug", "potion", "tree")
SUFFIX = ".png"
MIN_PIXELS = 20  # opaque ones: less is no picture of a thing


def run(ctx: Context) -> None:
    """One shard: every n-th render. What is there already stays, so a killed shard goes on."""
    from assets.make.cutouts_render import CutoutStage, compose_cutout

    settings = ctx.config.cutouts
    todo = list(renders(settings.per_class))[ctx.shard or 0 :: ctx.num_shards]
    stage: CutoutStage | None = None
    with ctx.progress(len(todo)) as bar:
        for word, number in todo:
            ctx.check_stop()
            path = ctx.out / word / f"{number:05d}{SUFFIX}"
            if not path.exists():
                stage = stage or CutoutStage(ctx.seed, side=settings.side, samples=settings.samples)
                pixels = stage.render(compose_cutout(ctx.seed, word, number))
                if (pixels[..., 3] > 127).sum() < MIN_PIXELS:
                    what = f"render {number} of {word} shows next to nothing"
                    raise BadInput(what, file=path, fix="raise cutouts.side")
                save(path, pixels)
            bar.advance()
    ctx.count("cut-outs", len(todo))


def renders(per_class: int) -> Iterator[tuple[str, int]]:
    """(class, number) of every render, classes by turns."""
    for number in range(per_class):
        for word in CLASSES:
            yield word, number


def save(path: Path, pixels: np.ndarray) -> None:
    """Write uint8 (h, w, 4) as a whole file or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    Image.fromarray(pixels, "RGBA").save(part, "PNG")
    os.replace(part, path)
