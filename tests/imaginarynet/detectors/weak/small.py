"""A small detector of random weights, and pictures with proposals, for tests."""

import torch

import suite.compat.detectron2  # noqa: F401

# isort: split
from detectron2.structures import Boxes, Instances

from experiments.imaginarynet.config_weak import WeakConfig
from experiments.imaginarynet.detectors.weak.model import build_weak_detector

NUM_CLASSES = 3


def settings(**changed) -> WeakConfig:
    """Few blocks, narrow layers; `changed` wins."""
    small = {"weights": "random", "depth": 4, "freeze": 1, "pool_size": 2, "fc": (8,), "dropout": 0.0}
    return WeakConfig(**{**small, **changed})


def detector(seed=0, **changed):
    """WeakDetector of NUM_CLASSES classes."""
    return build_weak_detector(settings(**changed), NUM_CLASSES, seed=seed)


def boxes_in(count, size=(48, 64), seed=0):
    """float32 (count, 4) inside a picture of `size` (height, width), sides of at least 4 pixels."""
    generator = torch.Generator().manual_seed(seed)
    room = torch.tensor([size[1], size[0]], dtype=torch.float32)
    low = torch.rand(count, 2, generator=generator) * (room - 4)
    high = low + 4 + torch.rand(count, 2, generator=generator) * (room - 4 - low)
    return torch.cat([low, high], 1)


def item(boxes, labels=(1.0, 0.0, 0.0), size=(48, 64), seed=0):
    """A dataset dict of noise."""
    generator = torch.Generator().manual_seed(seed)
    proposals = Instances(size)
    proposals.proposal_boxes = Boxes(boxes)
    proposals.objectness_logits = torch.rand(len(boxes), generator=generator)
    image = torch.randint(0, 256, (3, *size), generator=generator, dtype=torch.uint8)
    return {"image": image, "proposals": proposals, "image_labels": torch.tensor(labels)}
