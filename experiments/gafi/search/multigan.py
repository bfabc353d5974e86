"""MultiGAN: one classifier from the pictures of several GANs, each at its own best (GaFi, MultiGAN).

Every set is new, and each generator makes class_samples // N pictures of a class of it with its own standard
deviation and threshold; with `one_gan_for_epoch` it makes them all, and the next one makes the next set.
Published code fails there at the second set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.gafi.gan.checkpoints import list_checkpoints
from experiments.gafi.nn import backend
from experiments.gafi.search.candidate import run_candidate
from experiments.gafi.search.chain import check_same
from experiments.gafi.search.inputs import Gan, Inputs
from experiments.gafi.search.ledger import (
    Candidate,
    CandidateResult,
    Source,
    read_ledger,
    read_result,
    write_tables,
)
from experiments.gafi.search.plan import FOLDERS
from experiments.gafi.search.selection import best_result
from experiments.gafi.search.stages import hooks_of, inputs_of
from experiments.gafi.search.steps import Hooks, conclude, tell
from suite.errors import BadInput
from suite.manifest import write_json

if TYPE_CHECKING:
    from suite.stage import Context

RUN_CONFIG = "run_config.json"


def run(ctx: Context) -> None:
    """The stage `run-multigan`."""
    config = ctx.config
    backend.setup(threads=config.COMPUTE.threads, device=ctx.device)
    inputs = inputs_of(ctx, config.multigan)
    sources = [best_source(ctx.inputs["best"] / f"{gan.index:05d}", gan) for gan in inputs.gans]
    run_multigan(ctx.out, inputs, sources, work=ctx.work, hooks=hooks_of(ctx))


def best_candidate(search: Path) -> Candidate:
    """The candidate of the step `best` of a GAN's search in folder `search`. Raises BadInput without one."""
    rows = read_ledger(search / FOLDERS["best"])
    if not rows:
        raise BadInput("holds no result of the step best", file=search, fix="run the step best first")
    return best_result(rows).candidate


def best_source(search: Path, gan: Gan) -> Source:
    """What the search of a GAN chose, as a source of the MultiGAN in which it is number `gan.index`."""
    return replace(best_candidate(search).source, gan=gan.name, index=gan.index)


def candidate_of(inputs: Inputs, sources: Sequence[Source]) -> Candidate:
    """The MultiGAN of these sources."""
    config, script = inputs.config, inputs.script
    common = config.SEARCH.common_random_numbers
    return Candidate(
        step="multigan", sources=tuple(sources), classifier=inputs.classifier_digest,
        recycle_every=config.RECYCLE.best, in_turn=script.PIPELINE.one_gan_for_epoch,
        sharing=config.SAMPLING.multigan_streams, class_samples=inputs.class_samples,
        epochs=script.OPTIMIZATION.epochs, seed=inputs.seed, stream="" if common else "multigan",
        split=config.SEARCH.selection_split, settings=inputs.settings_key(),
    )  # fmt: skip


def run_multigan(
    folder: Path, inputs: Inputs, sources: Sequence[Source], *, work: Path, hooks: Hooks | None = None
) -> CandidateResult:
    """Train the MultiGAN in `folder`, or read its result if it is there.

    folder: gets what a candidate's folder holds, the tables of a step, and `run_config.json`. Raises BadInput
    for a folder that holds another one, which stays intact.
    """
    hooks, candidate = hooks or Hooks(), candidate_of(inputs, sources)
    result = read_result(folder)
    if result is None:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / RUN_CONFIG, run_config(inputs, candidate))
        with hooks.progress(candidate.epochs) as bar:
            result = run_candidate(
                candidate, inputs.open(), folder=folder, work=work, check_stop=hooks.check_stop,
                progress=lambda row: bar.advance() if bar else None,
            )  # fmt: skip
        tell(result, hooks)
    check_same(result, candidate, folder)
    write_tables(folder, [result])
    conclude([result], hooks)
    return result


def run_config(inputs: Inputs, candidate: Candidate) -> dict[str, object]:
    """What `run_config.json` holds: seed, epoch, standard deviation and threshold of each GAN."""
    seeds = {gan.index: list_checkpoints(gan.folder).seed for gan in inputs.gans}
    gans = [
        {
            "name": source.gan,
            "seed": seeds[source.index],
            "epoch": source.epoch,
            "stddev": source.stddev,
            "threshold": source.threshold,
            "generator_sha256": source.generator,
        }
        for source in candidate.sources
    ]
    share = candidate.class_samples if candidate.in_turn else candidate.class_samples // max(len(gans), 1)
    return {"gans": gans, "class_samples_of_each": share, "one_gan_for_epoch": candidate.in_turn}
