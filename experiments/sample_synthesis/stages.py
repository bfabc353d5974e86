"""The stages: what each reads, what decides its result, how it is cut into shards.

Every object has its own (one_object.py). `stages_of` picks those that the settings need, each with the
sections that decide its result: the network ReDO and the conversion of weights run in another toolchain, for
which a run without them does not ask.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from experiments.sample_synthesis.cells import Cell, other_cells, pretraining_cells, variants
from experiments.sample_synthesis.config import CONFIG, CONFIGS, SampleSynthesisConfig
from experiments.sample_synthesis.data.where import data_state
from experiments.sample_synthesis.objects.shards import folders_state, object_shards
from experiments.sample_synthesis.one_object import only
from experiments.sample_synthesis.shards import cell_shards, pretrain_shards, synth_shards
from suite.config import load_config
from suite.paths import data_path, listing_digest
from suite.stage import Stage

SYSTEM = "sample-synthesis"
WEIGHTS = "weights"  # the stage that converts the packaged ImageNet weights
BYTES_PER_PIXEL = 0.25  # of a JPEG of quality 75, for the disk estimate
WEIGHT_BYTES = {"mobilenet": 15e6, "resnet50": 101e6, "mobilenetv2": 12e6, "tiny": 1e6}  # float32, with heads

PICTURES = ("numpy", "opencv-python-headless", "pillow", "scikit-image")
LEARNING = ("keras", "numpy", "opencv-python-headless", "pillow", "scikit-image", "segno")
TORCH = ("torch", "numpy")


# --- what settings need ---


def needs_redo(config: SampleSynthesisConfig, name: str) -> bool:
    """Whether an object's masks come from ReDO."""
    return config.of(name).masks.provider == "redo"


def trains_redo(config: SampleSynthesisConfig, name: str) -> bool:
    """Whether its network is trained here, and not read from a file."""
    return needs_redo(config, name) and config.of(name).masks.weights is None


def crops_real(config: SampleSynthesisConfig, name: str) -> bool:
    """Whether photographed objects are cut out of the real training images (nogan birds)."""
    return config.of(name).nogan.kind == "cub_crops" and "nogan" in variants(config, name)


def needs_packaged_weights(config: SampleSynthesisConfig) -> bool:
    """Whether the ImageNet weights of MobileNetV2 are taken from the packages."""
    detector = config.detector
    return "mobilenetv2" in detector.archs and detector.init == "imagenet" and detector.weights is None


# --- shards, disk, the user's folders: of one object ---


def _count(shards: Callable[[SampleSynthesisConfig], Any], name: str) -> Callable[..., int]:
    """The number of shards of a stage of one object."""

    def num_shards(config: SampleSynthesisConfig, inputs: Mapping[str, Path] | None = None) -> int:
        return len(shards(only(config, name)))

    return num_shards


def synth_bytes(name: str, config: SampleSynthesisConfig) -> int:
    """Disk of the synthetic images of an object."""
    settings = config.of(name).synthesis
    pixels = settings.image_size**2 * settings.num_samples * len(variants(config, name))
    return int(BYTES_PER_PIXEL * pixels)


def cell_bytes(
    cells: Callable[[SampleSynthesisConfig], tuple[Cell, ...]], name: str, config: SampleSynthesisConfig
) -> int:
    """Disk of the weights of an object's cells."""
    return int(sum(WEIGHT_BYTES[cell.arch] for cell in cells(only(config, name))))


def objects_state(name: str, config: SampleSynthesisConfig) -> Any:
    """The user's folders with pictures of an object, and with backgrounds."""
    state = folders_state(only(config, name))
    return {**state, "real": real_state(name, config)} if crops_real(config, name) else state


def real_state(name: str, config: SampleSynthesisConfig) -> Any:
    """The user's folder with real images of an object, or the stand-ins."""
    return data_state(name, config.of(name).real)


def weights_state(config: SampleSynthesisConfig) -> str | None:
    """The user's folder with ImageNet weights."""
    detector = config.detector
    if detector.init != "imagenet" or detector.weights is None:
        return None
    return listing_digest(data_path(detector.weights))


def pretrain_state(config: SampleSynthesisConfig) -> Any:
    """The user's ImageNet weights; and that the main experiment is left out, where it is: which arms there
    are besides is nothing to a pretraining.
    """
    weights = weights_state(config)
    return weights if config.arms else {"weights": weights, "main": False}


