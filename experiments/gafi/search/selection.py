"""Choosing by a split: the first maximum wins (GaFi, search; published code takes the first row of a tie).

Published code chooses every scalar and the best epoch of every run on the test split, which is then reported.
The difference to an honest choice over the very same runs is what `bias` measures.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from experiments.gafi.search.ledger import CandidateResult


def first_max(values: Sequence[float]) -> int:
    """Position of the first maximum; a NaN is never chosen. Raises ValueError where there is no other."""
    best = None
    for position, value in enumerate(values):
        if not math.isnan(value) and (best is None or value > values[best]):
            best = position
    if best is None:
        raise ValueError("nothing to choose from")
    return best


def best_result(results: Sequence[CandidateResult]) -> CandidateResult:
    """The candidate of the highest score, the first of equals."""
    return results[first_max([result.score for result in results])]


@dataclass(frozen=True, kw_only=True)
class Row:
    """Weights that a choice may fall on: one epoch of one candidate, judged by several splits."""

    candidate: str  # its key or name
    epoch: int  # 1-based, of the classifier's training
    accuracy: Mapping[str, float]  # {split: accuracy in [0, 1]}


def choose(rows: Sequence[Row], split: str) -> Row:
    """The first row of the highest accuracy on `split`. Raises ValueError for no rows."""
    return rows[first_max([row.accuracy[split] for row in rows])]


@dataclass(frozen=True, kw_only=True)
class Bias:
    """What choosing on the split that is reported adds to the reported figure."""

    honest: Row  # chosen by `by`
    flattered: Row  # chosen by `reported` itself
    points: float  # difference of their accuracy on `reported`, times 100; never negative


def bias(rows: Sequence[Row], *, by: str = "val", reported: str = "test") -> Bias:
    """Choose twice over the same rows: what the honest choice may take, the other may, too."""
    honest, flattered = choose(rows, by), choose(rows, reported)
    points = 100 * (flattered.accuracy[reported] - honest.accuracy[reported])
    return Bias(honest=honest, flattered=flattered, points=points)
