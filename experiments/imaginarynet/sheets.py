"""Contact sheets: pictures of one class in rows, kept and rejected apart, with what the filter thought.

numpy and Pillow only. Pictures smaller than a cell are enlarged pixel by pixel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from experiments.imaginarynet.store.manifest import Candidate, in_order

CELL = 96  # pixels of a picture on a sheet
COLUMNS, MOST_ROWS = 10, 2  # of each of the two parts
GAP, TEXT, HEAD = 4, 14, 18  # pixels between cells, below a picture, above a part
INK, PALE = (34, 34, 34), (150, 150, 150)
KEPT, REJECTED = (40, 140, 60), (190, 60, 50)  # frames


def class_sheet(
    rows: Sequence[Candidate],
    class_names: Sequence[str],
    decode: Callable[[Candidate], np.ndarray],
    *,
    columns: int = COLUMNS,
    most_rows: int = MOST_ROWS,
) -> np.ndarray:
    """The sheet of one class, uint8 (H, W, 3): the first kept and the first rejected candidates by number.

    Below a kept picture stands the probability of its class, below a rejected one the class that the filter
    saw. decode: the pixels of a row's picture, uint8 (h, w, 3).
    """
    parts = []
    for title, color, wanted in (("kept", KEPT, True), ("rejected", REJECTED, False)):
        own = in_order(row for row in rows if row.kept is wanted)
        shown = own[: columns * most_rows]
        captions = [caption(row, class_names) for row in shown]
        head = f"{title}: {len(own)}" + (f", the first {len(shown)}" if len(shown) < len(own) else "")
        parts.append(_part(head, [decode(row) for row in shown], captions, color=color, columns=columns))
    return np.concatenate(parts)


def caption(row: Candidate, class_names: Sequence[str]) -> str:
    """What stands below a picture: "0.93" where the filter saw its class, "bottle 0.71" where another."""
    if row.scores is None or row.top1 is None:
        return ""
    score = f"{row.scores[row.top1]:.2f}"
    return score if row.top1 == row.class_id else f"{class_names[row.top1]} {score}"


def plain_sheet(title: str, pictures: Sequence[np.ndarray], *, columns: int = COLUMNS) -> np.ndarray:
    """Pictures without captions below a title, uint8 (H, W, 3)."""
    return _part(title, pictures, [""] * len(pictures), color=PALE, columns=columns)


def write_png(path: Path, sheet: np.ndarray) -> None:
    """A sheet as a PNG file; an OSError names it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        Image.fromarray(sheet).save(path, format="PNG", optimize=True)
    except OSError as error:  # a full disk names no file by itself
        raise OSError(error.errno, error.strerror, str(path)) from error


def _part(
    title: str, pictures: Sequence[np.ndarray], captions: Sequence[str], *, color: tuple, columns: int
) -> np.ndarray:
    """A title and the pictures in their cells, `columns` a row."""
    num_rows = -(-len(pictures) // columns)
    width = columns * (CELL + GAP) + GAP
    canvas = Image.new("RGB", (width, HEAD + num_rows * (CELL + TEXT + GAP) + GAP), (255, 255, 255))
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(size=11)
    draw.text((GAP, 2), title, fill=INK, font=font)
    for place, (picture, text) in enumerate(zip(pictures, captions, strict=True)):
        row, column = divmod(place, columns)
        x, y = GAP + column * (CELL + GAP), HEAD + row * (CELL + TEXT + GAP)
        tile = fitted(picture, CELL - 4)
        draw.rectangle((x, y, x + CELL - 1, y + CELL - 1), fill=(240, 240, 240), outline=color, width=2)
        canvas.paste(tile, (x + (CELL - tile.width) // 2, y + (CELL - tile.height) // 2))
        draw.text((x + 1, y + CELL), _cut(text, font), fill=INK, font=font)
    return np.asarray(canvas)


def fitted(picture: np.ndarray, side: int) -> Image.Image:
    """A picture scaled so that its longer side has `side` pixels: smoothly where it shrinks."""
    image = Image.fromarray(np.ascontiguousarray(picture))
    scale = side / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BICUBIC)


def _cut(text: str, font: ImageFont.FreeTypeFont) -> str:
    """The text, shortened in front of its last word until it fits into a cell."""
    name, _, score = text.rpartition(" ")
    while name and font.getlength(f"{name} {score}") > CELL - 2:
        name = name[:-1]
    return f"{name} {score}".strip()
