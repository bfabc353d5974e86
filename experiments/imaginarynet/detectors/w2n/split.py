"""The split of W2N: which instances are trusted for classification, which for box regression.

Each task ranks all instances of the training set by a figure of its own, the classification loss of the box
and its spread under jitter, and trusts those with the smallest (paper, section 3; the two split files of the
published code hold about 7,000 instances each). Whether the paper ranks within classes is not published:
`per_class` is ours.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from experiments.imaginarynet.detectors.w2n.labels import NoisyLabels


def split(labels: NoisyLabels, *, clean_cls: float, clean_reg: float, per_class: bool) -> NoisyLabels:
    """The same labels, split by `loss` and `sigma`; `clean_cls`, `clean_reg` as `count` of `smallest`."""
    groups = labels.labels if per_class else None
    return replace(
        labels,
        clean_cls=smallest(labels.loss, clean_cls, groups),
        clean_reg=smallest(labels.sigma, clean_reg, groups),
    )


def smallest(values: np.ndarray, count: float, groups: np.ndarray | None = None) -> np.ndarray:
    """bool (n,): the `count` smallest of `values`, or that share of them where it is at most 1.

    Of equal values the first wins; NaN is never among them. groups: int (n,); the same share is taken of each
    group, rounded up, so that none is left without.
    """
    share = min(1.0, count if count <= 1 else count / max(1, len(values)))
    kept = np.zeros(len(values), bool)
    for rows in [np.arange(len(values))] if groups is None else _rows_of(groups):
        number = int(np.ceil(share * len(rows) - 1e-9))  # 0.07 * 100 is 7.000000000000001
        kept[rows[np.argsort(values[rows], kind="stable")[:number]]] = True
    return kept & ~np.isnan(values)


def _rows_of(groups: np.ndarray) -> list[np.ndarray]:
    return [np.flatnonzero(groups == group) for group in np.unique(groups)]
