"""The masks of a set of pictures: predicted, turned the right way round, written.

found = predict_set(pictures, provider, cache=MaskCache(folder), batch=64, check_stop=ctx.check_stop)
write_masks(ctx.out, found)             # masks.npy uint8 (n, S, S), masks.json
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments.sample_synthesis.objects.mask_cache import MaskCache, predict_masks
from experiments.sample_synthesis.objects.polarity import Coverage, coverage, flipped
from experiments.sample_synthesis.objects.types import MaskProvider
from suite.manifest import write_json

MASKS, FACTS = "masks.npy", "masks.json"
SEEN = 128  # 0..255: a mask that reaches it nowhere shows no object


@dataclass(frozen=True)
class MaskSet:
    """Masks uint8 (n, S, S), 0..255, 255 is the object."""

    masks: np.ndarray
    provider: str  # its key
    has_been_flipped: bool
    coverage: Coverage  # after the flip

    @property
    def empty(self) -> list[int]:
        """Rows without an object: they are never drawn."""
        return np.flatnonzero(self.masks.reshape(len(self.masks), -1).max(axis=1, initial=0) < SEEN).tolist()

    def facts(self) -> dict[str, Any]:
        """For masks.json and the report."""
        return {
            "provider": self.provider,
            "has_been_flipped": self.has_been_flipped,
            "border_coverage": self.coverage.border,
            "centre_coverage": self.coverage.centre,
            "empty": self.empty,
        }


def oriented(masks: np.ndarray, provider: MaskProvider) -> MaskSet:
    """Masks uint8 (n, S, S) of one set, flipped together where the provider may have swapped its regions and
    they cover the border more than the middle.
    """
    found = coverage(masks)
    has_been_flipped = provider.has_polarity and found.is_inverted
    if has_been_flipped:
        masks = flipped(masks)
        found = Coverage(1 - found.border, 1 - found.centre)
    return MaskSet(masks, provider.key, has_been_flipped, found)


def predict_set(
    pictures: np.ndarray,
    provider: MaskProvider,
    *,
    cache: MaskCache,
    batch: int,
    check_stop: Callable[[], None] = lambda: None,
) -> MaskSet:
    """Masks of pictures uint8 (n, S, S, 3), the right way round, by way of the cache."""
    return oriented(predict_masks(pictures, provider, cache, batch=batch, check_stop=check_stop), provider)


def write_masks(folder: Path, found: MaskSet) -> None:
    """masks.npy and masks.json."""
    np.save(folder / MASKS, found.masks, allow_pickle=False)
    write_json(folder / FACTS, found.facts())


def cache_folder(stage_out: Path) -> Path:
    """Where the stages of one run keep masks by content: beside their folders, so it outlives a stage that is
    done again.
    """
    return Path(stage_out).with_name(".mask-cache")
