"""One step of the search in one folder: what is finished stays, what an earlier step made is copied.

The same function runs a shard of a stage and a step by hand. In the folder: a folder per candidate
(candidate.py); `ledger.jsonl`, the results in full in the order of the grid; `results.csv` and
`histories.csv` in the published columns; `skipped.csv`, epochs without a checkpoint. The tables are written
anew after every candidate, from the candidates' own files, so that running again adds nothing.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.gafi.config import search_epochs
from experiments.gafi.search.candidate import Bench, open_pool, reuse, run_candidate
from experiments.gafi.search.chain import Chain, Locate, candidates_of, check_same, results_of
from experiments.gafi.search.inputs import Gan, Inputs
from experiments.gafi.search.ledger import Candidate, CandidateResult, read_result, write_tables
from experiments.gafi.search.plan import STEPS
from suite.datasets.coco import write_text
from suite.tables import csv_text

SKIPPED = "skipped.csv"


@dataclass(frozen=True, kw_only=True)
class Hooks:
    """What the caller is told and asked; by default nothing happens."""

    check_stop: Callable[[], None] = lambda: None  # raises Stopped
    progress: Callable[[int], AbstractContextManager[Any]] = lambda total: nullcontext()
    event: Callable[..., None] = lambda name, **facts: None
    warn: Callable[[str], None] = lambda text: None
    count: Callable[[str, int], None] = lambda name, items: None


def chain_of(inputs: Inputs, gan: Gan, *, epochs_grid: Sequence[int]) -> Chain:
    """The chain of one GAN from the settings. epochs_grid: of the first step."""
    config, search = inputs.config, inputs.script.PIPELINE
    return Chain(
        gan=gan.name, index=gan.index, checkpoints=gan.digests(), classifier=inputs.classifier_digest,
        epochs_grid=tuple(epochs_grid), stddev_grid=search.stddev_search,
        threshold_grid=search.threshold_search, class_samples=inputs.class_samples,
        search_every=config.RECYCLE.search, best_every=config.RECYCLE.best,
        recycle_factor=config.RECYCLE.factor, search_epochs=search_epochs(config),
        best_epochs=inputs.script.OPTIMIZATION.epochs, seed=inputs.seed,
        common_random_numbers=config.SEARCH.common_random_numbers, split=config.SEARCH.selection_split,
        settings=inputs.settings_key(),
    )  # fmt: skip


def lazily(inputs: Inputs) -> Callable[[], Bench]:
    """Opens the inputs at the first call: a run that finds all its results trains and compiles nothing."""
    return functools.cache(inputs.open)


def run_step(
    chain: Chain, step: str, bench: Callable[[], Bench], *, folder: Path, work: Path, locate: Locate,
    positions: Sequence[int] | None = None, hooks: Hooks | None = None,
) -> list[CandidateResult]:  # fmt: skip
    """Results of a step, or of some `positions` of its grid, in order; trains what is missing.

    folder: of the candidates' folders and the tables. locate: where the steps before this one lie. Raises
    BadInput where one of them is not finished, and for a ledger of another config, which stays intact.
    """
    hooks, positions = hooks or Hooks(), range(chain.length(step)) if positions is None else positions
    found = candidates_of(chain, step, locate)
    wanted = {found[at].name: found[at] for at in positions if at in found}
    folder.mkdir(parents=True, exist_ok=True)
    _tell_missing(chain, step, positions, folder, hooks)
    results = {name: _finished(candidate, folder / name) for name, candidate in wanted.items()}
    todo = [wanted[name] for name, result in results.items() if result is None]
    earlier = _earlier(chain, step, locate) if todo else {}
    trained = [candidate for candidate in todo if candidate.key not in earlier]
    # Thresholds with latents of their own have the first set alone in common; a pool would keep all others.
    share = step == "threshold" and len(trained) > 1 and chain.common_random_numbers
    pool = open_pool(bench(), trained[0].source) if share else None
    with hooks.progress(sum(candidate.epochs for candidate in trained)) as bar:
        for candidate in todo:
            hooks.check_stop()
            target = folder / candidate.name
            if candidate.key in earlier:
                home, result = earlier[candidate.key]
                result = reuse(candidate, result, source=home, folder=target)
            else:
                result = run_candidate(
                    candidate, bench(), folder=target, work=work, pool=pool, check_stop=hooks.check_stop,
                    progress=lambda row: bar.advance() if bar else None,
                )  # fmt: skip
            results[candidate.name] = result
            tell(result, hooks)
            write_tables(folder, [one for one in results.values() if one is not None])
    rows = [results[name] for name in wanted]
    write_tables(folder, rows)
    conclude(rows, hooks)
    return rows


def _finished(candidate: Candidate, folder: Path) -> CandidateResult | None:
    result = read_result(folder)
    if result is not None:
        check_same(result, candidate, folder)
    return result


def _earlier(chain: Chain, step: str, locate: Locate) -> Mapping[str, tuple[Path, CandidateResult]]:
    """{key: (folder, result)} of all steps before, the first of equal ones."""
    found: dict[str, tuple[Path, CandidateResult]] = {}
    for before in STEPS[: STEPS.index(step)]:
        positions = candidates_of(chain, before, locate)
        for at, result in zip(positions, results_of(chain, before, locate), strict=True):
            found.setdefault(result.key, (locate(before, at) / result.candidate.name, result))
    return found


def tell(result: CandidateResult, hooks: Hooks) -> None:
    """One line on a result that has just come about."""
    kind = "trained" if result.reused_from is None else "reused"
    hooks.event(
        kind, candidate=result.candidate.name, accuracy=f"{result.score:.4f}", epoch=result.best_epoch
    )


def conclude(results: Sequence[CandidateResult], hooks: Hooks) -> None:
    """Counts, and warnings of classes that the fallback had to fill; the same after a kill as without one."""
    for result in results:
        hooks.count("trained" if result.reused_from is None else "reused", 1)
        by_fallback = sum(sum(made.fallback) for made in result.generations)
        if by_fallback:
            name = result.candidate.name
            hooks.warn(f"{name}: {by_fallback} pictures by fallback, their classes were rarely accepted")


def _tell_missing(chain: Chain, step: str, positions: Sequence[int], folder: Path, hooks: Hooks) -> None:
    """Say which epochs are passed over, and keep it beside the tables."""
    missing = [at for at in positions if step == "ckpt" and chain.epochs_grid[at] in chain.missing_epochs]
    rows = [{"epoch": chain.epochs_grid[at], "reason": "no checkpoint"} for at in missing]
    path = folder / SKIPPED
    if not rows:
        path.unlink(missing_ok=True)
        return
    write_text(path, csv_text(rows))
    epochs = ", ".join(str(row["epoch"]) for row in rows)
    hooks.warn(f"{chain.gan}: no checkpoint of epoch {epochs}; passed over")