def redo_state(name: str, config: SampleSynthesisConfig) -> Any:
    """The user's file with weights of ReDO: which it is, and its folder."""
    weights = config.of(name).masks.weights
    if weights is None:
        return None
    path = data_path(weights)
    return {"file": path.name, "listing": listing_digest(path.parent)}


# --- what decides a result ---

TRAIN = (
    "lr", "batch", "steps_per_epoch", "l2", "selection", "validation", "subset_seed", "runs", "source",
    "order",
)  # fmt: skip
DETECTOR = ("archs", "image_size", "init", "loss", "min_confidence", "nms_iou", "score_floor")


def _below(section: str, names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{section}.{name}" for name in names)


def synthesis_sections(config: SampleSynthesisConfig, name: str) -> tuple[str, ...]:
    """What decides a synthetic image, besides the pictures of objects."""
    compat = {"face": ("compat.face_box_frames",), "bird": ("compat.bird_backgrounds_with_birds",)}
    return (
        f"{name}.synthesis", f"{name}.backgrounds", f"{name}.masks.threshold", f"{name}.masks.blend",
        *compat.get(name, ()),
    )  # fmt: skip


def _training(config: SampleSynthesisConfig, name: str) -> tuple[str, ...]:
    """What decides a trained cell, besides its images."""
    found = (
        *_below("train", TRAIN), *_below("detector", DETECTOR), f"{name}.grid", "ablations", "ablation",
        "compute.threads", "compute.precision", "compute.cells_per_shard",
    )  # fmt: skip
    return (*found, *synthesis_sections(config, name)) if config.train.source == "stream" else found


# --- the stages of one object ---


def _objects(config: SampleSynthesisConfig, name: str) -> Stage:
    sources = (f"{name}.source", f"{name}.nogan", "ablations") if name != "qr" else ()
    compat = ("compat.bird_backgrounds_with_birds",) if name == "bird" else ()
    sources += (f"{name}.real",) if crops_real(config, name) else ()
    return _stage(
        name, "objects", "read pictures of the object, find their masks, list the backgrounds", version=1,
        uses_gpu=False, num_shards=_count(object_shards, name), outside=partial(objects_state, name),
        decides=PICTURES, config=(*sources, f"{name}.masks.provider", f"{name}.backgrounds", *compat),
    )  # fmt: skip


def _train_redo(config: SampleSynthesisConfig, name: str) -> Stage:
    return _stage(
        name, "train-redo", "the network that finds the object's mask without a label", version=1,
        toolchain="detectron2", inputs=(f"{name}-objects",), decides=TORCH,
        config=("redo", "compute.threads"),
    )  # fmt: skip


def _redo_masks(config: SampleSynthesisConfig, name: str) -> Stage:
    trained = (f"{name}-train-redo",) if trains_redo(config, name) else ()
    return _stage(
        name, "redo-masks", "masks by that network, turned so that the object is white", version=1,
        toolchain="detectron2", inputs=(f"{name}-objects", *trained), decides=TORCH,
        num_shards=_count(object_shards, name), outside=partial(redo_state, name),
        config=("ablations", f"{name}.masks.precision"),
    )  # fmt: skip


def _synth(config: SampleSynthesisConfig, name: str) -> Stage:
    masks = (f"{name}-redo-masks",) if needs_redo(config, name) else ()
    more = () if name == "qr" else ("ablations",)
    return _stage(
        name, "synth", "paste objects onto backgrounds: images and their boxes", version=1, uses_gpu=False,
        inputs=(f"{name}-objects", *masks), num_shards=_count(synth_shards, name),
        disk_bytes=partial(synth_bytes, name), decides=(*PICTURES, "segno"),
        config=(*synthesis_sections(config, name), "compute.synth_shard_size", *more),
    )  # fmt: skip


def _data(config: SampleSynthesisConfig, name: str) -> Stage:
    return _stage(
        name, "data", "read and check the real images, split them as published", version=1, uses_gpu=False,
        outside=partial(real_state, name), decides=PICTURES, config=(f"{name}.real",),
    )  # fmt: skip


def _learns(settings: SampleSynthesisConfig, name: str, verb: str, summary: str, **facts: Any) -> Stage:
    inputs = [f"{name}-synth", f"{name}-data"]
    if settings.train.source == "stream":
        inputs += [f"{name}-objects"] + [f"{name}-redo-masks"] * needs_redo(settings, name)
    inputs += [WEIGHTS] * needs_packaged_weights(settings)
    return _stage(
        name, verb, summary, version=1, decides=LEARNING, inputs=(*inputs, *facts.pop("inputs", ())), **facts
    )


def _pretrain(config: SampleSynthesisConfig, name: str) -> Stage:
    return _learns(
        config, name, "pretrain", "detectors that see synthetic images only",
        num_shards=_count(pretrain_shards, name), disk_bytes=partial(cell_bytes, pretraining_cells, name),
        outside=pretrain_state, config=_training(config, name),
    )  # fmt: skip


def _cells(config: SampleSynthesisConfig, name: str) -> Stage:
    return _learns(
        config, name, "cells", "the other detectors: from scratch, finetuned, mixed",
        inputs=(f"{name}-pretrain",), num_shards=_count(cell_shards, name),
        disk_bytes=partial(cell_bytes, other_cells, name), outside=weights_state,
        config=(*_training(config, name), "arms", "compat.mixed_real_only", "compat.first_rows_subset"),
    )  # fmt: skip


def _evaluate(config: SampleSynthesisConfig, name: str) -> Stage:
    return _stage(
        name, "evaluate", "average precision of every cell, in the published columns", version=1,
        uses_gpu=False, inputs=(f"{name}-data", f"{name}-pretrain", f"{name}-cells"),
        decides=("numpy", "pycocotools"),
        config=(
            f"{name}.grid", "arms", "ablations", "ablation", "train.runs", "detector.archs",
            "detector.min_confidence", "detector.nms_iou", "detector.score_floor", "compat",
            "compute.cells_per_shard",
        ),
    )  # fmt: skip


MAKERS = {
    "objects": _objects,
    "train-redo": _train_redo,
    "redo-masks": _redo_masks,
    "synth": _synth,
    "data": _data,
    "pretrain": _pretrain,
    "cells": _cells,
    "evaluate": _evaluate,
}
OPTIONAL = {"train-redo": trains_redo, "redo-masks": needs_redo}  # stages that not every object needs
SHOWN = ("objects", "redo-masks", "synth", "data", "pretrain", "cells", "evaluate")  # what the report reads


def _stage(name: str, verb: str, summary: str, **facts: Any) -> Stage:
    facts = {"toolchain": "tensorflow", "run": "experiments.sample_synthesis.one_object:run", **facts}
    return Stage(system=SYSTEM, name=f"{name}-{verb}", summary=summary, **facts)


def _weights(config: SampleSynthesisConfig) -> Stage:
    return Stage(
        system=SYSTEM, name=WEIGHTS, summary="MobileNetV2 of ImageNet from the packages, for Keras",
        toolchain="detectron2", version=1, uses_gpu=False, decides=("torch", "numpy"),
        run="experiments.sample_synthesis.detector.convert_stage:run",
    )  # fmt: skip


def _report(config: SampleSynthesisConfig, before: Mapping[str, Stage]) -> Stage:
    sections = ("arms", "ablations", "ablation", "detector", "train", "compat", "compute", "redo")
    return Stage(
        system=SYSTEM, name="report", summary="one offline page: samples, tables, plots, theirs beside",
        toolchain="tensorflow", version=2, uses_gpu=False, run="experiments.sample_synthesis.report:run",
        inputs=tuple(name for name in before if name.partition("-")[2] in SHOWN),
        decides=("numpy", "matplotlib"), config=("objects", *config.objects, *sections),
    )  # fmt: skip


def stages_of(config: SampleSynthesisConfig) -> dict[str, Stage]:
    """The stages that these settings need, by name, in order."""
    found = [_weights(config)] if needs_packaged_weights(config) else []
    for name in config.objects:
        for verb, make in MAKERS.items():
            if OPTIONAL.get(verb, lambda *_: True)(config, name):
                found.append(make(config, name))
    stages = {stage.name: stage for stage in found}
    return {**stages, "report": _report(config, stages)}


# Every stage that there can be: ReDO's are among those of paper.
EVERY = ("objects=[qr,face,bird,car]", "detector={archs: [mobilenetv2], weights: null}")
STAGES = stages_of(load_config(CONFIG, CONFIGS / "paper.yaml", EVERY))
