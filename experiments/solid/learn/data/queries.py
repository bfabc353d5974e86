"""Which classes are queried in a step, and their pictures.

Source: SOLID code, pre-training loader: the classes on the rank's own pictures first, then others, each side
shuffled, until `num_queries`; one random view per class; the long side resized to `query_size`; no flip, crop
or colour change.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from experiments.solid.learn.data.transforms import resize_query
from experiments.solid.store.reader import SolidStore
from suite.errors import BadInput


@dataclass
class Account:
    """Samples that were asked for, how many could not be read, and what was wrong with the first."""

    drawn: int = 0
    skipped: int = 0
    first_fault: str | None = field(default=None)

    def fault(self, error: BadInput) -> None:
        """Count one unreadable sample."""
        self.skipped += 1
        self.first_fault = self.first_fault or str(error)

    def add(self, other: Account) -> None:
        """Take another account in."""
        self.drawn += other.drawn
        self.skipped += other.skipped
        self.first_fault = self.first_fault or other.first_fault


def query_order(positives: np.ndarray, has_query: np.ndarray, rng: np.random.Generator) -> Iterator[int]:
    """All classes with a query, the positives first, both sides shuffled.

    `positives`: class ids on the pictures; `has_query`: (C,) bool. The negatives are only shuffled where the
    positives do not fill the step: at 52,447 classes that is most of the cost.
    """
    wanted = np.unique(positives)
    wanted = wanted[has_query[wanted]]
    yield from rng.permutation(wanted).tolist()
    others = has_query.copy()
    others[wanted] = False
    yield from rng.permutation(np.flatnonzero(others)).tolist()


def derangement(classes: Sequence[int] | np.ndarray, rng: np.random.Generator) -> dict[int, int]:
    """A random one-cycle over the classes: every class is given another one's picture. BadInput below two."""
    if len(classes) < 2:
        raise BadInput("shuffled queries need two classes with query pictures", fix="render more queries")
    order = rng.permutation(np.asarray(classes)).tolist()
    return dict(zip(order, [*order[1:], order[0]], strict=True))


def read_queries(
    store: SolidStore,
    order: Iterator[int],
    shots: np.ndarray,
    rng: np.random.Generator,
    *,
    num_queries: int,
    size: int,
    account: Account,
    picture_of: dict[int, int] | None = None,
) -> tuple[list[int], list[np.ndarray]]:
    """Class ids and BGR (3, h, w) pictures of the first `num_queries` classes whose picture can be read.

    A view that cannot be read is counted and replaced by another view of its class, a class without any by
    the next one in the order, so fewer come back only where the classes run out. `picture_of`: the class
    whose picture is shown for a class; default its own.
    """
    ids: list[int] = []
    pictures: list[np.ndarray] = []
    for class_id in order:
        if len(ids) == num_queries:
            break
        shown = picture_of[class_id] if picture_of else class_id
        for shot in rng.permutation(np.flatnonzero(shots[shown])).tolist():
            account.drawn += 1
            try:
                pictures.append(resize_query(store.read_query(shown, shot), size))
            except BadInput as error:
                account.fault(error)
                continue
            ids.append(class_id)
            break
    return ids, pictures
