"""Controls: the best candidate of the first GAN again, with one thing changed in each arm.

unfiltered  no picture is rejected: what the filter is worth
fixed       the first set stays: what renewing it is worth
shuffled    labels permuted within each set: must end near chance, or the evaluation is wrong
real        all real training pictures instead of generated ones: must reach what C_real reaches
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from experiments.gafi.nn import backend
from experiments.gafi.search.candidate import run_candidate
from experiments.gafi.search.ledger import Candidate, read_result, write_tables
from experiments.gafi.search.multigan import best_candidate
from experiments.gafi.search.plan import ARMS
from experiments.gafi.search.stages import hooks_of, inputs_of
from experiments.gafi.search.steps import conclude, tell

if TYPE_CHECKING:
    from suite.stage import Context


def run(ctx: Context) -> None:
    """The stage `controls`: one arm per shard, in the folder of the arm's name."""
    config, arm = ctx.config, ARMS[ctx.shard or 0]
    backend.setup(threads=config.COMPUTE.threads, device=ctx.device)
    candidate = candidate_of(arm, best_candidate(ctx.inputs["best"] / f"{0:05d}"))
    hooks, folder = hooks_of(ctx), ctx.out / arm
    result = read_result(folder)
    if result is None:
        with hooks.progress(candidate.epochs) as bar:
            result = run_candidate(
                candidate, inputs_of(ctx, config.pipeline).open(), folder=folder, work=ctx.work,
                check_stop=hooks.check_stop, progress=lambda row: bar.advance(),
            )  # fmt: skip
        tell(result, hooks)
    write_tables(ctx.out, [result])
    conclude([result], hooks)


def candidate_of(arm: str, best: Candidate) -> Candidate:
    """An arm's candidate: all is as in `best` but for one thing."""
    if arm == "unfiltered":
        return replace(best, step=arm, sources=(replace(best.source, threshold=None),))
    if arm == "fixed":
        return replace(best, step=arm, recycle_every=0)
    if arm == "shuffled":
        return replace(best, step=arm, labels="shuffled")
    if arm == "real":
        return replace(best, step=arm, sources=(), classifier="", recycle_every=0)
    raise ValueError(f"no control {arm!r}")
