"""Sheets of pictures: synthetic images with boxes and masks, objects with masks, detections beside the truth.

numpy and Pillow only: the report draws without a framework.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from suite.report.draw import contact_row, draw_annotations

CELL = 220  # pixels of a picture on a sheet
COVERED = 128  # of 255: a pixel that belongs to its object
SURROUNDINGS = (230, 60, 200)  # behind cut-outs: a colour that few pictures have
TRUTH, FOUND = (40, 200, 60), (255, 120, 20)  # outlines of true boxes and of detections
LINE = 2  # pixels of an outline


def label_map(cover: np.ndarray, slots: np.ndarray) -> np.ndarray:
    """int64 (S, S): 0 background, k the pixels of the object in slot k - 1.

    cover: uint8 (S, S), 255 is object; slots: int (n, 4) xyxy, exclusive, disjoint.
    """
    labels = np.zeros(cover.shape, np.int64)
    for number, (x1, y1, x2, y2) in enumerate(slots.tolist(), start=1):
        labels[y1:y2, x1:x2][cover[y1:y2, x1:x2] >= COVERED] = number
    return labels


def sample_sheet(
    images: Sequence[np.ndarray], boxes: Sequence[np.ndarray], labels: Sequence[np.ndarray]
) -> np.ndarray:
    """Synthetic images (S, S, 3) uint8 in a row, and below each the same with its masks tinted and its boxes
    outlined.
    """
    drawn = [
        draw_annotations(image, boxes=own, label_map=masks, min_width=CELL)
        for image, own, masks in zip(images, boxes, labels, strict=True)
    ]
    return stacked([contact_row(list(images), cell=CELL), contact_row(drawn, cell=CELL)])


def object_sheet(pictures: Sequence[np.ndarray], masks: Sequence[np.ndarray | None]) -> np.ndarray:
    """Three rows: pictures (h, w, 3) uint8, masks (h, w) in [0, 1], cut-outs. Without a mask: a cross."""
    grey = [
        None if m is None else np.repeat(np.rint(255 * m).astype(np.uint8)[..., None], 3, 2) for m in masks
    ]
    cut = [
        None if mask is None else cut_out(picture, mask)
        for picture, mask in zip(pictures, masks, strict=True)
    ]
    return stacked([contact_row(list(row), cell=CELL // 2) for row in (pictures, grey, cut)])


def cut_out(picture: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The object alone on SURROUNDINGS; picture (h, w, 3) uint8, mask (h, w) in [0, 1]."""
    soft = mask[..., None]
    return np.rint(picture * soft + np.array(SURROUNDINGS) * (1 - soft)).astype(np.uint8)


def detection_picture(
    picture: np.ndarray, *, truth: np.ndarray, found: np.ndarray, scores: np.ndarray, width: int = 320
) -> np.ndarray:
    """A picture (h, w, 3) uint8 at `width` pixels: true boxes green, detections orange with their confidence.

    truth (n, 4), found (m, 4): xyxy in pixels of the picture; scores (m,).
    """
    factor = width / picture.shape[1]
    size = (width, max(1, round(picture.shape[0] * factor)))
    image = Image.fromarray(np.ascontiguousarray(picture)).resize(size, Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(size=12)
    for box in (np.asarray(truth, np.float64) * factor).tolist():
        draw.rectangle(box, outline=TRUTH, width=LINE)
    for box, score in zip((np.asarray(found, np.float64) * factor).tolist(), scores, strict=True):
        draw.rectangle(box, outline=FOUND, width=LINE)
        corner = (max(box[0], 0) + LINE, max(box[1], 0) + LINE)
        draw.rectangle(draw.textbbox(corner, f"{score:.2f}", font=font), fill=FOUND)
        draw.text(corner, f"{score:.2f}", fill=(0, 0, 0), font=font)
    return np.asarray(image)


def stacked(rows: Sequence[np.ndarray], gap: int = 4) -> np.ndarray:
    """Pictures of one width below each other on white."""
    white = np.full((gap, rows[0].shape[1], 3), 255, np.uint8)
    parts = [part for row in rows for part in (row, white)]
    return np.concatenate(parts[:-1])
