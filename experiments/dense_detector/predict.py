"""Prediction for a single picture of any size: a PNG with the boxes, and a JSON beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from experiments.dense_detector.data import GREY_NORM, RGB_NORM, decode_picture
from experiments.dense_detector.detector import load_detector
from experiments.dense_detector.evaluate import to_original
from suite.manifest import write_json
from suite.report.draw import draw_annotations


def predict(
    checkpoint: Path, image: Path, out: Path, *, score: float | None, device: str
) -> list[dict[str, Any]]:
    """Detections of at least `score` (None: `evaluate.display_score`), surest first, drawn into `out`.

    Each is {"name", "category_id", "score", "box_xyxy"} in pixels of the picture. Raises BadInput for a
    checkpoint or picture that cannot be read.
    """
    detector = load_detector(checkpoint, device)
    data = detector.config.data
    pixels = decode_picture(image, None, data.size_wh, grey=data.grey)
    rgb = np.asarray(Image.open(image).convert("RGB"))
    mean, std = (torch.tensor(v).view(1, -1, 1, 1) for v in (GREY_NORM if data.grey else RGB_NORM))
    batch = (torch.tensor(pixels)[None].float() / 255 - mean) / std
    wanted = detector.config.evaluate.display_score if score is None else score
    size = torch.tensor([[rgb.shape[1], rgb.shape[0]]], dtype=torch.float32)
    table = to_original(detector, detector.detect(batch, score=wanted), [0], size)
    names = dict(detector.classes)
    rows = [
        {"name": names[key], "category_id": key, "score": sure, "box_xyxy": box}
        for key, sure, box in zip(
            table.category_ids.tolist(), table.scores.tolist(), table.boxes_xyxy.tolist(), strict=True
        )
    ]
    captions = [f"{row['name']} {row['score']:.2f}" for row in rows]
    out.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(draw_annotations(rgb, boxes=table.boxes_xyxy, captions=captions)).save(out)
    write_json(out.with_suffix(".json"), rows)
    return rows
