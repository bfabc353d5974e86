"""A contact sheet: pictures, their masks, and what is pasted of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

COLUMNS, MOST = 8, 32  # pictures in a row of the sheet, and in all
SURROUNDINGS = np.array([230, 60, 200], np.float32)  # behind the cut-outs: a colour that few pictures have


def contact_sheet(pictures: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """uint8 (h, w, 3): three lines per row, the picture, its mask, the cut-out.

    pictures uint8 (n, S, S, 3), masks uint8 (n, S, S) in 0..255; the first MOST are shown.
    """
    pictures, masks = pictures[:MOST], masks[:MOST]
    soft = masks[..., None].astype(np.float32) / 255
    cut = np.rint(pictures * soft + SURROUNDINGS * (1 - soft)).astype(np.uint8)
    tiles = np.stack([pictures, np.repeat(masks[..., None], 3, axis=-1), cut], 1)  # (n, 3, S, S, 3)
    missing = -len(tiles) % COLUMNS
    tiles = np.concatenate([tiles, np.full((missing, *tiles.shape[1:]), 255, np.uint8)])
    side = tiles.shape[2]
    rows = tiles.reshape(-1, COLUMNS, 3, side, side, 3).transpose(0, 2, 3, 1, 4, 5)
    return rows.reshape(-1, COLUMNS * side, 3)


def write_sheet(path: Path, pictures: np.ndarray, masks: np.ndarray) -> None:
    """The contact sheet as PNG."""
    from PIL import Image

    Image.fromarray(contact_sheet(pictures, masks)).save(path, format="PNG", optimize=True)
