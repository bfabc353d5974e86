"""Controls: the best candidate of the first GAN again, with one thing changed in each arm.

unfiltered  the plain generator, sigma 1 and no picture rejected: what filter and expansion together are worth
fixed       the first set stays: what renewing it is worth
shuffled    labels permuted within each set: must end near chance, or the evaluation is wrong
real        all real training pictures instead of generated ones: must reach what C_real reaches
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from experiments.gafi.nn import backend
from experiments.gafi.search.candidate import Bench, run_candidate
from experiments.gafi.search.ledger import Candidate, CandidateResult, read_result, write_tables
from experiments.gafi.search.multigan import best_candidate
from experiments.gafi.search.plan import arm_shards
from experiments.gafi.search.stages import hooks_of, inputs_of
from experiments.gafi.search.steps import conclude, lazily, tell

if TYPE_CHECKING:
    from suite.stage import Context


def run(ctx: Context) -> None:
    """The stage `controls`: the arms of a shard, each in the folder of its name."""
    config = ctx.config
    backend.setup(threads=config.COMPUTE.threads, device=ctx.device)
    best = best_candidate(ctx.inputs["best"] / f"{0:05d}")
    bench = lazily(inputs_of(ctx, config.pipeline))
    arms = arm_shards(config.SEARCH.candidates_per_shard)[ctx.shard or 0]
    results = [_run_arm(ctx, candidate_of(arm, best), bench) for arm in arms]
    write_tables(ctx.out, results)
    conclude(results, hooks_of(ctx))


def _run_arm(ctx: Context, candidate: Candidate, bench: Callable[[], Bench]) -> CandidateResult:
    """An arm's result, found or made."""
    hooks, folder = hooks_of(ctx), ctx.out / candidate.step
    result = read_result(folder)
    if result is None:
        with hooks.progress(candidate.epochs) as bar:
            result = run_candidate(
                candidate, bench(), folder=folder, work=ctx.work, check_stop=hooks.check_stop,
                progress=lambda row: bar.advance(),
            )  # fmt: skip
        tell(result, hooks)
    return result


def candidate_of(arm: str, best: Candidate) -> Candidate:
    """An arm's candidate: all is as in `best` but for what the arm is about."""
    if arm == "unfiltered":
        return replace(best, step=arm, sources=(replace(best.source, stddev=1.0, threshold=None),))
    if arm == "fixed":
        return replace(best, step=arm, recycle_every=0)
    if arm == "shuffled":
        return replace(best, step=arm, labels="shuffled")
    if arm == "real":
        return replace(best, step=arm, sources=(), classifier="", recycle_every=0)
    raise ValueError(f"no control {arm!r}")
