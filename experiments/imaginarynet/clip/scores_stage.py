"""The stage `scores`: the probability of every class for every picture of a round. No threshold is applied.

candidates.jsonl of a shard: the rows of the same shard of `images`, each picture's with `scores`, `top1` and
`p_label`. A picture that cannot be read fails with its reason, and the others go on; a tar file that is
missing or cut off ends the stage. Where a round has no picture no model is loaded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from experiments.imaginarynet.classes import classes_of, label_of
from experiments.imaginarynet.models import find_model, model_digest
from experiments.imaginarynet.rounds import round_of, stage_name
from experiments.imaginarynet.store.manifest import (
    CANDIDATES,
    Candidate,
    append_rows,
    read_rows,
    read_shards,
    write_rows,
)
from experiments.imaginarynet.store.pictures import Pictures
from suite.errors import BadInput

if TYPE_CHECKING:
    from experiments.imaginarynet.clip.scorer import ClipScorer
    from suite.stage import Context

ROLE = "clip"  # of the digest in the rows


def run(ctx: Context) -> None:
    """Score the candidates of shard `ctx.shard`, or all of them. What a kill left is not scored again."""
    folder = ctx.inputs[stage_name("images", round_of(ctx.stage.name))]
    rows = read_shards(folder) if ctx.shard is None else read_rows(folder / f"{ctx.shard:05d}" / CANDIDATES)
    check_classes(rows, classes_of(ctx.config), folder)
    log = ctx.work / CANDIDATES
    found = _take_up(log, rows)
    left = [row for row in rows if row.status == "done" and row.candidate_id not in found]
    if left:
        pictures = Pictures([folder])
        pictures.check_files(left)  # a whole file that is gone is no matter of single pictures
        scorer, digest = _scorer(ctx)
        with ctx.progress(len(rows), done=len(rows) - len(left)) as bar:
            for part in _batches(left, ctx.config.clip.batch):
                scored = score_rows(scorer, part, pictures, digest=digest)
                append_rows(log, scored)
                found |= {row.candidate_id: row for row in scored}
                bar.advance(len(part))
                ctx.check_stop()
    done = [found.get(row.candidate_id, row) for row in rows]
    write_rows(ctx.out / CANDIDATES, done)
    ctx.count("candidates", len(done))
    ctx.count("scored", sum(row.scores is not None for row in done))
    if failed := sum(row.status == "failed" for row in done):
        ctx.count("failed", failed)
    if unread := sum(row.status == "failed" for row in found.values()):
        ctx.warn(f"{unread} pictures could not be read; the manifest says why")


def check_classes(rows: Sequence[Candidate], names: Sequence[str], folder: Path) -> None:
    """BadInput where rows are of another class list than names: an imported set, say, whose order is its own.

    folder: that the rows are from.
    """
    labels = [label_of(name) for name in names]
    for row in rows:
        if row.class_id >= len(labels) or row.label != labels[row.class_id]:
            what = f"{row.candidate_id} is of {row.class_name!r}, not number {row.class_id} of `classes`"
            fix = "set `classes` to the list that the pictures were made with"
            raise BadInput(what, file=folder, fix=fix)


def score_rows(
    scorer: ClipScorer, rows: Sequence[Candidate], pictures: Pictures, *, digest: str
) -> list[Candidate]:
    """The rows with the scores of their pictures; `failed` where one cannot be read. digest: of the model."""
    readable: dict[str, np.ndarray] = {}
    reasons: dict[str, str] = {}
    for row in rows:
        try:
            readable[row.candidate_id] = pictures.decode(row)
        except BadInput as error:
            reasons[row.candidate_id] = error.what
    scores = dict(zip(readable, scorer.scores(readable.values()), strict=True))
    return [
        with_scores(row, scores[row.candidate_id], digest=digest)
        if row.candidate_id in scores
        else replace(row, status="failed", reason=reasons[row.candidate_id])
        for row in rows
    ]


def with_scores(row: Candidate, scores: np.ndarray, *, digest: str) -> Candidate:
    """A row with its scores, float (C,)."""
    values = tuple(float(value) for value in scores)
    return replace(
        row, scores=values, top1=int(np.argmax(scores)), p_label=values[row.class_id],
        models={**row.models, ROLE: digest},
    )  # fmt: skip


def _scorer(ctx: Context) -> tuple[ClipScorer, str]:
    """The model of the settings and its digest; one for all shards that this process does."""
    import torch

    from experiments.imaginarynet.clip.scorer import shared_scorer

    config = ctx.config
    folder: Path = find_model("clip", config.clip.model)
    digest = model_digest(folder)
    torch.set_num_threads(config.compute.threads)
    device = "cpu" if config.clip.cpu else ctx.device
    return shared_scorer(folder, digest, classes_of(config), config.clip, device), digest


def _take_up(log: Path, rows: Sequence[Candidate]) -> dict[str, Candidate]:
    """What an earlier attempt at this shard scored: rows of the same pictures."""
    if not log.exists():
        return {}
    digests = {row.candidate_id: row.sha256 for row in rows}
    return {
        row.candidate_id: row for row in read_rows(log) if digests.get(row.candidate_id) == row.sha256
    }


def _batches(rows: Sequence[Candidate], size: int) -> Iterator[Sequence[Candidate]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
