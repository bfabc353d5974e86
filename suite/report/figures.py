"""Figures that a system's report leaves as files, for the page about all systems (suite/overall).

    figures = Figures(ctx.out)
    figures.svg("loss", "Training loss", plot)
    figures.picture("targets", "Targets", uri_or_array, caption="boxes and masks")
    figures.write()

They lie in `<report>/figures/`, listed by `figures.json`: [{"name", "title", "caption", "file"}]. They are
few and small: the page inlines those of five systems.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from suite.manifest import write_json
from suite.overall.figure_files import FOLDER, INDEX

WIDTH = 560  # pixels of a picture at most: the column of a page of 1400 pixels with two of them
QUALITY = 72
GAP = 4
WHITE = (255, 255, 255)


class Figures:
    """Collects figures; `write` leaves the index."""

    def __init__(self, out: Path) -> None:
        self.folder = out / FOLDER
        self.folder.mkdir(parents=True, exist_ok=True)
        self.rows: list[dict[str, str]] = []

    def svg(self, name: str, title: str, text: str | None, *, caption: str = "") -> None:
        """A plot of suite.report.plots; None is none."""
        if text is None:
            return
        (self.folder / f"{name}.svg").write_text(str(text), encoding="utf-8")
        self._add(name, title, caption, ".svg")

    def picture(
        self, name: str, title: str, picture: np.ndarray | str, *, caption: str = "", width: int = WIDTH
    ) -> None:
        """uint8 (H, W, 3), or one that is inlined in the system's own page (`data:image/...;base64,`)."""
        self.sheet(name, title, [picture], caption=caption, width=width, columns=1)

    def sheet(
        self, name: str, title: str, pictures: Sequence[np.ndarray | str], *, columns: int = 3,
        caption: str = "", width: int = WIDTH,
    ) -> None:  # fmt: skip
        """Several pictures as one JPEG, in rows of `columns`; nothing where there are none."""
        if not pictures:
            return
        images = [as_image(picture) for picture in pictures]
        tiled(images, columns=columns, width=width).save(
            self.folder / f"{name}.jpg", quality=QUALITY, optimize=True
        )
        self._add(name, title, caption, ".jpg")

    def _add(self, name: str, title: str, caption: str, suffix: str) -> None:
        row = {"name": name, "title": title, "caption": caption, "file": f"{FOLDER}/{name}{suffix}"}
        self.rows.append(row)

    def write(self) -> None:
        """figures/figures.json."""
        write_json(self.folder / INDEX, self.rows)


def as_image(picture: np.ndarray | str) -> Image.Image:
    """RGB, from an array or a data URI."""
    if isinstance(picture, np.ndarray):
        return Image.fromarray(np.ascontiguousarray(picture)).convert("RGB")
    data = base64.b64decode(picture.partition("base64,")[2])
    return Image.open(io.BytesIO(data)).convert("RGB")


def tiled(images: Sequence[Image.Image], *, columns: int, width: int) -> Image.Image:
    """Images side by side, each in a column of equal width, never enlarged; `width` pixels at most."""
    columns = min(columns, len(images))
    column = min((width - (columns - 1) * GAP) // columns, max(image.width for image in images))
    small = [
        image if image.width <= column else image.resize(_fitted(image, column), Image.Resampling.LANCZOS)
        for image in images
    ]
    rows = [small[k : k + columns] for k in range(0, len(small), columns)]
    heights = [max(image.height for image in row) for row in rows]
    size = (columns * (column + GAP) - GAP, sum(heights) + (len(rows) - 1) * GAP)
    sheet = Image.new("RGB", size, WHITE)
    y = 0
    for row, height in zip(rows, heights, strict=True):
        for k, image in enumerate(row):
            sheet.paste(image, (k * (column + GAP), y))
        y += height + GAP
    return sheet


def _fitted(image: Image.Image, width: int) -> tuple[int, int]:
    return width, max(1, round(image.height * width / image.width))
