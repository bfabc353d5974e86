"""The stage `weights`: MobileNetV2's ImageNet weights from the packages, as the detectors read them."""

from __future__ import annotations

from experiments.sample_synthesis.detector.convert_mobilenetv2 import run as convert
from suite.stage import Context


def run(ctx: Context) -> None:
    """Write mobilenetv2_imagenet.npz into the stage's folder."""
    convert(ctx.out)
    ctx.count("files")
