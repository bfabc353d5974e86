"""Masks by pycocotools: polygons and RLE to pixels, and back to RLE.

Imported by name where it is needed, because not every toolchain carries pycocotools.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from pycocotools import mask as mask_api

from suite.datasets.records import Polygons
from suite.datasets.rle import check_rle, rle_pixels


def to_rle(segmentation: Polygons | Mapping[str, Any], height: int, width: int) -> dict[str, Any]:
    """One compressed RLE {"size": [height, width], "counts": str} of polygons (their union) or of any RLE.

    Raises ValueError for an RLE that is no mask of height x width pixels.
    """
    if isinstance(segmentation, Mapping):
        check_rle(segmentation, height, width)
        if isinstance(segmentation["counts"], (list, tuple)):
            plain = {"size": [height, width], "counts": list(segmentation["counts"])}
            rle = mask_api.frPyObjects(plain, height, width)
        else:
            rle = dict(segmentation)
    else:
        rle = mask_api.merge(mask_api.frPyObjects([list(points) for points in segmentation], height, width))
    counts = rle["counts"]
    return {
        "size": [height, width],
        "counts": counts.decode("ascii") if isinstance(counts, bytes) else counts,
    }


def decode(segmentation: Polygons | Mapping[str, Any], height: int, width: int) -> np.ndarray:
    """Mask bool (height, width) of polygons or RLE."""
    return rle_pixels(to_rle(segmentation, height, width))


def encode(mask: np.ndarray) -> dict[str, Any]:
    """Compressed RLE {"size", "counts": str} of a mask bool or 0/1 (height, width)."""
    rle = mask_api.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": [int(side) for side in rle["size"]], "counts": rle["counts"].decode("ascii")}


def mask_box(mask: np.ndarray) -> tuple[float, float, float, float] | None:
    """Tight box (x, y, width, height), half-open, of a mask bool (height, width); None for an empty one."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        return None
    x, y = columns[0], rows[0]
    return float(x), float(y), float(columns[-1] - x + 1), float(rows[-1] - y + 1)
