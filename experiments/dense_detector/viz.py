"""Pictures of what the network thinks, for TensorBoard and the report: heat maps, assignment, detections.

Everything is drawn on the resized picture, enlarged by ENLARGE, so that one sees what the network saw.
Green: annotated boxes. Red: detections. Heat from black (score 0) over red and yellow to white (score 1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw

from experiments.dense_detector.assign import NEUTRAL
from experiments.dense_detector.data import Batch, DetectionDataset
from experiments.dense_detector.detector import Detector

ENLARGE = 2
GAP = 4  # pixels between panels
HEAT_OPACITY = 0.6
GREEN, RED, WHITE = (40, 200, 80), (240, 40, 40), (255, 255, 255)
# Of the assignment map: positive, neutral (no loss), negative.
POSITIVE_COLOR, NEUTRAL_COLOR, NEGATIVE_COLOR = (40, 200, 80), (250, 200, 40), (40, 60, 120)
MAX_CLASS_MAPS = 8


def class_heat(logits: np.ndarray, feature_hw: tuple[int, int], label: int | None = None) -> np.ndarray:
    """Scores in 0..1 (rows, columns): the best over a cell's anchors of class `label`, or of any (None).

    logits: (P, C) of one picture, in anchor order.
    """
    scores = _sigmoid(logits).reshape(*feature_hw, -1, logits.shape[1])
    return scores.max(axis=(2, 3)) if label is None else scores[..., label].max(axis=2)


def anchor_heat(logits: np.ndarray, feature_hw: tuple[int, int]) -> np.ndarray:
    """Scores (A, rows, columns) of each anchor shape, the best over classes."""
    scores = _sigmoid(logits).reshape(*feature_hw, -1, logits.shape[1])
    return scores.max(axis=3).transpose(2, 0, 1)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x.astype(np.float64)))


def colour(heat: np.ndarray) -> np.ndarray:
    """Scores (...) in 0..1 -> uint8 (..., 3), black-red-yellow-white; the root makes small scores visible."""
    value = 3 * np.sqrt(np.clip(heat, 0, 1))[..., None]
    return np.round(255 * np.clip(value - np.array([0, 1, 2]), 0, 1)).astype(np.uint8)


def blend(rgb: np.ndarray, cells: np.ndarray, opacity: float = HEAT_OPACITY) -> np.ndarray:
    """A picture uint8 (H, W, 3) under a map of cells uint8 (rows, columns, 3), nearest neighbour."""
    height, width = rgb.shape[:2]
    over = np.asarray(Image.fromarray(cells).resize((width, height), Image.Resampling.NEAREST))
    return np.round((1 - opacity) * rgb + opacity * over).astype(np.uint8)


def outline(rgb: np.ndarray, boxes: np.ndarray, color: tuple[int, int, int], width: int = 1) -> np.ndarray:
    """A copy with boxes (n, 4) outlined; boxes in pixels of the picture before ENLARGE."""
    image = Image.fromarray(rgb)
    draw = ImageDraw.Draw(image)
    for x1, y1, x2, y2 in (np.asarray(boxes, dtype=np.float64).reshape(-1, 4) * ENLARGE).tolist():
        draw.rectangle((x1, y1, max(x1, x2 - 1), max(y1, y2 - 1)), outline=color, width=width)
    return np.asarray(image)


def enlarge(rgb: np.ndarray) -> np.ndarray:
    """Each pixel ENLARGE x ENLARGE times."""
    return rgb.repeat(ENLARGE, axis=0).repeat(ENLARGE, axis=1)


def sheet(panels: Sequence[np.ndarray], columns: int) -> np.ndarray:
    """Panels of one size in rows of `columns`, white between them."""
    height, width = panels[0].shape[:2]
    rows = -(-len(panels) // columns)
    out = np.full((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, 3), 255, np.uint8)
    for k, panel in enumerate(panels):
        y, x = k // columns * (height + GAP), k % columns * (width + GAP)
        out[y : y + height, x : x + width] = panel
    return out


def assignment_cells(labels: np.ndarray, feature_hw: tuple[int, int]) -> np.ndarray:
    """Colours (rows, columns, 3) from labels (P,) of assign.py: a cell is positive if one of its anchors is,
    else neutral if one is.
    """
    cells = labels.reshape(*feature_hw, -1)
    out = np.empty((*feature_hw, 3), np.uint8)
    out[:] = NEGATIVE_COLOR
    out[(cells == NEUTRAL).any(axis=2)] = NEUTRAL_COLOR
    out[(cells >= 0).any(axis=2)] = POSITIVE_COLOR
    return out


def drawn_batch(dataset: DetectionDataset, number: int) -> tuple[Batch, np.ndarray]:
    """`number` pictures with boxes, evenly over the data set, and as uint8 (number, H, W, 3).

    The same ones at every call, so that steps can be compared.
    """
    with_boxes = [i for i, image in enumerate(dataset.selection.images) if len(image.boxes)]
    chosen = [with_boxes[k] for k in np.linspace(0, len(with_boxes) - 1, number).round().astype(int)]
    chosen = list(dict.fromkeys(chosen))  # fewer pictures than asked for
    pixels = np.stack([dataset.picture(i) for i in chosen]).transpose(0, 2, 3, 1)
    return dataset.batch(chosen), np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:3], 3)))


@torch.no_grad()
def draw_all(detector: Detector, batch: Batch, rgb: np.ndarray) -> Mapping[str, np.ndarray]:
    """{TensorBoard tag: picture} of a data.Batch whose pictures are `rgb` (N, H, W, 3) uint8.

    heatmap/<class> (of the classes that the pictures hold, and `any`), heatmap_by_anchor (first picture),
    assignment, predictions. The network is put into evaluation mode.
    """
    feature_hw = detector.feature_hw
    detector.model.train(detector.config.evaluate.batch_norm == "batch")
    output = detector.forward(batch.images)
    found = detector.decode(output, score=detector.config.evaluate.display_score)
    logits = output.logits.float().cpu().numpy()
    labels = detector.targets(batch).labels.cpu().numpy()
    big = [enlarge(picture) for picture in rgb]
    truth = [boxes[valid].numpy() for boxes, valid in zip(batch.boxes, batch.valid, strict=True)]
    boxes = [one.boxes.cpu().numpy() for one in found]

    def marked(panels: Sequence[np.ndarray]) -> np.ndarray:
        drawn = zip(panels, truth, boxes, strict=True)
        return sheet([outline(outline(p, t, GREEN), b, RED) for p, t, b in drawn], len(panels))

    def heat(label: int | None) -> np.ndarray:
        maps = [colour(class_heat(one, feature_hw, label)) for one in logits]
        return marked([blend(p, cells) for p, cells in zip(big, maps, strict=True)])

    shown = sorted(set(batch.labels[batch.valid].tolist()))[:MAX_CLASS_MAPS]
    pictures = {f"heatmap/{detector.classes[label][1]}": heat(label) for label in shown}
    pictures["heatmap/any"] = heat(None)
    by_shape = [blend(big[0], colour(cells)) for cells in anchor_heat(logits[0], feature_hw)]
    pictures["heatmap_by_anchor"] = sheet(
        [outline(panel, truth[0], GREEN) for panel in by_shape], columns=-(-len(by_shape) // 3)
    )
    cells = [assignment_cells(one, feature_hw) for one in labels]
    pictures["assignment"] = sheet(
        [outline(blend(p, c), t, WHITE) for p, c, t in zip(big, cells, truth, strict=True)], len(big)
    )
    pictures["predictions"] = marked(big)
    return pictures
