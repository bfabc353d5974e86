"""Hand-made candidates and results for the tests of the search."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from experiments.gafi.search.chain import Chain
from experiments.gafi.search.ledger import (
    Candidate,
    CandidateResult,
    EpochRow,
    Generation,
    Source,
    write_result,
)

SOURCE = Source(gan="G_seed1", index=0, generator="a" * 64, epoch=150, stddev=1.0, threshold=0.0)
CANDIDATE = Candidate(
    step="ckpt", sources=(SOURCE,), classifier="b" * 64, recycle_every=10, class_samples=4000, epochs=2,
    seed=42, split="val", settings="c" * 64,
)  # fmt: skip
CHAIN = Chain(
    gan="G_seed1", index=0, checkpoints={e: f"{e:064d}" for e in (10, 20, 30)}, classifier="b" * 64,
    epochs_grid=(10, 20, 30), stddev_grid=(1.0, 1.2), threshold_grid=(0.0, 0.5), class_samples=4,
    search_every=10, best_every=1, recycle_factor=1.0, search_epochs=2, best_epochs=3, seed=42,
    common_random_numbers=True, split="val", settings="c" * 64,
)  # fmt: skip


def result_of(candidate: Candidate, score: float = 0.5) -> CandidateResult:
    """A result of two epochs whose second is the best."""
    history = (
        EpochRow(
            epoch=1, lr=0.1, renewal=0, loss=2.25, accuracy=0.1, split_loss=2.0, split_accuracy=score / 2
        ),
        EpochRow(
            epoch=2, lr=0.1, renewal=0, loss=0.1 + 0.2, accuracy=0.2, split_loss=1.5, split_accuracy=score
        ),
    )
    made = Generation(
        renewal=0, source=0, drawn=(9, 8), accepted=(5, 5), rounds=(2, 2), fallback=(0, 0), duplicates=0
    )
    return CandidateResult(
        candidate=candidate, score=score, best_epoch=2, history=history, generations=(made,),
        weights={"best.npz": "d" * 64},
    )  # fmt: skip


def by_hand(folder: Path):
    """Where the results of a pipeline by hand lie: one folder per step."""
    return lambda step, at: folder / step


def finish(chain: Chain, step: str, folder: Path, scores: list[float], best: Source | None = None) -> None:
    """Write a result for each candidate of a step."""
    candidates = chain.candidates(step, best)
    for (at, candidate), score in zip(candidates.items(), scores, strict=True):
        home = by_hand(folder)(step, at) / candidate.name
        home.mkdir(parents=True)
        write_result(home, result_of(candidate, score))


def other(candidate: Candidate, **changes) -> Candidate:
    """The candidate with changed fields, of its source where it has them."""
    own = {k: v for k, v in changes.items() if k in Candidate.__dataclass_fields__}
    of_source = {k: v for k, v in changes.items() if k not in own}
    return replace(candidate, sources=(replace(candidate.source, **of_source),), **own)
