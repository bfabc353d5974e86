"""Where the objects of an image go: slots that neither overlap nor touch.

    slots = draw_layout(rng, config.synthesis)     # int32 (n, 4): xmin, ymin, xmax, ymax, right and bottom
    exclusive

`rejection` is the published rule (Sample synthesis, placement): draw the number of objects, then up to
`max_tries` whole layouts of that many; a layout with two intersecting slots is discarded as a whole, and
after `max_tries` of them the number is drawn anew. Large numbers are therefore rare. Here many layouts are
drawn at once and the first acceptable one is taken: the same distribution, from other random numbers.
`sequential` keeps the drawn number: slot after slot at a free place, smaller where none is free.
"""

from __future__ import annotations

import numpy as np

from experiments.sample_synthesis.config_sections import SynthesisConfig
from suite.errors import BadInput

FIRST_ROUNDS = 4  # numbers of objects drawn at once: a QR layout takes 31 tries on average, 10 a number
MAX_ROUNDS = 100_000  # that no layout is found in so many is a setting that leaves no room
SHRINK = 0.8  # of a slot's sides, where no place is free for it (sequential)
LEAST_SIDE = 4  # pixels: no slot is shrunk below


def draw_layout(rng: np.random.Generator, config: SynthesisConfig) -> np.ndarray:
    """Slots of one image, int32 (n, 4) xyxy in pixels, exclusive ends. Raises BadInput where none can be
    found.
    """
    return draw_counted(rng, config)[0]


def draw_counted(rng: np.random.Generator, config: SynthesisConfig) -> tuple[np.ndarray, int]:
    """The same, and the number of layouts that were tried."""
    if config.layout == "sequential":
        return _sequential(rng, config)
    rounds, done = FIRST_ROUNDS, 0
    while done < MAX_ROUNDS:
        numbers = rng.integers(config.min_objects, config.max_objects + 1, rounds)
        slots = _candidates(rng, config, (rounds * config.max_tries, int(numbers.max())))
        counts = np.repeat(numbers, config.max_tries)
        good = np.flatnonzero(~_any_clash(slots, counts))
        if len(good):
            first = good[0]
            tried = done * config.max_tries + int(first) + 1
            return np.ascontiguousarray(slots[first, : counts[first]]), tried
        done += rounds
        rounds = min(4 * rounds, 1024)
    raise _no_room(config)


def _candidates(rng: np.random.Generator, config: SynthesisConfig, shape: tuple[int, ...]) -> np.ndarray:
    """Independent slots of the published size and place distributions, int32 shape + (4,)."""
    size = config.image_size
    wh = _sizes(rng, config, shape)
    low = rng.integers(0, size - wh + 1)  # every place at which the slot is inside
    return np.concatenate([low, low + wh], axis=-1).astype(np.int32)


def _sizes(rng: np.random.Generator, config: SynthesisConfig, shape: tuple[int, ...]) -> np.ndarray:
    """Widths and heights, pixels, int64 shape + (2,): s * sqrt(a) and s / sqrt(a), no more than the image."""
    size = config.image_size
    low = max(1, int(config.min_scale * size))
    scale = rng.integers(low, max(low + 1, int(config.max_scale * size)), shape)
    root = np.sqrt(rng.uniform(config.min_aspect_ratio, config.max_aspect_ratio, shape))
    wh = np.stack([scale * root, scale / root], axis=-1).astype(np.int64)
    return np.clip(wh, 1, size)


def _any_clash(slots: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Of layouts (k, n, 4), whether two of the first `counts` (k,) slots intersect or touch; bool (k,)."""
    first, second = np.triu_indices(slots.shape[1], 1)
    low = np.maximum(slots[:, first, :2], slots[:, second, :2])
    high = np.minimum(slots[:, first, 2:], slots[:, second, 2:])
    clash = (low <= high).all(axis=-1)
    return (clash & (second < counts[:, None])).any(axis=1)  # second > first: both are used


def _sequential(rng: np.random.Generator, config: SynthesisConfig) -> tuple[np.ndarray, int]:
    """As many slots as drawn, each at the first free one of `max_tries` places, shrinking where none is
    free.
    """
    number = int(rng.integers(config.min_objects, config.max_objects + 1))
    for attempt in range(1, MAX_ROUNDS + 1):
        placed = np.zeros((0, 4), np.int32)
        wishes = _sizes(rng, config, (number,))
        largest_first = np.argsort(-wishes.prod(axis=1), kind="stable")  # as it fits hardest
        for wh in wishes[largest_first]:
            slot = _free_place(rng, config, wh, placed)
            if slot is None:
                break
            placed = np.concatenate([placed, slot[None]])
        else:
            return placed[rng.permutation(number)], attempt
    raise _no_room(config)


def _free_place(
    rng: np.random.Generator, config: SynthesisConfig, wh: np.ndarray, placed: np.ndarray
) -> np.ndarray | None:
    """A slot int32 (4,) of size `wh` or smaller, apart from those `placed`; None where there is none."""
    while wh.min() >= min(LEAST_SIDE, config.image_size):
        low = rng.integers(0, config.image_size - wh + 1, (config.max_tries, 2))
        slots = np.concatenate([low, low + wh], axis=1).astype(np.int32)
        corner = np.maximum(slots[:, None, :2], placed[None, :, :2])
        clash = (corner <= np.minimum(slots[:, None, 2:], placed[None, :, 2:])).all(axis=-1).any(axis=1)
        if not clash.all():
            return slots[np.argmin(clash)]
        wh = (wh * SHRINK).astype(np.int64)
    return None


def _no_room(config: SynthesisConfig) -> BadInput:
    what = f"no layout of {config.min_objects}..{config.max_objects} slots that do not touch was found"
    return BadInput(what, fix="lower synthesis.min_objects or synthesis.min_scale")
