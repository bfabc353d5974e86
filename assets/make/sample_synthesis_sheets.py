"""Printed sheets with a QR code: what is on the paper, how large it is, how it bends."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from assets.make.sample_synthesis_shapes import Look, Shape, grid_faces

MODULE_PIXELS = 8
QUIET = 4  # modules, ISO/IEC 18004
PAPER_PIXELS = 320  # along the longer side
GRID = 21  # points a side of a sheet
LIFT = 0.0008  # of the ink above the paper, metres


@dataclass(frozen=True, eq=False)
class Sheet:
    """Paper of `width` x `height` metres with a symbol of side `side` (without quiet zone) about `center`."""

    width: float
    height: float
    side: float
    center: tuple[float, float]  # from the middle of the paper, right and up
    paper: np.ndarray  # (h, w, 3) uint8
    symbol: np.ndarray  # (s, s, 3) uint8
    roughness: float
    bend: float  # 1/m, about the upright axis; the edges come forward

    def shapes(self, origin: np.ndarray, frame: np.ndarray) -> tuple[Shape, Shape]:
        """Paper and symbol in the world. `frame`: columns right, up, towards the reader."""
        paper = self._patch((0.0, 0.0), (self.width, self.height), 0.0, self.paper)
        symbol = self._patch(self.center, (self.side, self.side), LIFT, self.symbol)
        return paper.moved(frame, origin), symbol.moved(frame, origin)

    def _patch(
        self, center: tuple[float, float], size: tuple[float, float], lift: float, picture: np.ndarray
    ) -> Shape:
        v, u = np.meshgrid(np.linspace(0, 1, GRID), np.linspace(0, 1, GRID), indexing="ij")
        x = center[0] + (u.ravel() - 0.5) * size[0]
        y = center[1] + (v.ravel() - 0.5) * size[1]
        if self.bend:
            angle, radius = x * self.bend, 1 / self.bend
            points = np.stack(
                [(radius - lift) * np.sin(angle), y, radius - (radius - lift) * np.cos(angle)], axis=1
            )
        else:
            points = np.stack([x, y, np.full_like(x, lift)], axis=1)
        uvs = np.stack([u.ravel(), v.ravel()], axis=1)
        look = Look(color=(1.0, 1.0, 1.0), texture=picture, roughness=self.roughness)
        return Shape(points, grid_faces(GRID, GRID), look, uvs, smooth=True)


def _words(
    rng: np.random.Generator, page: np.ndarray, area: tuple[int, int, int, int], ink: np.ndarray
) -> None:
    """Lines of dashes as long as words in x1, y1, x2, y2 of a page."""
    x1, y1, x2, y2 = area
    line = int(rng.integers(5, 14))
    for y in range(y1, y2 - line, int(line * rng.uniform(1.6, 2.2))):
        x = x1
        while x < x2 - line:
            length = int(rng.integers(line, 5 * line))
            for letter in range(x, min(x + length, x2), max(2, line // 2)):  # strokes with gaps
                page[y : y + line, letter : letter + max(1, line // 4)] = ink
                if rng.random() < 0.5:
                    page[y + line // 2 : y + line // 2 + max(1, line // 5), letter : letter + line // 2] = ink
            x += length + line


def draw_sheet(rng: np.random.Generator, modules: np.ndarray, side: float) -> Sheet:
    """A sheet for a code (n, n) bool, True where dark, whose symbol is `side` metres wide."""
    module = side / len(modules)
    clear = side + 2 * QUIET * module
    light = np.round(255 * rng.uniform(0.82, 1.0) * rng.uniform(0.93, 1.0, 3))
    ink = (
        rng.uniform(5, 50, 3)
        if rng.random() < 0.75
        else rng.uniform(5, 45, 3) + np.eye(3)[rng.integers(3)] * 80
    )
    style = rng.choice(("plain", "poster", "label"), p=(0.4, 0.35, 0.25))
    if style == "plain":
        width, height = (clear * rng.uniform(1.0, 1.15, 2)).tolist()
        center = (0.0, 0.0)
    elif style == "poster":
        width = clear * float(rng.uniform(1.05, 1.8))
        height = max(width * float(rng.uniform(1.15, 1.5)), clear * 1.35)
        center = (
            float(rng.uniform(-0.5, 0.5)) * (width - clear),
            float(rng.choice((-0.5, 0.5))) * (height - clear),
        )
    else:
        width, height = clear * float(rng.uniform(1.5, 2.2)), clear * float(rng.uniform(1.0, 1.2))
        center = (float(rng.choice((-0.5, 0.5))) * (width - clear), 0.0)
    scale = PAPER_PIXELS / max(width, height)
    page = np.empty((max(8, round(height * scale)), max(8, round(width * scale)), 3))
    page[:] = light
    if style != "plain":
        _decorate(rng, page, ink)
    x, y = (width / 2 + center[0]) * scale, (height / 2 - center[1]) * scale
    half = clear / 2 * scale
    page[max(0, int(y - half)) : int(y + half) + 1, max(0, int(x - half)) : int(x + half) + 1] = light
    symbol = np.where(np.kron(modules, np.ones((MODULE_PIXELS,) * 2, dtype=bool))[..., None], ink, light)
    bend = float(rng.uniform(0.2, 0.9)) / width if rng.random() < 0.25 else 0.0
    return Sheet(
        width=width, height=height, side=side, center=center, paper=page.astype(np.uint8),
        symbol=symbol.astype(np.uint8), roughness=float(rng.choice((0.15, 0.35, 0.6, 0.9))), bend=bend,
    )  # fmt: skip


def _decorate(rng: np.random.Generator, page: np.ndarray, ink: np.ndarray) -> None:
    """Text, and sometimes a coloured band or block."""
    height, width = page.shape[:2]
    edge = max(4, min(height, width) // 20)
    if rng.random() < 0.5:
        color = rng.uniform(30, 230, 3)
        band = int(height * rng.uniform(0.1, 0.3))
        page[:band] = color
    if rng.random() < 0.3:
        x, y = rng.integers(0, width // 2), rng.integers(0, height // 2)
        page[y : y + height // 4, x : x + width // 4] = rng.uniform(30, 230, 3)
    _words(rng, page, (edge, edge, width - edge, height - edge), ink)


def draw_poster(rng: np.random.Generator) -> np.ndarray:
    """A page (h, w, 3) uint8 without a code: text, a chequered field, a bar code, a picture of blots."""
    height, width = rng.integers(120, 240, 2)
    page = np.empty((height, width, 3))
    page[:] = rng.uniform(120, 255) * rng.uniform(0.8, 1.0, 3)
    ink = rng.uniform(5, 120, 3)
    kind = rng.choice(("text", "checks", "bars", "blots"))
    y, x = np.mgrid[:height, :width]
    if kind == "text":
        _decorate(rng, page, ink)
    elif kind == "checks":
        cell = int(rng.integers(8, 40))
        page[(x // cell + y // cell) % 2 == 0] = ink
    elif kind == "bars":
        on = np.repeat(rng.random(width) < 0.5, int(rng.integers(2, 5)))[:width]
        page[height // 6 : -height // 6, on] = ink
    else:
        for _ in range(int(rng.integers(3, 9))):
            center, radius = (
                rng.uniform(0, 1, 2) * (height, width),
                rng.uniform(0.05, 0.35) * min(height, width),
            )
            page[(y - center[0]) ** 2 + (x - center[1]) ** 2 < radius**2] = rng.uniform(10, 240, 3)
    return page.astype(np.uint8)
