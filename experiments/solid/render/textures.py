# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures on surfaces: loading and the limit on their size."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import bpy
from PIL import Image, UnidentifiedImageError

from suite.errors import BadInput, Missing


def limited(width: int, height: int, limit: int) -> tuple[int, int]:
    """Width and height with the longer side at most `limit` (0: no limit), same proportions, at least one
    pixel.
    """
    longest = max(width, height)
    if not limit or longest <= limit:
        return width, height
    return max(1, round(width * limit / longest)), max(1, round(height * limit / longest))


def shrink(images: Iterable[bpy.types.Image], limit: int) -> int:
    """Scale loaded pictures down to the limit; how many were too large."""
    large = [i for i in images if tuple(i.size) != limited(*i.size, limit)]
    for image in large:
        image.scale(*limited(*image.size, limit))
        image.pack()  # the scaled pixels, not the file's, are what is rendered and exported
    return len(large)


def load_texture(path: Path, folder: Path, limit: int) -> bpy.types.Image:
    """Load a picture, scaled down to the limit with a good filter; the scaled file goes through `folder`.

    Raises Missing if there is no such file, BadInput if it does not decode: Blender would render it pink.
    """
    path = Path(path)
    if not path.is_file():
        raise Missing("no such texture", file=path, fix="run the stage `rooms` again")
    try:
        with Image.open(path) as picture:
            picture.load()
            size = limited(*picture.size, limit)
            if size == picture.size:
                return bpy.data.images.load(str(path))
            small = folder / "texture.png"
            picture.convert("RGB").resize(size, Image.Resampling.LANCZOS).save(small, compress_level=0)
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
        raise BadInput(
            f"the texture does not decode ({error})", file=path, fix="replace or remove it"
        ) from None
    image = bpy.data.images.load(str(small))
    image.pack()
    small.unlink()
    return image
