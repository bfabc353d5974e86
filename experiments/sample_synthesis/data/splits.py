"""Who is in which split, and which N training images an experiment sees.

The published splits were drawn from NumPy's old global generator, seeded. `RandomState(seed)` draws the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from experiments.sample_synthesis.data.types import SPLITS, RealSet
from suite.errors import BadInput

SEED = 2020  # published: of the subsets, and of the QR validation images
PUBLISHED = {  # images per split (published code; FDDB's test: its total 2845 less the others)
    "qr_csv": {"train": 467, "valid": 100, "test": 100},
    "fddb": {"train": 1449, "valid": 581, "test": 815},
    "cub": {"train": 10_345, "valid": 1000, "test": 443},
    "cars": {"train": 7144, "valid": 1000, "test": 8041},
}


def permutation(num: int, seed: int) -> np.ndarray:
    """0 .. num - 1 in the published order, int64 (num,)."""
    return np.random.RandomState(seed).permutation(num).astype(np.int64)


def subset(
    num_train: int, n: int, *, seed: int = SEED, first_rows: bool = False, rows: np.ndarray | None = None
) -> np.ndarray:
    """Which n of the training images are used: positions, int64 (n,).

    The first n of one permutation of all: subsets are nested, and the same in every run (published).
    first_rows: the n that come first in the list that they were taken from, as the published pretraining
    ablation does; `rows` int64 (num_train,) are their places there (RealSet.rows), by default their order.
    """
    if not 1 <= n <= num_train:
        raise BadInput(f"a subset of {n} of {num_train} training images", fix=f"choose 1 to {num_train}")
    if first_rows:
        return np.arange(n) if rows is None else np.argsort(rows, kind="stable")[:n]
    return permutation(num_train, seed)[:n]


def hold_out(num: int, num_valid: int, *, seed: int = SEED) -> tuple[np.ndarray, np.ndarray]:
    """Positions of training and validation images: the first num_valid of the permutation validate, the
    others train, in permuted order (published for QR codes). Raises BadInput where nothing would be left to
    train on.
    """
    if not 0 < num_valid < num:
        raise BadInput(f"{num_valid} validation images of {num}", fix=f"choose 1 to {num - 1}")
    order = permutation(num, seed)
    return order[num_valid:], order[:num_valid]


def keep_first(real: RealSet, num: int | None) -> RealSet:
    """The first `num` images of a split with their boxes; None: all."""
    if num is None or num >= len(real):
        return real
    return select(real, np.arange(num))


def select(real: RealSet, positions: np.ndarray) -> RealSet:
    """The images at these positions, numbered anew in that order."""
    images, annotations = [], []
    for number, position in enumerate(positions, start=1):
        image = real.coco.images[int(position)]
        images.append(replace(image, id=number))
        for annotation in real.coco.annotations_by_image[image.id]:
            annotations.append(replace(annotation, id=len(annotations) + 1, image_id=number))
    coco = replace(real.coco, images=tuple(images), annotations=tuple(annotations))
    return replace(real, coco=coco)


def check_disjoint(sets: Mapping[str, RealSet]) -> None:
    """Raises BadInput where two splits hold the same file."""
    seen: dict[str, str] = {}
    for split, real in sets.items():
        for path in real.paths():
            other = seen.setdefault(str(path), split)
            if other != split:
                raise BadInput(
                    f"is in the splits {other} and {split}", file=path, fix="keep it in one of them"
                )


def differences(sets: Mapping[str, RealSet]) -> tuple[str, ...]:
    """Where the numbers of images are not the published ones, one sentence each; stand-ins and your own data
    have no published numbers.
    """
    source = next(iter(sets.values())).source
    published = PUBLISHED.get(source)
    if published is None:
        return ()
    counts = {split: len(sets[split]) for split in SPLITS if split in sets}
    return tuple(
        f"{source}: {counts[split]} images in {split}, published {published[split]}"
        for split in counts
        if counts[split] != published[split]
    )
