"""Sheets of pictures: generated pictures of one class before and after the filter, with their confidence.

Pillow and numpy only: the report draws without a framework.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

CELL = 96  # pixels of a picture on the sheet: three per pixel of the published size
FRAME = 4  # pixels around a picture
STRIP = 26  # pixels below it, for its confidence
HEAD = 26  # pixels above a row, for its title
KEPT, REJECTED, FALLBACK = (60, 140, 70), (200, 50, 50), (215, 140, 30)
INK, PAPER = (34, 34, 34), (255, 255, 255)


@dataclass(frozen=True, eq=False)
class Row:
    """Pictures side by side under a title."""

    title: str
    images: np.ndarray  # (n, H, W, C) uint8, C 1 or 3
    captions: Sequence[str]  # n short texts
    colors: Sequence[tuple[int, int, int]]  # n colours of the frames


def sheet(rows: Sequence[Row], *, columns: int) -> np.ndarray:
    """All rows below each other: (H, W, 3) uint8; a row with fewer pictures ends in paper."""
    step = CELL + 2 * FRAME
    height = HEAD + step + STRIP
    picture = Image.new("RGB", (columns * step, len(rows) * height), PAPER)
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(size=20)
    for number, row in enumerate(rows):
        top = number * height
        draw.text((FRAME, top + 1), row.title, fill=INK, font=font)
        cells = zip(row.images[:columns], row.captions, row.colors, strict=False)
        for column, (image, caption, color) in enumerate(cells):
            left = column * step
            draw.rectangle((left, top + HEAD, left + step - 1, top + HEAD + step - 1), fill=color)
            picture.paste(cell(image), (left + FRAME, top + HEAD + FRAME))
            draw.text((left + FRAME, top + HEAD + step + 1), caption, fill=INK, font=font)
    return np.asarray(picture)


def cell(image: np.ndarray) -> Image.Image:
    """A picture (H, W, 1 or 3) uint8 as RGB of CELL pixels, its own pixels visible."""
    rgb = np.broadcast_to(image, (*image.shape[:2], 3))
    return Image.fromarray(np.ascontiguousarray(rgb)).resize((CELL, CELL), Image.Resampling.NEAREST)


def before_and_after(
    *,
    drawn: np.ndarray,
    drawn_kept: np.ndarray,
    drawn_confidence: np.ndarray,
    filtered: np.ndarray,
    filtered_confidence: np.ndarray,
    filtered_fallback: np.ndarray,
    columns: int,
) -> np.ndarray:
    """The sheet of one class: its first pictures as drawn, and the first ones of the filtered set.

    drawn, filtered: (n, H, W, C) uint8; the others (n,): kept by the filter, probability of the wanted class,
    taken although rejected because the attempts were spent.
    """
    before = Row(
        "drawn; red: rejected",
        drawn,
        percents(drawn_confidence),
        [KEPT if k else REJECTED for k in drawn_kept],
    )
    after = Row(
        "filtered" + ("; orange: fallback" if filtered_fallback[:columns].any() else ""),
        filtered,
        percents(filtered_confidence),
        [FALLBACK if f else KEPT for f in filtered_fallback],
    )
    return sheet([before, after], columns=columns)


def percents(shares: np.ndarray) -> list[str]:
    """0.974 -> "97 %"; rounded down, so that only certainty is 100 %."""
    return [f"{int(100 * share)} %" for share in shares]


def shown_classes(num_classes: int, most: int) -> list[int]:
    """Up to `most` classes, evenly spaced, the first and the last among them."""
    return sorted({round(k) for k in np.linspace(0, num_classes - 1, min(num_classes, most)).tolist()})
