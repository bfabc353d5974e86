"""The stages: what each reads, what decides its result, how it is cut into shards.

`stages_of` picks those that the settings need: a run without the filter has no `scores`, a run with
replacement has `prompts-2`, `images-2`, `scores-2`, and so on (rounds.py). Which toolchain draws the pictures
depends on the backend. Detectors come behind the set that they learn from (stages_detectors.py); a run whose
detectors learn from none of its own makes none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from experiments.imaginarynet.classes import classes_of
from experiments.imaginarynet.config import CONFIG, CONFIGS, ImaginaryNetConfig
from experiments.imaginarynet.model_state import model_state
from experiments.imaginarynet.models import Kind
from experiments.imaginarynet.rounds import names_of, num_rounds, num_shards_of, quotas, stage_name
from experiments.imaginarynet.stage_maker import make_stage
from experiments.imaginarynet.stages_detectors import detector_stages, needs_generation
from suite.config import load_config
from suite.manifest import read_manifest
from suite.stage import Stage

SAMPLES = "diffusion-samples"
BYTES_PER_PIXEL = {"jpeg": 0.25, "png": 2.0}  # of a file, for the disk estimate
DALLE_SIDE = 256  # pixels of the published image tokenizer
TORCH = ("torch", "transformers", "numpy")
JAX = ("jax", "numpy", "pillow", "tokenizers")
DIFFUSION = ("diffusers", "torch", "transformers", "numpy", "pillow")
FILES = ("images.format", "images.quality", "images.batch")
SHOWN = (
    "num",
    "num_total",
    "images",
    "clip",
    "filter",
    "replace",
    "export",
    "prompts",
    "dalle_mini",
    "diffusion",
    "diffusion_samples",
    "setting",
    "detector",
)  # in the report


# --- shards and disk ---


def num_prompts(folder: Path) -> int:
    """Prompts that a finished stage of that name wrote."""
    manifest = read_manifest(folder)
    return manifest["counts"].get("prompts", 0) if manifest else 0


def round_shards(round: int, config: ImaginaryNetConfig, inputs: Mapping[str, Path] | None = None) -> int:
    """Shards of a round's pictures or scores; none where no picture is to be replaced.

    How many prompts a later round has is known when they are written: before, it counts as one shard.
    """
    source = stage_name("prompts", round)
    if inputs is not None and source in inputs:
        count = num_prompts(inputs[source])
    elif inputs is not None and stage_name("images", round) in inputs:
        return len((read_manifest(inputs[stage_name("images", round)]) or {}).get("shards", ()))
    elif round == 1:
        count = sum(quotas(config, len(classes_of(config))))
    else:
        return 1
    return num_shards_of(count, config.compute.shard_size) if count else 0


def picture_bytes(config: ImaginaryNetConfig) -> int:
    """Disk of the first round's pictures."""
    side = config.diffusion.size if config.images.backend == "stablediffusion" else DALLE_SIDE
    count = sum(quotas(config, len(classes_of(config))))
    return int(BYTES_PER_PIXEL[config.images.format] * side * side * count)


# --- what lies outside of the settings: class files, folders of models ---


def class_state(config: ImaginaryNetConfig) -> list[str]:
    """The names of the classes. Raises BadInput for a list that is none."""
    return list(classes_of(config))


def prompts_state(config: ImaginaryNetConfig) -> Any:
    """The classes, and the folder of the language model."""
    model = model_state("lm", config.prompts.model) if config.prompts.source == "lm" else None
    return {"classes": class_state(config), "model": model}


def dalle_state(config: ImaginaryNetConfig) -> Any:
    """The folders of the transformer, its tokenizer and the image tokenizer."""
    settings = config.dalle_mini
    return {
        "model": model_state("dallebart", settings.model),
        "vqgan": model_state("vqgan", settings.vqgan),
        "tokenizer": model_state("tokenizer", settings.tokenizer or settings.model),
    }


def diffusion_state(config: ImaginaryNetConfig) -> Any:
    """The folder of the pipeline."""
    return model_state("diffusion", config.diffusion.model)


def scores_state(config: ImaginaryNetConfig) -> Any:
    """The classes, and the folder of the classifier."""
    return {"classes": class_state(config), "model": model_state("clip", config.clip.model)}


def models_of(stage: Stage, config: ImaginaryNetConfig) -> list[tuple[Kind, str]]:
    """(kind, name) of every model that a stage loads."""
    dalle, own = config.dalle_mini, stage.outside
    if own is prompts_state:
        return [("lm", config.prompts.model)] if config.prompts.source == "lm" else []
    if own is dalle_state:
        tokenizer = dalle.tokenizer or dalle.model
        return [("dallebart", dalle.model), ("vqgan", dalle.vqgan), ("tokenizer", tokenizer)]
    if own is diffusion_state:
        return [("diffusion", config.diffusion.model)]
    return [("clip", config.clip.model)] if own is scores_state else []


# --- the stages of a round ---


