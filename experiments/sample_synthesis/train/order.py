"""In which order a training sees its items: integers made on the host, before the first step.

The order of a whole training is a function of (seed, name of the cell) alone, and that of a longer training
begins with that of a shorter one, so going on after a kill is taking the rest of the array.

`buffer`: published code: the set is repeated without end, then drawn through a shuffle buffer of 100 items.
The order stays close to that of the files: 1,000 steps of 16 touch only about the first 16,100 items, and
of a set with fewer than 100 items the buffer holds several copies.
`permutation`: ours: one full permutation after the other, so all items are seen equally often.
"""

from __future__ import annotations

import numpy as np

from suite.seeds import item_rng

SHUFFLE_BUFFER = 100  # published code
ORDERS = ("buffer", "permutation")


def item_order(num_items: int, count: int, *, seed: int, name: str, order: str = "buffer") -> np.ndarray:
    """Positions int64 (count,) in [0, num_items) of the items of a training, in the order it sees them.

    seed, name: of the run and of the cell. order: one of ORDERS. Raises ValueError for an empty set.
    """
    if num_items < 1:
        raise ValueError("an empty set has no order")
    stream = f"train.order.{name}"
    if order == "buffer":
        return shuffled_by_buffer(num_items, count, item_rng(seed, stream, 0))
    if order != "permutation":
        raise ValueError(f"order `{order}` is none of {ORDERS}")
    passes = -(-count // num_items)
    parts = [item_rng(seed, stream, one).permutation(num_items) for one in range(passes)]
    return np.concatenate([*parts, np.zeros(0, dtype=np.int64)])[:count].astype(np.int64)


def shuffled_by_buffer(
    num_items: int, count: int, rng: np.random.Generator, *, buffer_size: int = SHUFFLE_BUFFER
) -> np.ndarray:
    """int64 (count,): items 0, 1, ..., num_items - 1, 0, 1, ... drawn through a buffer of `buffer_size`."""
    slots = (np.arange(buffer_size) % num_items).tolist()
    drawn = []
    for place, slot in enumerate(rng.integers(buffer_size, size=count).tolist()):
        drawn.append(slots[slot])
        slots[slot] = (buffer_size + place) % num_items
    return np.array(drawn, dtype=np.int64)


def mixed_order(
    num_real: int, num_synthetic: int, count: int, *, factor: int, seed: int, name: str,
    order: str = "buffer", real_only: bool = False,
) -> np.ndarray:  # fmt: skip
    """Order of the arm `mixed` over the real items followed by the synthetic ones: int64 (count,).

    Each draw is a real item with probability 1 / (1 + factor), independently; below `num_real` a position is
    a real item, above it a synthetic one. real_only: compat; the published code repeats the real set without
    end before it appends the synthetic one, which is therefore never reached.
    """
    real = item_order(num_real, count, seed=seed, name=f"{name}.real", order=order)
    if real_only:
        return real
    synthetic = item_order(num_synthetic, count, seed=seed, name=f"{name}.synthetic", order=order)
    is_real = item_rng(seed, f"train.mix.{name}", 0).random(count) < 1 / (1 + factor)
    # Each source goes on where it was: the k-th real draw is the k-th of the real order.
    merged = np.empty(count, dtype=np.int64)
    merged[is_real] = real[: is_real.sum()]
    merged[~is_real] = num_real + synthetic[: count - is_real.sum()]
    return merged
