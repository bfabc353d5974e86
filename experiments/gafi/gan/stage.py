"""The stage `train-gan`: one GAN per shard, each with its own seed (GaFi, section 3).

A shard's folder is a run folder (checkpoints.py): `checkpoints/`, `last_epoch/` and perhaps `images/`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from experiments.gafi.config import gan_seed

if TYPE_CHECKING:
    from suite.stage import Context


def run(ctx: Context, *, classifier: Path | None = None) -> None:
    """Train GAN number `ctx.shard` on the training pictures, with the validation pictures where
    `DATA.merge_train_val` is set (published).

    classifier: folder of the classifier of real pictures, for `compute_metrics` and
    `compute_classifier_stats`; a run has none yet at this stage, and measures in `evaluate`.
    """
    from experiments.gafi.nn import backend

    config = ctx.config
    backend.setup(threads=config.COMPUTE.threads, device=ctx.device)

    from experiments.gafi.data.dataset import read_dataset
    from experiments.gafi.gan.train import GanTrainer, Hooks, train

    data = config.gan.DATA
    dataset = read_dataset(ctx.inputs["import"], data, merged=data.merge_train_val)
    seed = gan_seed(config, ctx.shard or 0, ctx.seed)
    trainer = GanTrainer(
        config.gan, config.COMPUTE, num_classes=dataset.num_classes, channels=dataset.channels, seed=seed
    )
    meter = None
    if config.gan.RUN.compute_metrics or config.gan.RUN.compute_classifier_stats:
        if classifier is None:
            ctx.warn("gan.RUN.compute_* are for a GAN by hand; in a run, `evaluate` measures")
        else:
            from experiments.gafi.gan.meter import EpochMeter

            meter = EpochMeter(config, dataset, trainer.networks.generator, classifier=classifier, seed=seed)
    hooks = Hooks(check_stop=ctx.check_stop, progress=ctx.progress, event=ctx.event, meter=meter)
    result = train(trainer, dataset.x_train, dataset.y_train, folder=ctx.out, work=ctx.work, hooks=hooks)
    ctx.count("epochs", result.epochs)
    ctx.count("steps", result.steps)
    ctx.facts |= {
        "gan_seed": seed,
        "first_step_seconds": result.first_step_seconds,
        "step_seconds": result.step_seconds,
        "images_per_second": result.images_per_second,
    }