def _below(section: str, *names: str) -> tuple[str, ...]:
    return tuple(f"{section}.{name}" for name in names)


def _prompts(config: ImaginaryNetConfig, round: int) -> Stage:
    is_model = config.prompts.source == "lm"
    sampling = ("model", "max_length", "top_k", "top_p", "temperature", "max_tries", "require_class")
    return make_stage(
        stage_name("prompts", round),
        "a description for each picture" if round == 1 else "descriptions in place of what was rejected",
        "prompts.stage:run", uses_gpu=is_model, decides=TORCH if is_model else (),
        inputs=(*names_of("prompts", config, before=round), *names_of("scores", config, before=round)),
        outside=prompts_state,
        config=(
            *_below("prompts", "source", "template", *(sampling if is_model else ())),
            "num", "num_total", "images.backend", "images.samples_per_prompt",
            *(("replace",) if round > 1 else ()),
        ),
    )  # fmt: skip


def _images(config: ImaginaryNetConfig, round: int) -> Stage:
    draws = _diffusion() if config.images.backend == "stablediffusion" else _dalle_mini()
    return make_stage(
        stage_name("images", round), "the pictures of these prompts", draws.pop("run"),
        inputs=(stage_name("prompts", round),), num_shards=partial(round_shards, round),
        disk_bytes=picture_bytes if round == 1 else None,
        config=("images.backend", *FILES, "compute.shard_size", *draws.pop("config")), **draws,
    )  # fmt: skip


def _dalle_mini() -> dict[str, Any]:
    return {
        "run": "images.stage:run", "toolchain": "jax", "decides": JAX, "outside": dalle_state,
        "config": ("dalle_mini",),
    }  # fmt: skip


def _diffusion() -> dict[str, Any]:
    return {
        "run": "diffusion.stage:run", "toolchain": "detectron2", "decides": DIFFUSION,
        "outside": diffusion_state, "config": ("diffusion",),
    }  # fmt: skip


def _scores(config: ImaginaryNetConfig, round: int) -> Stage:
    return make_stage(
        stage_name("scores", round), "the probability of every class, for every picture",
        "clip.scores_stage:run", inputs=(stage_name("images", round),),
        num_shards=partial(round_shards, round), uses_gpu=not config.clip.cpu, decides=TORCH,
        outside=scores_state,
        config=(*_below("clip", "model", "template", "scale", "batch", "dtype"), "compute.shard_size"),
    )  # fmt: skip


# --- the others ---


def _samples() -> Stage:
    draws = {**_diffusion(), "run": "diffusion.stage:run_samples"}
    return make_stage(
        SAMPLES, "some pictures of the diffusion pipeline, beside the set, unfiltered", draws.pop("run"),
        inputs=("prompts",), config=("diffusion_samples", *FILES, *draws.pop("config")), **draws,
    )  # fmt: skip


def _filter(config: ImaginaryNetConfig) -> Stage:
    judged = "scores" if config.clip.enabled else "images"
    return make_stage(
        "filter", "which candidates are kept, from the stored probabilities", "clip.filter_stage:run",
        uses_gpu=False, decides=("numpy",), inputs=names_of(judged, config), outside=class_state,
        config=("filter", "clip.enabled", "replace", "num", "num_total", "images.samples_per_prompt"),
    )  # fmt: skip


def _export(config: ImaginaryNetConfig) -> Stage:
    return make_stage(
        "export", "the kept pictures in the formats that detectors read", "export.stage:run", uses_gpu=False,
        decides=("numpy", "pillow"), inputs=("filter", *names_of("images", config)), outside=class_state,
        config=("export",),
    )  # fmt: skip


def _report(config: ImaginaryNetConfig, before: Mapping[str, Stage]) -> Stage:
    return make_stage(
        "report", "one offline page: contact sheets, trade-off, classes, theirs beside", "report:run",
        uses_gpu=False, version=2, decides=("numpy", "matplotlib", "pillow"), outside=class_state,
        inputs=tuple(before), config=SHOWN,
    )  # fmt: skip


def _generation(config: ImaginaryNetConfig) -> Iterator[Stage]:
    for round in range(1, num_rounds(config) + 1):
        yield _prompts(config, round)
        yield _images(config, round)
        if config.clip.enabled:
            yield _scores(config, round)
    if config.diffusion_samples:
        yield _samples()
    yield _filter(config)
    yield _export(config)


def stages_of(config: ImaginaryNetConfig) -> dict[str, Stage]:
    """The stages that these settings need, by name, in order."""
    found = [*(_generation(config) if needs_generation(config) else ()), *detector_stages(config)]
    stages = {stage.name: stage for stage in found}
    return {**stages, "report": _report(config, stages)}


# What -h lists and what a name is looked up in without settings: as published, with every optional part.
STAGES = stages_of(load_config(CONFIG, CONFIGS / "paper.yaml", ("replace.rounds=3", "diffusion_samples=2")))
