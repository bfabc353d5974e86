"""What the split ranks: the classification loss of every noisy label, and its spread under jitter.

Both are those of the detector of the round before, in evaluation mode, at the size of the test, on the
label's own box. Cross-entropy and its focal form rank alike: one grows with the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import suite.compat.mmcv  # noqa: F401

# isort: split
import numpy as np
import torch
from mmdet.structures.bbox import bbox2roi
from mmengine.structures import InstanceData
from torch.nn import functional as F

from experiments.imaginarynet.config_w2n import W2NConfig
from experiments.imaginarynet.detectors.data.records import Picture, read_picture
from experiments.imaginarynet.detectors.semi.batches import as_inputs
from experiments.imaginarynet.detectors.semi.infer import SemiDetector
from experiments.imaginarynet.detectors.semi.views import View, resize
from experiments.imaginarynet.detectors.w2n.labels import NoisyLabels
from experiments.imaginarynet.detectors.w2n.model import spread_of
from suite.seeds import item_rng

STREAM = "imaginarynet.w2n.jitter"


def measured(
    labels: NoisyLabels,
    pictures: Sequence[Picture],
    detector: SemiDetector,
    settings: W2NConfig,
    *,
    seed: int,
    after: Callable[[], None] = lambda: None,
) -> NoisyLabels:
    """The labels with their `loss` and `sigma`; `after` is called after each picture that has any.

    Raises BadInput for a picture that does not decode.
    """
    loss, sigma = np.full(len(labels), np.nan), np.full(len(labels), np.nan)
    rows_of = labels.rows_of()
    for picture in pictures:
        rows = rows_of.get(picture.id)
        if rows is None:
            continue
        number = int(item_rng(seed, STREAM, picture.id).integers(0, 2**63 - 1))
        generator = torch.Generator().manual_seed(number)
        stored = read_picture(picture.file)
        found = measure_one(detector, stored, labels.boxes[rows], labels.labels[rows], settings, generator)
        loss[rows], sigma[rows] = found
        after()
    return labels.measured(loss=loss, sigma=sigma)


@torch.no_grad()
def measure_one(
    detector: SemiDetector,
    picture: np.ndarray,
    boxes: np.ndarray,
    labels: np.ndarray,
    settings: W2NConfig,
    generator: torch.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Cross-entropy and spread, float32 (n,), of boxes (n, 4) with labels (n,) in a uint8 RGB picture."""
    pixels = resize(picture, side=detector.settings.test_side, max_side=detector.settings.max_side)
    scale = np.tile(np.array(pixels.shape[1::-1], np.float32) / picture.shape[1::-1], 2)
    scaled = (boxes * scale).astype(np.float32)
    data = detector.pixels(as_inputs([View(0, pixels, scaled, labels)]))
    network, (sample,) = detector.network, data["data_samples"]
    features = network.extract_feat(data["inputs"])
    device = data["inputs"].device
    known = InstanceData(
        bboxes=torch.from_numpy(scaled).to(device), labels=torch.from_numpy(labels).to(device)
    )
    scores = network.roi_head._bbox_forward(features, bbox2roi([known.bboxes]))["cls_score"]
    loss = F.cross_entropy(scores, known.labels, reduction="none")
    sigma = spread_of(network, features, 0, sample, known, settings=settings, generator=generator)
    return loss.cpu().numpy(), sigma.cpu().numpy()
