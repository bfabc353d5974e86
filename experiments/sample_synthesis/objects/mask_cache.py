"""Masks kept by the content of the picture: the same picture under the same provider is computed once.

An entry's name is the SHA-256 over the provider's key, the picture's shape and its bytes. Entries are written
whole or not at all, carry a checksum (that of the zip format), and a damaged one is computed again. Several
processes may use one folder.
"""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from experiments.sample_synthesis.objects.masks import quantised
from experiments.sample_synthesis.objects.types import MaskProvider
from suite.arrays import write_arrays


def entry_name(provider_key: str, picture: np.ndarray) -> str:
    """Hex SHA-256 that names the mask of a picture uint8 (S, S, channels)."""
    digest = hashlib.sha256(f"{provider_key}\0{picture.dtype}{picture.shape}\0".encode())
    digest.update(np.ascontiguousarray(picture))
    return digest.hexdigest()


class MaskCache:
    """A folder of masks uint8 (S, S). `counts`: found, computed, damaged."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.counts: Counter[str] = Counter()

    def path(self, name: str) -> Path:
        """Where an entry lies."""
        return self.folder / name[:2] / f"{name}.npz"

    def get(self, name: str, shape: tuple[int, ...]) -> np.ndarray | None:
        """The mask, uint8 of the wanted shape; None where there is none or it is damaged."""
        path = self.path(name)
        try:
            with np.load(path, allow_pickle=False) as entry:
                mask = entry["mask"]
        except FileNotFoundError:
            return None
        except (OSError, ValueError, LookupError, EOFError, zipfile.BadZipFile, zlib.error):
            self.counts["damaged"] += 1
            return None
        if mask.dtype != np.uint8 or mask.shape != shape:
            self.counts["damaged"] += 1
            return None
        return mask

    def put(self, name: str, mask: np.ndarray) -> None:
        """Keep a mask."""
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_arrays(path, mask=mask)


def predict_masks(
    pictures: np.ndarray,
    provider: MaskProvider,
    cache: MaskCache,
    *,
    batch: int,
    check_stop: Callable[[], None] = lambda: None,
) -> np.ndarray:
    """Masks uint8 (n, S, S), 0..255, of pictures uint8 (n, S, S, 3 or 4); only what the cache lacks is
    computed, `batch` pictures a call.

    Raises Stopped by way of `check_stop`, asked between two calls, when what is computed is kept.
    """
    masks = np.zeros(pictures.shape[:3], np.uint8)
    rows_of: dict[str, list[int]] = {}
    for row, picture in enumerate(pictures):
        rows_of.setdefault(entry_name(provider.key, picture), []).append(row)
    missing = []
    for name, rows in rows_of.items():
        mask = cache.get(name, masks.shape[1:])
        if mask is None:
            missing.append(name)
        else:
            masks[rows] = mask
            cache.counts["found"] += 1
    for start in range(0, len(missing), batch):
        check_stop()
        names = missing[start : start + batch]
        fresh = quantised(provider.masks(pictures[[rows_of[name][0] for name in names]]))
        for name, mask in zip(names, fresh, strict=True):
            cache.put(name, mask)
            masks[rows_of[name]] = mask
        cache.counts["computed"] += len(names)
    return masks
