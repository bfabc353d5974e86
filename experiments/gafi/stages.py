"""GaFi's stages: what each reads, what decides its result, how it is cut into shards."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

from experiments.gafi.config import GafiConfig, ckpt_epochs, is_kept, search_epochs
from experiments.gafi.data.locate import data_state
from experiments.gafi.search.plan import STEPS, Shard, arm_shards, shards
from suite.paths import data_path
from suite.stage import Stage

# Values x 4 bytes of the published networks, for the disk estimate; both grow with the square of their width.
GENERATOR_BYTES, GENERATOR_WIDTH = 4 * (9_338_884 + 40_067), 128
CLASSIFIER_BYTES, CLASSIFIER_WIDTH = 4 * (4_286_026 + 5_504), 64


def dataset_state(config: GafiConfig) -> str | None:
    """What decides the content of the data set's files."""
    folder = config.SUBSET.folder
    return data_state(config.dataset, data_path(folder) if folder else None)


def backend_name(config: GafiConfig) -> str:
    """TensorFlow, or JAX with KERAS_BACKEND=jax: results agree within rounding only, so it enters the key."""
    return os.environ.get("KERAS_BACKEND") or "tensorflow"


# --- shards ---


def num_gans(config: GafiConfig, inputs: Mapping[str, Path] | None = None) -> int:
    """One shard per GAN: train-gan, best."""
    return len(config.COMPUTE.gan_seeds)


def step_shards(config: GafiConfig, step: str) -> tuple[Shard, ...]:
    """The shards of a step of the search: candidates of one GAN each, as the grids say."""
    search = config.pipeline.PIPELINE
    grids = {
        "ckpt": len(ckpt_epochs(config)),
        "stddev": len(search.stddev_search),
        "threshold": len(search.threshold_search),
        "best": 1,
    }
    return shards(num_gans(config), grids[step], config.SEARCH.candidates_per_shard)


def num_ckpt(config: GafiConfig, inputs: Mapping[str, Path] | None = None) -> int:
    """Shards of `ckpt`."""
    return len(step_shards(config, "ckpt"))


def num_stddev(config: GafiConfig, inputs: Mapping[str, Path] | None = None) -> int:
    """Shards of `stddev`."""
    return len(step_shards(config, "stddev"))


def num_threshold(config: GafiConfig, inputs: Mapping[str, Path] | None = None) -> int:
    """Shards of `threshold`."""
    return len(step_shards(config, "threshold"))


def num_arms(config: GafiConfig, inputs: Mapping[str, Path] | None = None) -> int:
    """Shards of `controls`: as many arms in each as the search has candidates in each of its."""
    return len(arm_shards(config.SEARCH.candidates_per_shard))


# --- disk ---


def gan_bytes(config: GafiConfig) -> int:
    """Kept generators of all GANs."""
    epochs, every = config.gan.OPTIMIZATION.epochs or 1, config.COMPUTE.keep_every
    kept = sum(is_kept(e, epochs=epochs, keep_every=every) for e in range(1, epochs + 1))
    share = (config.gan.MODEL.g_conv_dim / GENERATOR_WIDTH) ** 2
    return int(GENERATOR_BYTES * share * kept * num_gans(config))


def classifier_bytes(config: GafiConfig, *, runs: int, epochs: int) -> int:
    """The networks that `runs` candidates keep: the best one, and with SEARCH.keep_epochs one per epoch."""
    share = (config.pipeline.MODEL.width / CLASSIFIER_WIDTH) ** 2
    return int(CLASSIFIER_BYTES * share * runs * (1 + epochs * config.SEARCH.keep_epochs))


def ckpt_bytes(config: GafiConfig) -> int:
    """Disk of `ckpt`."""
    return _step_bytes(config, len(ckpt_epochs(config)))


def stddev_bytes(config: GafiConfig) -> int:
    """Disk of `stddev`."""
    return _step_bytes(config, len(config.pipeline.PIPELINE.stddev_search))


def threshold_bytes(config: GafiConfig) -> int:
    """Disk of `threshold`."""
    return _step_bytes(config, len(config.pipeline.PIPELINE.threshold_search))


def best_bytes(config: GafiConfig) -> int:
    """Disk of `best`."""
    return classifier_bytes(config, runs=num_gans(config), epochs=config.pipeline.OPTIMIZATION.epochs)


def _step_bytes(config: GafiConfig, candidates: int) -> int:
    return classifier_bytes(config, runs=candidates * num_gans(config), epochs=search_epochs(config))


# --- what decides a result ---

