"""Objects and backgrounds that a test knows everything about."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np

from experiments.sample_synthesis.config_sections import (
    MaskConfig,
    ObjectConfig,
    SourceConfig,
    SynthesisConfig,
)
from experiments.sample_synthesis.objects.types import ObjectPicture
from experiments.sample_synthesis.synth.stream import SampleStream

SIDE = 64  # of object pictures and, in most tests, of slots' upper bound


class GreyBackgrounds:
    """Random grey between 90 and 110: neither as dark nor as bright as the fakes' objects."""

    def __len__(self) -> int:
        return 1

    def draw(self, rng: np.random.Generator, size: int) -> np.ndarray:
        return rng.integers(90, 111, (size, size, 3)).astype(np.uint8)


class Discs:
    """A bright ellipse on black, with its exact mask; `empty_share`: of them a share has nothing in its
    mask.
    """

    def __init__(self, empty_share: float = 0.0, *, soft: bool = False):
        self.empty_share, self.soft = empty_share, soft

    def __len__(self) -> int:
        return 0

    def draw(self, rng: np.random.Generator) -> ObjectPicture:
        mask = np.zeros((SIDE, SIDE), np.uint8)
        axes = (int(rng.integers(10, 24)), int(rng.integers(10, 24)))
        cv2.ellipse(mask, (SIDE // 2, SIDE // 2), axes, 0, 0, 360, 255, -1)
        if rng.random() < self.empty_share:
            mask[:] = 0
        picture = np.where(mask[..., None] > 0, 255, 0).repeat(3, axis=2).astype(np.uint8)
        share = mask.astype(np.float32) / 255
        share = np.maximum(share, 0.02) if self.soft else share  # as a sigmoid, nowhere exactly 0
        return ObjectPicture(picture, share, "disc")


def settings(
    *, source: str = "standin", masks: dict[str, Any] | None = None, **synthesis: Any
) -> ObjectConfig:
    """Of a small image, 96 pixels a side, with the given settings of `synthesis` and `masks`."""
    synthesis = {"image_size": 96, "min_scale": 0.2, "max_scale": 0.6, **synthesis}
    return ObjectConfig(
        source=SourceConfig(kind=source),
        masks=MaskConfig(**(masks or {})),
        synthesis=SynthesisConfig(**synthesis),
    )


def disc_stream(name: str = "face", **changes: Any) -> SampleStream:
    """A stream of discs on grey. `changes`: settings, or arguments of SampleStream."""
    arguments = {
        key: changes.pop(key)
        for key in ("variant", "compat", "objects", "backgrounds", "seed")
        if key in changes
    }
    given = {"objects": Discs(), "backgrounds": GreyBackgrounds(), "seed": 7, **arguments}
    return SampleStream(name, settings(**changes), **given)


def qr_stream(**changes: Any) -> SampleStream:
    """A stream of QR codes on grey."""
    seed = changes.pop("seed", 7)
    config = settings(source="library", **changes)
    return SampleStream("qr", config, objects=None, backgrounds=GreyBackgrounds(), seed=seed)


def published(name: str) -> SynthesisConfig:
    """The published flags of an object."""
    few = {"face": {}, "qr": {}, "bird": {"min_scale": 0.5, "max_scale": 0.9, "max_objects": 3}}
    wide = {
        "min_aspect_ratio": 1 / 3,
        "max_aspect_ratio": 3.0,
        "max_objects": 5,
        "min_scale": 0.5,
        "max_scale": 1.0,
    }
    return replace(SynthesisConfig(), **(wide if name == "car" else few[name]))
