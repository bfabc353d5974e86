"""COCO run-length encoding, checked before any C code sees it (pycocotools reads past a broken string).

Runs go down the columns (Fortran order), background first. The compressed form stores each count as groups of
five bits in printable characters (48 + value, bit 32 = more follow), from the third on as the difference to
the count two places before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def rle_counts(counts: Any) -> np.ndarray:
    """Run lengths int64 (n,) of a compressed string or a list of integers. ValueError says what is wrong."""
    if isinstance(counts, (list, tuple)):
        if not all(type(count) is int for count in counts):
            raise ValueError("RLE counts are not all integers")
        return np.asarray(counts, dtype=np.int64)
    if isinstance(counts, bytes):
        raw = counts
    elif isinstance(counts, str):
        raw = counts.encode("utf-8")
    else:
        raise ValueError("RLE counts are neither a string nor a list")
    return _decompress(np.frombuffer(raw, dtype=np.uint8).astype(np.int64) - 48)


def _decompress(values: np.ndarray) -> np.ndarray:
    if values.size == 0:
        return np.zeros(0, np.int64)
    if values.min() < 0 or values.max() > 63:
        raise ValueError("RLE string holds characters that do not belong there")
    ends = np.flatnonzero((values & 32) == 0)
    if ends.size == 0 or ends[-1] != values.size - 1:
        raise ValueError("RLE string is cut off")
    starts = np.concatenate(([0], ends[:-1] + 1))
    lengths = ends - starts + 1
    if lengths.max() > 7:  # 35 bits: more than any picture has pixels
        raise ValueError("RLE string holds a number that is too large")
    place = np.arange(values.size) - np.repeat(starts, lengths)
    numbers = np.add.reduceat((values & 31) << (5 * place), starts)
    negative = (values[ends] & 16) != 0
    numbers = numbers - np.where(negative, np.int64(1) << (5 * lengths), 0)
    # From the fourth count on, differences to the count two places before.
    numbers[1::2] = np.cumsum(numbers[1::2])
    numbers[2::2] = np.cumsum(numbers[2::2])
    return numbers


def check_rle(rle: Mapping[str, Any], height: int, width: int) -> None:
    """ValueError unless `rle` is a whole mask of height x width pixels."""
    size = rle.get("size")
    if not isinstance(size, (list, tuple)) or list(size) != [height, width]:
        raise ValueError(f"RLE size is {size!r}, the picture is {[height, width]} (height, width)")
    counts = rle_counts(rle.get("counts"))
    if (counts < 0).any():
        raise ValueError("RLE has a negative run")
    if int(counts.sum()) != height * width:
        raise ValueError(f"RLE covers {int(counts.sum())} pixels, the picture has {height * width}")


def rle_pixels(rle: Mapping[str, Any]) -> np.ndarray:
    """Mask bool (height, width) of a checked RLE."""
    height, width = rle["size"]
    counts = rle_counts(rle["counts"])
    return np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(width, height).T


def rle_area(rle: Mapping[str, Any]) -> int:
    """Number of foreground pixels of a checked RLE."""
    return int(rle_counts(rle["counts"])[1::2].sum())


def encode_rle(mask: np.ndarray) -> dict[str, Any]:
    """Compressed RLE {"size": [height, width], "counts": str} of a mask bool (height, width)."""
    height, width = mask.shape
    flat = mask.T.astype(bool).ravel()
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    first = [0] if flat.size and flat[0] else []  # a background run of no pixels comes first
    return {
        "size": [height, width],
        "counts": _compress(np.diff(np.concatenate([[0], first, edges, [flat.size]]).astype(np.int64))),
    }


def _compress(counts: np.ndarray) -> str:
    differences = counts.copy()
    differences[3:] -= counts[1:-2]
    text = []
    for value in differences.tolist():
        more = True
        while more:
            low, value = value & 31, value >> 5  # arithmetic shift: a negative number ends in -1
            more = value != (-1 if low & 16 else 0)
            text.append(chr(48 + (low | (32 if more else 0))))
    return "".join(text)
