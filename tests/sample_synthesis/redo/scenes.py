"""Pictures with known masks: a filled shape of one colour near the middle of a plain background."""

from __future__ import annotations

import numpy as np

from suite.seeds import item_rng


def scenes(count: int, *, side: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Pictures uint8 (n, side, side, 3) and true masks bool (n, side, side); item i depends on (seed, i)."""
    pairs = [scene(item_rng(seed, "test.redo.scene", i), side) for i in range(count)]
    return np.stack([picture for picture, _ in pairs]), np.stack([mask for _, mask in pairs])


def scene(rng: np.random.Generator, side: int) -> tuple[np.ndarray, np.ndarray]:
    """A super-ellipse between disc and rectangle; colours at least 100 apart in some channel."""
    rows, columns = (np.mgrid[:side, :side] + 0.5) / side
    centre, axes = rng.uniform(0.3, 0.7, 2), rng.uniform(0.15, 0.28, 2)
    power = rng.uniform(2, 6)
    distance = (
        np.abs((columns - centre[0]) / axes[0]) ** power + np.abs((rows - centre[1]) / axes[1]) ** power
    )
    mask = distance <= 1
    colours = rng.integers(0, 256, (2, 3))
    while np.abs(colours[0] - colours[1]).max() < 100:
        colours = rng.integers(0, 256, (2, 3))
    noise = rng.normal(0, 4, (side, side, 3))
    picture = np.where(mask[..., None], colours[0], colours[1]) + noise
    return np.clip(picture, 0, 255).astype(np.uint8), mask
