"""Statistics of batch norm, estimated again with the final weights (published: 200 iterations at the end).

detectron2's own PreciseBN hook does it, with fvcore's population estimate; here it gets its batches from a
loader and its randomness from a seed, so that it gives the same result every time.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import suite.compat.detectron2  # noqa: F401

# isort: split
from detectron2.engine.hooks import PreciseBN
from fvcore.nn.precise_bn import get_bn_modules
from torch import nn


def estimate_batch_norm(
    model: nn.Module, batches: Iterable[list[dict[str, Any]]], *, iterations: int
) -> None:
    """Replace the running statistics of all batch norms in training mode by means over `iterations` batches.

    batches: detectron2 input dicts as for training, at least `iterations` lists. Weights do not change. The
    sampling of RoIs draws from torch's global generator, which the caller seeds. Nothing happens without a
    batch norm, or with `iterations` 0.
    """
    if iterations and get_bn_modules(model):
        PreciseBN(0, model, batches, iterations).update_stats()
