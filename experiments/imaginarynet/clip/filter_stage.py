"""The stage `filter`: which candidates of all rounds are kept. Reads stored probabilities, loads no model.

candidates.jsonl   every candidate, by class and number, with its decision
tradeoff.csv       what every threshold would keep, in all and per class (select.trade_off)
confusion.csv      candidates by their own class (rows) and by the class that CLIP puts first (columns)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.imaginarynet.classes import classes_of
from experiments.imaginarynet.clip.select import Selection, decision_of, select, trade_off
from experiments.imaginarynet.counts import class_counts, shortage_line
from experiments.imaginarynet.rounds import quotas
from experiments.imaginarynet.store.manifest import CANDIDATES, Candidate, in_order, read_shards, write_rows
from suite.errors import BadInput
from suite.tables import csv_text

if TYPE_CHECKING:
    from experiments.imaginarynet.config_sections import FilterConfig
    from suite.stage import Context

TRADE_OFF, CONFUSION = "tradeoff.csv", "confusion.csv"
UNFILTERED = {"policy": "none"}  # the decision of a run without the filter


def run(ctx: Context) -> None:
    """The stage. Raises BadInput for rows without scores, or scores of another list of classes."""
    config, names = ctx.config, classes_of(ctx.config)
    wanted = quotas(config, len(names))
    rows = in_order(row for folder in ctx.inputs.values() for row in read_shards(folder))
    if config.clip.enabled:
        scored = [row for row in rows if row.status != "failed"]
        scores, class_ids = score_table(scored, len(names))
        rows = decide(rows, select(scores, class_ids, config.filter, quotas=wanted), config.filter)
        table = trade_off(scores, class_ids, config.filter, quotas=wanted, class_names=names)
        (ctx.out / TRADE_OFF).write_text(csv_text(table), encoding="utf-8")
        (ctx.out / CONFUSION).write_text(csv_text(confusion(scores, class_ids, names)), encoding="utf-8")
    else:
        rows = [row if row.status == "failed" else keep_unfiltered(row) for row in rows]
    write_rows(ctx.out / CANDIDATES, rows)
    counts = class_counts(rows, names, wanted)
    if told := shortage_line(counts):
        ctx.warn(told)
    for status in ("accepted", "rejected", "failed"):
        ctx.count(status, sum(row.status == status for row in rows))
    ctx.count("short", sum(count.shortage for count in counts))


def score_table(rows: Sequence[Candidate], num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """float64 (n, C) scores and int64 (n,) own classes of rows. Raises BadInput where one has none."""
    for row in rows:
        if row.scores is None or len(row.scores) != num_classes or row.class_id >= num_classes:
            have = "no scores" if row.scores is None else f"scores of {len(row.scores)} classes"
            what = f"{row.candidate_id} has {have}, there are {num_classes}"
            raise BadInput(what, fix="score the pictures again with these classes")
    scores = np.array([row.scores for row in rows], dtype=np.float64).reshape(len(rows), num_classes)
    return scores, np.array([row.class_id for row in rows], dtype=np.int64)


def decide(rows: Sequence[Candidate], selection: Selection, settings: FilterConfig) -> list[Candidate]:
    """The rows with their decision. selection: of the rows that did not fail, in their order."""
    decision = decision_of(settings)
    places = iter(range(len(selection.kept)))
    return [
        row if row.status == "failed" else _decided(row, selection, next(places), decision) for row in rows
    ]


def _decided(row: Candidate, selection: Selection, place: int, decision: dict[str, Any]) -> Candidate:
    kept = bool(selection.kept[place])
    further = np.flatnonzero(selection.further[place]).tolist()
    return replace(
        row, status="accepted" if kept else "rejected", kept=kept, decision=decision,
        labels=tuple(sorted({row.class_id, *further})) if further else (),
    )  # fmt: skip


def keep_unfiltered(row: Candidate) -> Candidate:
    """A row of a run without the filter."""
    return replace(row, status="accepted", kept=True, decision=UNFILTERED, labels=())


def confusion(scores: np.ndarray, class_ids: np.ndarray, names: Sequence[str]) -> list[dict[str, Any]]:
    """A row per class: its name, then the number of its candidates that CLIP puts first into each class."""
    count = len(names)
    table = np.zeros((count, count), dtype=np.int64)
    np.add.at(table, (class_ids, np.argmax(scores, axis=1)), 1)
    return [
        {"class_name": name, **{f"top1 {other}": int(value) for other, value in zip(names, row, strict=True)}}
        for name, row in zip(names, table, strict=True)
    ]
