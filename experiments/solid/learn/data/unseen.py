"""Models that pre-training never sees: `pretrain.held_out_models` of them (0 as published).

They are spread evenly over the class table, because its order has a meaning (ShapeNet's list is sorted by
category, so that its last models are all of one kind). A picture that shows one of them is not trained on:
to leave out its box alone would teach the detector that the object is background. Their query pictures are
not used either; their rows of the bank keep their random start, as those of a class that was not yet drawn.
"""

from __future__ import annotations

import numpy as np

from experiments.solid.learn.data.index import StoreIndex
from suite.errors import BadInput


def unseen_classes(num_classes: int, count: int) -> np.ndarray:
    """(C,) bool, `count` of them true: classes floor((k + 1/2) C / count). BadInput if none is left."""
    if not 0 <= count < num_classes:
        what = f"pretrain.held_out_models={count} of {num_classes} models leaves none to train on"
        raise BadInput(what, fix="lower pretrain.held_out_models")
    unseen = np.zeros(num_classes, dtype=bool)
    unseen[(2 * np.arange(count) + 1) * num_classes // (2 * count) if count else []] = True
    return unseen


def shows(index: StoreIndex, rows: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """(n,) bool: whether target `rows[i]` shows one of the `classes` (C,) bool."""
    found = np.concatenate([[0], np.cumsum(classes[index.boxes[:, 4]])])
    places = np.searchsorted(index.rows, rows)
    return found[index.offsets[places + 1]] > found[index.offsets[places]]


def seen_rows(index: StoreIndex, held_out: int, held_out_models: int) -> np.ndarray:
    """Targets to train on: not among the last `held_out`, and without an unseen model. BadInput if none."""
    rows = index.train_rows(held_out)
    rows = rows[~shows(index, rows, unseen_classes(index.num_classes, held_out_models))]
    if not len(rows):
        what = f"held_out_models={held_out_models}: every picture shows one of them, none is left to train on"
        raise BadInput(what, file=index.path, fix="lower pretrain.held_out_models, or render more targets")
    return rows


def unseen_rows(index: StoreIndex, held_out_models: int, *, most: int) -> np.ndarray:
    """The first `most` targets that show an unseen model with a query; none of them is trained on."""
    unseen = unseen_classes(index.num_classes, held_out_models) & index.has_query
    rows = np.asarray(index.rows)
    return rows[shows(index, rows, unseen)][:most]
