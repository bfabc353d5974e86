"""The stages `ckpt`, `stddev`, `threshold` and `best`, and the same search by hand in one process.

A shard holds some consecutive candidates of one GAN, in the published folder of its step:

    <stage>/<shard>/ckpt_optimization/{ledger.jsonl,results.csv,histories.csv,<candidate>/...}

The shard of `best` also gets the tables of the steps before it: it holds the published tables of its GAN.
A killed shard goes on at the epoch that it had reached.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.gafi.config import ckpt_epochs, effective_seed, gan_seed
from experiments.gafi.names import gan_name
from experiments.gafi.nn import backend
from experiments.gafi.search.chain import Chain, Locate, results_of
from experiments.gafi.search.inputs import Gan, Inputs
from experiments.gafi.search.ledger import CandidateResult, write_tables
from experiments.gafi.search.plan import FOLDERS, STEPS, parse_steps, shard_of
from experiments.gafi.search.steps import Hooks, chain_of, lazily, run_step
from experiments.gafi.stages import step_shards
from suite.errors import BadInput
from suite.manifest import read_json, write_json

if TYPE_CHECKING:
    from experiments.gafi.data.dataset import Dataset
    from suite.stage import Context

SETTINGS = "settings.json"  # of a search by hand: what its ledger was made with
WORK = ".work"


def run_ckpt(ctx: Context) -> None:
    """The stage `ckpt`: candidates that differ in the epoch of the GAN."""
    _run_shard(ctx, "ckpt")


def run_stddev(ctx: Context) -> None:
    """The stage `stddev`: candidates that differ in the standard deviation of the latent vectors."""
    _run_shard(ctx, "stddev")


def run_threshold(ctx: Context) -> None:
    """The stage `threshold`: candidates that differ in the confidence that a picture must have."""
    _run_shard(ctx, "threshold")


def run_best(ctx: Context) -> None:
    """The stage `best`: one classifier of each GAN, with what was chosen."""
    chain, locate = _run_shard(ctx, "best")
    for step in STEPS[:-1]:
        folder = ctx.out / FOLDERS[step]
        folder.mkdir(exist_ok=True)
        write_tables(folder, results_of(chain, step, locate))


def inputs_of(ctx: Context, script: Any) -> Inputs:
    """What a stage reads, with all GANs of the run. script: config.pipeline or config.multigan."""
    from experiments.gafi.data.dataset import read_dataset

    config = ctx.config
    dataset = read_dataset(
        ctx.inputs["import"], script.DATA, merged=script.DATA.merge_train_val,
        as_uint8=not script.DATA.dequantize,
    )  # fmt: skip
    return Inputs(
        config=config, script=script, dataset=dataset, classifier=ctx.inputs["train-classifier"],
        gans=gans_of(ctx), seed=effective_seed(script.RUN, ctx.seed),
    )  # fmt: skip


def gans_of(ctx: Context) -> tuple[Gan, ...]:
    """The GANs of the run, in the order of COMPUTE.gan_seeds."""
    seeds = [gan_seed(ctx.config, index, ctx.seed) for index in range(len(ctx.config.COMPUTE.gan_seeds))]
    return tuple(
        Gan(
            name=gan_name(ctx.config.gan, seed=seed), index=index,
            folder=ctx.inputs["train-gan"] / f"{index:05d}",
        )
        for index, seed in enumerate(seeds)
    )  # fmt: skip


def hooks_of(ctx: Context) -> Hooks:
    """The context of a stage as hooks."""
    return Hooks(
        check_stop=ctx.check_stop, progress=ctx.progress, event=ctx.event, warn=ctx.warn, count=ctx.count
    )


def _run_shard(ctx: Context, step: str) -> tuple[Chain, Locate]:
    config = ctx.config
    backend.setup(threads=config.COMPUTE.threads, device=ctx.device)
    inputs = inputs_of(ctx, config.pipeline)
    shard = step_shards(config, step)[ctx.shard or 0]
    chain = chain_of(inputs, inputs.gans[shard.gan], epochs_grid=ckpt_epochs(config))

    def locate(earlier: str, at: int) -> Path:
        number = shard_of(
            shard.gan, at, num_candidates=chain.length(earlier), per_shard=config.SEARCH.candidates_per_shard
        )
        return ctx.inputs[earlier] / f"{number:05d}" / FOLDERS[earlier]

    run_step(
        chain, step, lazily(inputs), folder=ctx.out / FOLDERS[step], work=ctx.work, locate=locate,
        positions=range(shard.start, shard.stop), hooks=hooks_of(ctx),
    )  # fmt: skip
    return chain, locate


# --- by hand ---


def run_pipeline(
    folder: Path, steps: str | Sequence[str], *, config: Any, dataset: Dataset, gan: Path, gan_name: str,
    classifier: Path, seed: int, check_model: bool = False, hooks: Hooks | None = None,
) -> dict[str, list[CandidateResult]]:  # fmt: skip
    """The named steps of one GAN's search in `folder`, in their order; {step: results}.

    Steps one at a time give what `all` gives; a second run trains nothing and adds no row.
    folder: gets a published folder per step.
    config: has `pipeline`, `gan`, SAMPLING, SEARCH, RECYCLE, COMPUTE, and with check_model `classifier`.
    gan: folder with `checkpoints`. classifier: folder that train-classifier wrote. seed: effective seed.
    `backend.setup` must have been called. Raises BadInput for a step whose predecessor is not finished, and
    for a ledger of another config, which stays intact.
    """
    steps = parse_steps(steps)
    inputs = Inputs(
        config=config, script=config.pipeline, dataset=dataset, classifier=classifier,
        gans=(Gan(name=gan_name, index=0, folder=gan),), seed=seed, check_model=check_model,
    )  # fmt: skip
    chain = chain_of(inputs, inputs.gans[0], epochs_grid=config.pipeline.PIPELINE.ckpt_epochs)
    folder.mkdir(parents=True, exist_ok=True)
    check_settings(folder / SETTINGS, inputs.settings())
    bench, results, work = lazily(inputs), {}, folder / WORK
    work.mkdir(exist_ok=True)
    for step in steps:
        results[step] = run_step(
            chain, step, bench, folder=folder / FOLDERS[step], work=work, hooks=hooks,
            locate=lambda earlier, at: folder / FOLDERS[earlier],
        )  # fmt: skip
    shutil.rmtree(work)
    return results


def check_settings(path: Path, settings: Mapping[str, Any]) -> None:
    """Keep the settings of a ledger beside it. Raises BadInput where other ones stand there already."""
    found = read_json(path)
    if found is None:
        write_json(path, settings)
        return
    there, here = _flat(found), _flat(settings)
    differs = [name for name in sorted({*there, *here}) if there.get(name) != here.get(name)]
    if differs:
        name = differs[0]
        what = f"a ledger of another config: {name} was {there.get(name)}, is {here.get(name)}"
        fix = "go back to those settings, or choose another RUN.extra_name or folder"
        raise BadInput(what, file=path.parent, fix=fix)


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = list(value) if isinstance(value, tuple) else value
    return flat