LEARNING = ("keras", "numpy")  # the framework below Keras: see `backend_name`
DATA = ("dataset", "SUBSET.train", "SUBSET.val", "SUBSET.test")  # not where it lies
COMPUTE = ("COMPUTE.threads", "COMPUTE.precision", "COMPUTE.init_sharing", "COMPUTE.xla_classifier")
CLASSIFIER = (
    *DATA, *COMPUTE, "COMPUTE.lr_milestones", "classifier.DATA", "classifier.OPTIMIZATION",
    "classifier.MODEL", "classifier.AUG", "classifier.RUN.seed", "classifier.RUN.mixed_precision",
    "SEARCH.selection_split",  # with `test` the history has the test pictures' columns, too
)  # fmt: skip
GAN = (
    *DATA, "COMPUTE.threads", "COMPUTE.precision", "COMPUTE.init_sharing", "COMPUTE.xla_gan",
    "COMPUTE.sn_stop_gradient", "COMPUTE.keep_every", "COMPUTE.gan_seeds", "gan.DATA", "gan.OPTIMIZATION",
    "gan.MODEL", "gan.LOSS", "gan.RUN.mixed_precision", "gan.RUN.fixed_seed", "gan.RUN.save",
    "gan.RUN.keep_images", "gan.RUN.plot_with_title", "gan.RUN.plot_title",
)  # fmt: skip
CANDIDATE = (
    *DATA, *COMPUTE, "COMPUTE.xla_gan", "COMPUTE.lr_milestones", "COMPUTE.gan_seeds", "SAMPLING",
    "SEARCH.selection_split", "SEARCH.common_random_numbers", "SEARCH.keep_epochs", "RECYCLE.factor",
)  # fmt: skip
PIPELINE = (
    *CANDIDATE, "pipeline.DATA", "pipeline.OPTIMIZATION", "pipeline.MODEL", "pipeline.AUG",
    "pipeline.RUN.seed", "pipeline.RUN.mixed_precision", "pipeline.PIPELINE.apply_standing_stats",
    "pipeline.PIPELINE.standing_stats_bs", "pipeline.PIPELINE.filtering_attempts",
    "pipeline.PIPELINE.class_samples",
)  # fmt: skip
SEARCHED = (*PIPELINE, "SEARCH.epochs", "SEARCH.candidates_per_shard", "RECYCLE.search")
MULTIGAN = (
    *CANDIDATE, "RECYCLE.best", "multigan.DATA", "multigan.OPTIMIZATION", "multigan.MODEL", "multigan.AUG",
    "multigan.RUN.seed", "multigan.RUN.mixed_precision", "multigan.PIPELINE.one_gan_for_epoch",
    "multigan.PIPELINE.apply_standing_stats", "multigan.PIPELINE.standing_stats_bs",
    "multigan.PIPELINE.filtering_attempts", "multigan.PIPELINE.class_samples",
)  # fmt: skip
EVERYTHING = tuple(field.name for field in fields(GafiConfig))

FOUND = ("import", "train-classifier", "train-gan")  # what every later stage reads


def _stage(name: str, summary: str, run: str, **facts: object) -> Stage:
    return Stage(
        system="gafi",
        name=name,
        summary=summary,
        toolchain="tensorflow",
        run=f"experiments.gafi.{run}",
        **facts,
    )  # type: ignore[arg-type]


def _learns(name: str, summary: str, run: str, **facts: object) -> Stage:
    return _stage(name, summary, run, version=1, decides=LEARNING, outside=backend_name, **facts)


STAGES = {
    stage.name: stage
    for stage in (
        _stage(
            "import", "find the data set, split it as published, keep the subsets", "data.stage:run",
            uses_gpu=False, version=1, outside=dataset_state, decides=("numpy",), config=DATA,
        ),
        _learns(
            "train-classifier", "the classifier of real pictures, which filters generated ones",
            "classifier.stage:run", inputs=("import",), config=CLASSIFIER,
        ),
        _learns(
            "train-gan", "class-conditional GANs that differ in their seed", "gan.stage:run",
            inputs=("import",), num_shards=num_gans, disk_bytes=gan_bytes, config=GAN,
        ),
        _learns(
            "ckpt", "which epoch of each GAN to generate from", "search.stages:run_ckpt",
            inputs=FOUND, num_shards=num_ckpt, disk_bytes=ckpt_bytes,
            config=(*SEARCHED, "pipeline.PIPELINE.ckpt_epochs"),
        ),
        _learns(
            "stddev", "how widely to draw the latent vectors", "search.stages:run_stddev",
            inputs=(*FOUND, "ckpt"), num_shards=num_stddev, disk_bytes=stddev_bytes,
            config=(*SEARCHED, "pipeline.PIPELINE.stddev_search"),
        ),
        _learns(
            "threshold", "how sure the classifier must be of a picture", "search.stages:run_threshold",
            inputs=(*FOUND, "ckpt", "stddev"), num_shards=num_threshold, disk_bytes=threshold_bytes,
            config=(*SEARCHED, "pipeline.PIPELINE.threshold_search"),
        ),
        _learns(
            "best", "a classifier from each GAN with what was chosen", "search.stages:run_best",
            inputs=(*FOUND, "ckpt", "stddev", "threshold"), num_shards=num_gans, disk_bytes=best_bytes,
            config=(*PIPELINE, "RECYCLE.best"),
        ),
        _learns(
            "run-multigan", "one classifier from the pictures of all GANs", "search.multigan:run",
            inputs=(*FOUND, "best"), config=MULTIGAN,
        ),
        _learns(
            "controls", "unfiltered, never renewed, wrongly labelled and real pictures in the same loop",
            "search.controls:run", inputs=(*FOUND, "best"), num_shards=num_arms,
            config=(*PIPELINE, "RECYCLE.best"),
        ),
        _learns(
            "evaluate", "the test pictures, for the first time; quality of the generated ones",
            "metrics.stage:run", inputs=(*FOUND, *STEPS, "run-multigan", "controls"),
            config=EVERYTHING,
        ),
        _stage(
            "report", "one offline page: samples, confidences, search curves, accuracies", "report:run",
            uses_gpu=False, version=2, config=EVERYTHING,
            inputs=(*FOUND, *STEPS, "run-multigan", "controls", "evaluate"),
        ),
    )
}  # fmt: skip
