"""The published names of folders, by which a command finds what an earlier one made (GaFi, published code).

    save/Models/Classifiers/<DATASET>/pretrained_resnet20_cifar10_sgdw_normalized_erasing
    save/Models/BigGAN/<DATASET>/BigGAN_Deep_StudioGAN_cifar10_normalized_seed42_3discStep
        pipeline/resnet20_4000classSamples_bs128_sgdw_erasing/{ckpt_optimization,...,best_hyperparameters}
    save/Models/BigGAN/<DATASET>/MultiGAN/resnet20_4000classSamples_bs128_sgdw_erasing/seed_42_137_238723

Not taken over: a time in the name of what exists already. Here a folder carries the key of its settings: the
same settings are up to date, others are refused until `--force` or another RUN.extra_name is given.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from experiments.gafi.config_sections import (
    ClassifierScript,
    ClsPre,
    DataSection,
    GanScript,
    MultiGanScript,
    PipelineScript,
)

MULTIGAN = "MultiGAN"  # beside the GANs of a data set
PIPELINE = "pipeline"  # in a GAN's folder


def classifier_folder(data: DataSection, wanted: ClsPre) -> Path:
    """Where the classifier of real pictures lies that CLS_PRE describes."""
    name = _classifier_name(
        data,
        arch=wanted.name,
        optimizer=wanted.optimizer,
        erasing=wanted.random_erasing,
        extra=wanted.extra_name,
    )
    return Path(wanted.save_path) / data.dataset / name


def trained_folder(script: ClassifierScript) -> Path:
    """Where `train-classifier` puts its result."""
    return Path(script.RUN.save_path) / script.DATA.dataset / classifier_name(script)


def classifier_name(script: ClassifierScript) -> str:
    """`pretrained_<arch>_<ds>_<opt>[_pad32][_resized32][_normalized][_erasing][_<extra>]`."""
    return _classifier_name(
        script.DATA, arch=script.MODEL.name, optimizer=script.OPTIMIZATION.optimizer,
        erasing=script.AUG.random_erasing, extra=script.RUN.extra_name,
    )  # fmt: skip


def _classifier_name(data: DataSection, *, arch: str, optimizer: str, erasing: bool, extra: str) -> str:
    parts = ["pretrained", arch, data.dataset.lower(), optimizer, *_preparation(data)]
    return _join(parts, erasing, extra)


def gan_name(script: GanScript, *, seed: int | None = None) -> str:
    """`BigGAN_Deep_[StudioGAN_][concat_]<ds>[_pad32][_resized32][_normalized]_seed<S>_<n>discStep[_<extra>]`.

    seed: instead of RUN.seed, for the GANs of a chain.
    """
    parts = ["BigGAN", "Deep"]
    parts += ["StudioGAN"] if script.MODEL.studiogan else []
    parts += ["concat"] if script.MODEL.residual_concat else []
    parts += [script.DATA.dataset.lower(), *_preparation(script.DATA)]
    parts += [f"seed{script.RUN.seed if seed is None else seed}"]
    parts += [f"{script.OPTIMIZATION.d_updates_per_step}discStep"]
    return _join(parts, False, script.RUN.extra_name)


def gan_folder(script: GanScript) -> Path:
    """Where `train-gan` puts its result."""
    return Path(script.RUN.save_path) / script.DATA.dataset / gan_name(script)


def candidate_name(
    script: PipelineScript | MultiGanScript, *, class_samples: int, extra_name: str | None = None
) -> str:
    """`<arch>_<n_c>classSamples_bs<B>_<opt>[_erasing][_<extra>]`: the classifiers of a search.

    class_samples: pictures per class, n_c. extra_name: instead of RUN.extra_name.
    """
    parts = [script.MODEL.name, f"{class_samples}classSamples", f"bs{script.OPTIMIZATION.batch_size}"]
    extra = script.RUN.extra_name if extra_name is None else extra_name
    return _join([*parts, script.OPTIMIZATION.optimizer], script.AUG.random_erasing, extra)


def search_folder(gan: Path, candidates: str) -> Path:
    """Where the search on a GAN lies; `candidates` as of `candidate_name`."""
    return gan / PIPELINE / candidates


def multigan_folder(script: MultiGanScript, candidates: str, seeds: Iterable[int]) -> Path:
    """Where `run-multigan` puts its result: `seed_<s1>_<s2>...`."""
    name = "_".join(["seed", *map(str, seeds)])
    return Path(script.RUN.save_path) / script.DATA.dataset / MULTIGAN / candidates / name


def _preparation(data: DataSection) -> list[str]:
    parts = [f"pad{data.image_size}"] if data.padding else []
    parts += [f"resized{data.image_size}"] if data.resize else []
    return [*parts, "normalized"] if data.normalize else parts


def _join(parts: list[str], erasing: bool, extra: str) -> str:
    return "_".join([*parts, *(["erasing"] if erasing else []), *([extra] if extra else [])])
