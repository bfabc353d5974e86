"""Which candidates are kept: decided from stored probabilities alone, no model.

    selection = select(scores, class_ids, settings)      # settings: the section `filter`
    selection.kept                                       # bool (n,)

top1        the class of the highest probability is the candidate's own, and it is above the threshold,
            strictly (published code, CLIP filter)
margin      top1, and it leads the next class by more than `margin`
multilabel  top1; every further class above `second_threshold` becomes a label of the picture, too
ranked      top1, and of these the first of each class by probability, as many as the class is to have

A higher threshold never adds a picture, whichever the policy. Where two classes share the highest
probability, the first one of the list has it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from experiments.imaginarynet.config_sections import FilterConfig
from suite.errors import BadInput

SUM_TOLERANCE = 1e-3  # of a row of probabilities, which may come from a network in half precision
THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(21))  # of the trade-off


@dataclass(frozen=True, eq=False)
class Selection:
    """What a policy decided about n candidates and C classes."""

    kept: np.ndarray  # bool (n,)
    further: np.ndarray  # bool (n, C): labels of kept pictures besides their own class


def select(
    scores: np.ndarray, class_ids: np.ndarray, settings: FilterConfig, *, quotas: Sequence[int] | None = None
) -> Selection:
    """Decide. scores: (n, C), probabilities. class_ids: (n,), each candidate's own class.

    quotas: (C,), the most pictures of a class; `ranked` alone needs it. Raises BadInput for scores that are
    no probabilities, ValueError for shapes or ids that do not belong together.
    """
    scores = check_scores(scores, class_ids)
    rows = np.arange(len(scores))
    own = scores[rows, class_ids]
    kept = (top_classes(scores) == class_ids) & (own > settings.threshold)
    further = np.zeros(scores.shape, dtype=bool)
    if settings.policy == "margin":
        kept &= own - next_best(scores, class_ids) > settings.margin
    elif settings.policy == "multilabel":
        further = kept[:, None] & (scores > settings.second_threshold)
        further[rows, class_ids] = False
    elif settings.policy == "ranked":
        if quotas is None:
            raise ValueError("the policy `ranked` needs the number of pictures of each class")
        kept = _first_of_each(own, class_ids, kept, quotas)
    return Selection(kept, further)


def check_scores(scores: np.ndarray, class_ids: np.ndarray) -> np.ndarray:
    """The scores as float64. Raises as `select` does."""
    scores, class_ids = np.asarray(scores, dtype=np.float64), np.asarray(class_ids)
    if scores.ndim != 2 or class_ids.shape != (len(scores),) or scores.shape[1] < 1:
        raise ValueError(f"scores {scores.shape} do not belong to class ids {class_ids.shape}")
    if len(scores) and not (0 <= class_ids.min() and class_ids.max() < scores.shape[1]):
        raise ValueError(f"class ids outside of 0..{scores.shape[1] - 1}")
    good = np.isfinite(scores).all(1) & (scores >= 0).all(1)
    good &= np.abs(scores.sum(1) - 1) <= SUM_TOLERANCE
    if not good.all():
        place = int(np.flatnonzero(~good)[0])
        raise BadInput(f"the scores of row {place} are no probabilities", fix="make the scores again")
    return scores


def top_classes(scores: np.ndarray) -> np.ndarray:
    """int64 (n,): the class with the highest probability of each row."""
    return np.argmax(scores, axis=1)


def next_best(scores: np.ndarray, class_ids: np.ndarray) -> np.ndarray:
    """float64 (n,): the highest probability among the other classes; 0 where there is no other one."""
    others = np.array(scores, dtype=np.float64)
    others[np.arange(len(others)), class_ids] = -np.inf
    return np.maximum(others.max(1, initial=-np.inf), 0.0)


def _first_of_each(
    own: np.ndarray, class_ids: np.ndarray, kept: np.ndarray, quotas: Sequence[int]
) -> np.ndarray:
    """The highest of each class among the kept; of equal ones the earlier rows."""
    chosen = np.zeros(len(own), dtype=bool)
    for index, quota in enumerate(quotas):
        rows = np.flatnonzero(kept & (class_ids == index))
        best = rows[np.argsort(-own[rows], kind="stable")]
        chosen[best[: max(0, quota)]] = True
    return chosen


def decision_of(settings: FilterConfig) -> dict[str, Any]:
    """What the manifest says about how a candidate was decided: the policy and the numbers that it uses."""
    own = {"margin": ("margin",), "multilabel": ("second_threshold",)}.get(settings.policy, ())
    names = ("policy", "threshold", *own)
    return {name: getattr(settings, name) for name in names}


# --- what another threshold would give ---


def trade_off(
    scores: np.ndarray,
    class_ids: np.ndarray,
    settings: FilterConfig,
    *,
    quotas: Sequence[int],
    class_names: Sequence[str],
    thresholds: Iterable[float] = THRESHOLDS,
) -> list[dict[str, Any]]:
    """A row per threshold and class, and one over all classes first: what would be kept.

    threshold, class_id (empty: all), class_name, candidates, agree (their own class leads), kept, kept_share
    (None of nothing), short (pictures missing to the class's number), mean_p_label (of the kept; None of
    nothing). The set threshold is always among the rows. Raises as `select` does.
    """
    scores, class_ids = check_scores(scores, class_ids), np.asarray(class_ids)
    agree = top_classes(scores) == class_ids
    own = scores[np.arange(len(scores)), class_ids]
    rows = []
    for threshold in sorted({*thresholds, settings.threshold}):
        kept = select(scores, class_ids, replace(settings, threshold=threshold), quotas=quotas).kept
        found = [
            _row(class_ids == index, kept, agree, own, quota=quotas[index])
            | {"threshold": threshold, "class_id": index, "class_name": name}
            for index, name in enumerate(class_names)
        ]
        total = _row(np.ones(len(own), dtype=bool), kept, agree, own, quota=0)
        total |= {"threshold": threshold, "class_id": None, "class_name": "all"}
        total["short"] = sum(row["short"] for row in found)
        rows += [total, *found]
    order = ("threshold", "class_id", "class_name")
    return [{**{name: row[name] for name in order}, **row} for row in rows]


def _row(
    own_rows: np.ndarray, kept: np.ndarray, agree: np.ndarray, own: np.ndarray, *, quota: int
) -> dict[str, Any]:
    chosen = kept & own_rows
    candidates, number = int(own_rows.sum()), int(chosen.sum())
    return {
        "candidates": candidates,
        "agree": int((agree & own_rows).sum()),
        "kept": number,
        "kept_share": number / candidates if candidates else None,
        "short": max(0, quota - number),
        "mean_p_label": float(own[chosen].mean()) if number else None,
    }
