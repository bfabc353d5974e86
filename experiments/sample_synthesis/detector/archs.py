"""What is fixed of each detector: tapped strides, anchor scales, variances. Imports no framework.

Dissertation "An analysis of sample synthesis for deep learning based object detection" (University of Sao
Paulo, 2020) and its published code: `mobilenet` and `resnet50`. Ours: `mobilenetv2` (the same four scales on
the last two maps of stride 16 and of stride 32, for ImageNet weights that a package carries) and `tiny` (for
runs on a CPU and for tests).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from suite.errors import BadInput

ASPECT_RATIOS = (0.5, 1.0, 2.0)  # width / height; three anchors per cell
VARIANCES = (0.1, 0.1, 0.2, 0.2)  # divisors of the offsets (cx, cy, ln w, ln h)
NUM_CLASSES = 2  # background, object


@dataclass(frozen=True)
class Arch:
    """A detector's statics.

    Attributes:
        title: as tables and plots write it.
        halvings: per tapped layer, how often the image's side has been halved; stride = 2 ** halvings.
        scales: per tapped layer, side of its square anchor over the image's side.
        odd_sides: what half of an odd side is. `up`: rounded up; `down_after_first`: up once, then down
            (Keras pads MobileNet on the right and the bottom only).
    """

    title: str
    halvings: tuple[int, ...]
    scales: tuple[float, ...]
    odd_sides: Literal["up", "down_after_first"]

    def grids(self, image_size: int) -> tuple[int, ...]:
        """Side of each tapped feature map, in cells, for square images of `image_size` pixels."""
        sides = [image_size]
        for step in range(max(self.halvings)):
            up = self.odd_sides == "up" or step == 0
            sides.append((sides[-1] + 1) // 2 if up else sides[-1] // 2)
        return tuple(sides[number] for number in self.halvings)


ARCHS = {
    "mobilenet": Arch("SSDMobileNet", (4, 4, 5, 5), (0.1, 0.2, 0.4, 0.8), "down_after_first"),
    "resnet50": Arch("SSDResNet50", (4, 4, 4, 5, 5, 5), (0.05, 0.1, 0.2, 0.4, 0.6, 0.8), "up"),
    "mobilenetv2": Arch("SSDMobileNetV2 (ours)", (4, 4, 5, 5), (0.1, 0.2, 0.4, 0.8), "up"),
    "tiny": Arch("tiny (ours)", (3, 3, 4, 4), (0.1, 0.2, 0.4, 0.8), "up"),
}
MIN_IMAGE_SIZE = 32  # pixels; below, the deepest maps have no cell in ResNet-50's padding scheme


def find_arch(name: str) -> Arch:
    """The statics of `name`; BadInput names the choices."""
    if name not in ARCHS:
        raise BadInput(f"there is no detector {name!r}", fix="choose one of " + ", ".join(ARCHS))
    return ARCHS[name]


def check_image_size(image_size: int) -> None:
    """BadInput for images too small for the deepest map."""
    if image_size < MIN_IMAGE_SIZE:
        raise BadInput(f"image_size {image_size} is too small", fix=f"use at least {MIN_IMAGE_SIZE} pixels")
