"""What the tiny CLIP reaches on pictures held out: top-1 per class, as they are and softened, and the scale.

Zero-shot as the filter does it: softmax(scale * cosine) over the texts of all class names. The calibrated
scale is that of the least negative log-likelihood on the held-out pictures, plain and softened together; it
is recorded, the filter uses the scale of its settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import CLIPModel

from experiments.imaginarynet.learn.augment import soften
from experiments.imaginarynet.learn.clip_model import MEAN, STD
from experiments.imaginarynet.learn.corpus import Corpus

SCALES = tuple(float(scale) for scale in range(5, 205, 5))
KEPT_ABOVE = 0.6  # the published threshold
BATCH = 256


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Figures of one model on pictures held out; `soft`: softened by augment.soften."""

    accuracy: float
    accuracy_soft: float
    kept: float  # share whose top class is right and above KEPT_ABOVE
    kept_soft: float
    wrong: float  # share that the filter would take for another class than it is
    wrong_soft: float
    loss: float  # negative log-likelihood at the filter's scale
    loss_soft: float
    calibrated_scale: float
    classes: list[dict[str, Any]]  # per class: name, pictures, accuracy, accuracy_soft, kept, kept_soft

    def headline(self) -> dict[str, float]:
        """The figures of a row of the curve."""
        names = ("accuracy", "accuracy_soft", "kept", "kept_soft", "wrong", "wrong_soft", "loss", "loss_soft")
        return {f"val_{name}": getattr(self, name) for name in names} | {
            "calibrated_scale": self.calibrated_scale
        }


def to_pixels(pictures: np.ndarray) -> Tensor:
    """uint8 (n, S, S, 3) as float32 (n, 3, S, S) in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 255


def to_input(pixels: Tensor) -> Tensor:
    """What the image tower reads, of pixels (n, 3, S, S) in [0, 1]."""
    return (pixels - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]


@torch.inference_mode()
def class_features(model: CLIPModel, tokens: Mapping[str, Tensor]) -> Tensor:
    """Unit features float32 (C, D) of tokenised texts."""
    return F.normalize(model.eval().get_text_features(**tokens).pooler_output, dim=-1)


@torch.inference_mode()
def cosines(model: CLIPModel, classes: Tensor, pictures: np.ndarray, *, soft: bool = False) -> Tensor:
    """float32 (n, C) between pictures, uint8 (n, S, S, 3), and class texts."""
    model.eval()
    parts = []
    for start in range(0, len(pictures), BATCH):
        pixels = to_pixels(pictures[start : start + BATCH])
        pixels = to_input(soften(pixels) if soft else pixels)
        seen = F.normalize(model.get_image_features(pixel_values=pixels).pooler_output, dim=-1)
        parts.append(seen @ classes.T)
    return torch.cat(parts)


def measure(model: CLIPModel, classes: Tensor, corpus: Corpus, *, scale: float) -> HeldOut:
    """All figures on the pictures of `corpus`."""
    labels = torch.from_numpy(corpus.class_ids)
    found = {soft: cosines(model, classes, corpus.pictures, soft=soft) for soft in (False, True)}
    figures: dict[str, Any] = {}
    right, kept = {}, {}
    for soft, values in found.items():
        end = "_soft" if soft else ""
        top, where = (scale * values).softmax(1).max(1)
        right[soft] = where == labels
        kept[soft] = right[soft] & (top > KEPT_ABOVE)
        figures |= {
            f"accuracy{end}": _share(right[soft]), f"kept{end}": _share(kept[soft]),
            f"wrong{end}": _share(~right[soft] & (top > KEPT_ABOVE)),
            f"loss{end}": float(F.cross_entropy(scale * values, labels)),
        }  # fmt: skip
    both, twice = torch.cat(list(found.values())), labels.repeat(2)
    losses = [float(F.cross_entropy(each * both, twice)) for each in SCALES]
    rows = [
        {
            "name": name, "pictures": int((labels == index).sum()),
            "accuracy": _share(right[False][labels == index]),
            "accuracy_soft": _share(right[True][labels == index]),
            "kept": _share(kept[False][labels == index]), "kept_soft": _share(kept[True][labels == index]),
        }
        for index, name in enumerate(corpus.class_names)
    ]  # fmt: skip
    return HeldOut(**figures, calibrated_scale=SCALES[int(np.argmin(losses))], classes=rows)


def _share(chosen: Tensor) -> float | None:
    """Share of true values; None of nothing."""
    return float(chosen.float().mean()) if len(chosen) else None
