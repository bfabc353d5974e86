"""Lets mmdet run on mmcv-lite: a stand-in for mmcv's compiled operators that offers NMS through torchvision.

Import it before mmcv or mmdet:

    import suite.compat.mmcv  # noqa: F401
    # isort: split
    import mmdet.models

Not covered: every operator but `nms` (they raise NotImplementedError when called), and `nms` with offset 1.
RoI layers need `use_torchvision=True` in the model's config. A compiled mmcv keeps its own operators.
"""

from __future__ import annotations

import importlib.util
import sys

from suite.compat.stand_in import stand_in

_NAME = "mmcv._ext"


def nms(bboxes, scores, iou_threshold: float, offset: int = 0):
    """Indices (int64, best score first) of the boxes that stay.

    bboxes: float tensor (n, 4), x1 y1 x2 y2 in pixels; scores: float tensor (n,); iou_threshold in [0, 1].
    Raises NotImplementedError for offset 1 (boxes whose last pixel counts), which torchvision does not know.
    """
    from torchvision.ops import nms as torchvision_nms

    if offset:
        raise NotImplementedError(f"nms with offset {offset} needs the compiled mmcv; use offset 0")
    return torchvision_nms(bboxes, scores, iou_threshold)


def prepare() -> None:
    """Register the stand-in unless the compiled operators are there; calling it again changes nothing."""
    if _NAME not in sys.modules and importlib.util.find_spec(_NAME) is None:
        stand_in(_NAME, nms=nms)


prepare()
