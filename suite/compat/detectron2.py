"""Makes the Python sources of detectron2 v0.6 work with today's numpy, Pillow and no compiled part.

Import it before detectron2:

    import suite.compat.detectron2  # noqa: F401
    # isort: split
    import detectron2

What it does, each only where needed, in memory and never in the installed files:
  * `np.int`, `np.float`, `np.str`, `np.object` and `PIL.Image.LINEAR` are back as the aliases they were;
  * `detectron2._C` is a stand-in whose every function raises NotImplementedError when it is called;
  * the compiled COCO evaluation is pycocotools' own (same numbers, slower);
  * the training loader empties its bucket before it hands a batch out. v0.6 does so after, and an iteration
    that stops in between leaves a full bucket that never matches the batch size again: the next iteration of
    the same loader hangs and eats memory.
Not covered: deformable convolution, rotated boxes, and whatever else lives in the C++ part.
A compiled detectron2 keeps its own `_C` and its own evaluation.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator

from suite.compat.stand_in import stand_in

_ALIASES = {"int": int, "float": float, "str": str, "object": object}


def restore_aliases() -> None:
    """Give numpy and Pillow back the names that detectron2 v0.6 uses."""
    import numpy as np
    from PIL import Image

    for name, kind in _ALIASES.items():
        if name not in np.__dict__:
            setattr(np, name, kind)
    if not hasattr(Image, "LINEAR"):
        Image.LINEAR = Image.BILINEAR


def replace_compiled_part() -> None:
    """Stand-ins for `detectron2._C` and for the evaluation that needs it."""
    from pycocotools.cocoeval import COCOeval

    absent = "none (Python sources only)"
    # detectron2's environment listing, which its default set-up logs, asks the extension these two things.
    stand_in("detectron2._C", get_compiler_version=lambda: absent, get_cuda_version=lambda: absent,
             has_cuda=lambda: False)
    stand_in("detectron2.evaluation.fast_eval_api", COCOeval_opt=type("COCOeval_opt", (COCOeval,), {}))


def grouped_batches(self) -> Iterator[list[dict]]:
    """`AspectRatioGroupedDataset.__iter__` that may be abandoned at any batch and started again.

    Yields lists of `batch_size` dataset dicts (keys `width`, `height` in pixels), all wider than high or
    all not.
    """
    for item in self.dataset:
        bucket = self._buckets[0 if item["width"] > item["height"] else 1]
        bucket.append(item)
        if len(bucket) == self.batch_size:
            batch = bucket[:]
            bucket.clear()
            yield batch


def prepare() -> None:
    """Everything the module docstring lists; calling it again changes nothing."""
    restore_aliases()
    if "detectron2._C" not in sys.modules and importlib.util.find_spec("detectron2._C") is None:
        replace_compiled_part()
    from detectron2.data.common import AspectRatioGroupedDataset

    AspectRatioGroupedDataset.__iter__ = grouped_batches


prepare()
