"""What a trained detector finds in a set of pictures, as detections in the pixels of the original files.

Detections are kept down to a low score: those above a higher floor are exactly what decoding with that floor
gives, since suppression takes the surest first and a weaker box never suppresses a surer one. So one table
serves the published metric (0.5) and the usual ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from experiments.sample_synthesis.detector.anchors import Anchors
from experiments.sample_synthesis.detector.decode import decode
from experiments.sample_synthesis.train.loop import Trainer
from experiments.sample_synthesis.train.pipeline import ItemSet, images
from suite.datasets.detections import Detections

BATCH = 32  # pictures per call; of no effect on what is found beyond rounding


@dataclass(frozen=True, eq=False)
class Pictures:
    """Pictures to look at, and what brings boxes back into their own pixels."""

    items: ItemSet
    image_ids: np.ndarray  # int64 (n,)
    sizes_wh: np.ndarray  # (n, 2) pixels


def predict(
    trainer: Trainer, pictures: Pictures, anchors: Anchors, *, min_confidence: float, nms_iou: float,
    positions: np.ndarray | None = None, threads: int = 1,
) -> Detections:  # fmt: skip
    """Detections in the pictures at these positions (None: in all), label = category id.

    threads: that decode pictures. Boxes may reach out of their picture; they are not clipped.
    """
    if positions is None:
        positions = np.arange(len(pictures.items))
    found = []
    for batch in images(pictures.items, positions, batch=BATCH, threads=threads):
        outputs = trainer.predict(batch)
        found += decode(outputs, anchors, min_confidence=min_confidence, nms_iou=nms_iou)
    if not found:
        return Detections.empty()
    counts = [len(one.scores) for one in found]
    factor = np.tile(np.asarray(pictures.sizes_wh, dtype=np.float64)[positions] / anchors.image_size, 2)
    return Detections(
        image_ids=np.repeat(pictures.image_ids[positions], counts),
        category_ids=np.concatenate([one.labels for one in found]),
        scores=np.concatenate([one.scores for one in found]),
        boxes_xyxy=np.concatenate([one.boxes for one in found]) * np.repeat(factor, counts, axis=0),
    )
