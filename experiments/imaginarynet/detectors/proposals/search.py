"""Selective Search (OpenCV's), the filters of the published detectors, a coarse grid and a cap.

Deterministic: OpenCV draws the order of its boxes from the C library's generator, which is the process's own
and which other libraries share. What it finds is sorted here and put in an order drawn from the settings'
seed, so that the first N boxes are an even sample of all; one thread.
Source of the filters: WSDDN drops duplicates and sides below 20 pixels, PCL clips to the picture and drops
duplicates and sides below 2 (published code of both).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from experiments.imaginarynet.detectors.proposals.records import Proposals
from suite.errors import Missing
from suite.seeds import item_rng

if TYPE_CHECKING:
    from experiments.imaginarynet.config_detectors import ProposalsConfig

STREAM = "imaginarynet.proposals"
MIN_SEARCH_SIDE = 8  # pixels: OpenCV's segmentation smooths with a window of about this size


def selective_search(picture: np.ndarray, settings: ProposalsConfig) -> Proposals:
    """Proposals of a picture, uint8 (H, W, 3) RGB; boxes in its pixels.

    The search runs on the picture scaled to `settings.side` pixels along its longer side (0: as it is): on
    more pixels it finds more boxes. Raises Missing without OpenCV's contrib modules.
    """
    height, width = picture.shape[:2]
    kept = filter_boxes(_search(picture, settings), height=height, width=width, min_side=settings.min_side)
    grid = filter_boxes(
        grid_boxes(settings.grid, height=height, width=width),
        height=height, width=width, min_side=settings.min_side,
    )  # fmt: skip
    room = max(settings.max_proposals - len(grid), 0)
    both = np.concatenate([kept[:room], grid])
    return Proposals.of(both[_firsts(both)][: settings.max_proposals])


def keep_inside(
    given: Proposals, settings: ProposalsConfig, *, height: int, width: int
) -> tuple[Proposals, int]:
    """Proposals from elsewhere through the same filters and cap, and how many lay outside of the picture."""
    boxes, num_outside = _clipped(given.boxes, height=height, width=width)
    rows = _kept(boxes, settings.min_side)[: settings.max_proposals]
    return Proposals.of(boxes[rows], given.scores[rows]), num_outside


def filter_boxes(boxes: np.ndarray, *, height: int, width: int, min_side: float) -> np.ndarray:
    """Boxes (R, 4) clipped to the picture, without those of a side below `min_side` pixels and duplicates.

    The order stays. A box outside of the picture is clipped to nothing and dropped, whatever `min_side`.
    """
    boxes, _ = _clipped(boxes, height=height, width=width)
    return boxes[_kept(boxes, min_side)]


def _clipped(boxes: np.ndarray, *, height: int, width: int) -> tuple[np.ndarray, int]:
    """Boxes clipped to the picture, and how many of them have no pixel of it."""
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    boxes = np.clip(boxes, 0, np.array([width, height, width, height], np.float32))
    return boxes, int((boxes[:, 2:] <= boxes[:, :2]).any(axis=1).sum())


def _kept(boxes: np.ndarray, min_side: float) -> np.ndarray:
    """Rows of the boxes that have a pixel and long enough sides, the first of each group of equal ones."""
    sides = boxes[:, 2:] - boxes[:, :2]
    rows = np.flatnonzero((sides > 0).all(axis=1) & (sides >= min_side).all(axis=1))
    return rows[_firsts(boxes[rows])]


def _firsts(boxes: np.ndarray) -> np.ndarray:
    """Rows of the first of each group of equal boxes, in their order."""
    return np.sort(np.unique(boxes, axis=0, return_index=True)[1])


def grid_boxes(levels: int, *, height: int, width: int) -> np.ndarray:
    """Windows that cover the picture, float32 (n, 4): level k has (2k - 1)^2 of 1/k of each side, half apart.

    1 for one level, 10 for two, 35 for three.
    """
    rows = [
        (column / (2 * k), row / (2 * k), (column + 2) / (2 * k), (row + 2) / (2 * k))
        for k in range(1, levels + 1)
        for row in range(2 * k - 1)
        for column in range(2 * k - 1)
    ]
    shares = np.array(rows, np.float64).reshape(-1, 4)
    return np.round(shares * [width, height, width, height]).astype(np.float32)


def _search(picture: np.ndarray, settings: ProposalsConfig) -> np.ndarray:
    """Boxes (R, 4) in pixels of the picture, not rounded where the search ran on another size."""
    import cv2

    if not hasattr(cv2, "ximgproc"):
        fix = "install opencv-contrib-python-headless in place of opencv-python"
        raise Missing("this OpenCV lacks its contrib modules, which have Selective Search", fix=fix)
    height, width = picture.shape[:2]
    scale = settings.side / max(height, width) if settings.side else 1.0
    size = (max(round(width * scale), MIN_SEARCH_SIDE), max(round(height * scale), MIN_SEARCH_SIDE))
    image = np.ascontiguousarray(picture[..., ::-1])
    with _one_thread():
        if size != (width, height):
            image = cv2.resize(image, size, interpolation=cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA)
        search = cv2.ximgproc.segmentation.createSelectiveSearchSegmentation()
        search.setBaseImage(image)
        switch = {
            "fast": search.switchToSelectiveSearchFast, "quality": search.switchToSelectiveSearchQuality,
        }  # fmt: skip
        switch[settings.mode]()
        found = np.asarray(search.process(), np.float64).reshape(-1, 4)
    found[:, 2:] += found[:, :2]
    found = np.unique(found, axis=0)  # in an order of its own
    found = found[item_rng(settings.seed, STREAM, 0).permutation(len(found))]
    return found * np.tile([width / size[0], height / size[1]], 2)


@contextmanager
def _one_thread() -> Iterator[None]:
    """OpenCV on one thread; afterwards on as many as before."""
    import cv2

    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)
