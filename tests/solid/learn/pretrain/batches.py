"""Inputs of the detector out of a seeded generator."""

from __future__ import annotations

import torch

import suite.compat.detectron2  # noqa: F401

# isort: split
from detectron2.structures import BitMasks, Boxes, Instances

HEIGHT, WIDTH = 48, 64


def targets(num: int = 2, *, classes: tuple[int, ...] = (0, 1, 2), seed: int = 0) -> list[dict]:
    """detectron2 input dicts of noise, with one rectangle per class, each in a colour of its own."""
    generator = torch.Generator().manual_seed(seed)
    found = []
    for row in range(num):
        corners = torch.rand(len(classes), 2, generator=generator) * 20
        sides = 12 + torch.rand(len(classes), 2, generator=generator) * 12
        boxes = torch.cat([corners, corners + sides], dim=1).round()
        masks = torch.zeros(len(classes), HEIGHT, WIDTH, dtype=torch.bool)
        for mask, (x1, y1, x2, y2) in zip(masks, boxes.int().tolist(), strict=True):
            mask[y1:y2, x1:x2] = True
        instances = Instances(
            (HEIGHT, WIDTH), gt_boxes=Boxes(boxes), gt_classes=torch.tensor(classes), gt_masks=BitMasks(masks)
        )
        image = torch.randint(0, 256, (3, HEIGHT, WIDTH), generator=generator, dtype=torch.uint8)
        for class_id, mask in zip(classes, masks, strict=True):
            image[:, mask] = image[:, mask] // 4 + colour(class_id)
        found.append(
            {"image": image, "instances": instances, "height": HEIGHT, "width": WIDTH, "image_id": row}
        )
    return found


def colour(class_id: int) -> torch.Tensor:
    """(3, 1) uint8, below 192, so that noise fits on top."""
    return torch.tensor([[class_id * step % 192] for step in (50, 101, 157)], dtype=torch.uint8)


def queries(num: int, *, seed: int = 1) -> list[torch.Tensor]:
    """uint8 BGR crops of different sizes, at most 32 pixels long; picture i has the colour of class i."""
    generator = torch.Generator().manual_seed(seed)
    shapes = [(3, 32, 12 + i % 20) if i % 2 else (3, 10 + i % 20, 32) for i in range(num)]
    noise = [torch.randint(0, 64, shape, generator=generator, dtype=torch.uint8) for shape in shapes]
    return [picture + colour(i)[:, :, None] for i, picture in enumerate(noise)]
