"""The stages that make what an arm learns from beside the real pictures, and the shards of each.

What other runs hold enters the keys by their manifests' keys (`run_state`): a run that is made anew makes the
arm anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from experiments.compare.arms import NeededRun, arms_of, imaginarynet_run, solid_run
from experiments.compare.config import CompareConfig
from suite.manifest import read_manifest
from suite.outside import file_state
from suite.paths import data_path, listing_digest
from suite.provenance import ROOT
from suite.stage import Stage

SYSTEM = "compare"
TABLETOP_FILE = ROOT / "assets/tabletop/train.json"
TEXTURES_FILE = "assets/textures/textures.json"
CUTOUT_BYTES_PER_PIXEL = 1.3  # of a PNG with alpha, for the disk estimate
PASTED_BYTES_PER_PIXEL = 0.5
PICTURES = ("numpy", "pillow", "opencv-contrib-python-headless", "scikit-image")


def data_stages(config: CompareConfig) -> Iterator[Stage]:
    """Those that these arms need, in order."""
    for arm in arms_of(config):
        yield from MAKERS.get(arm.name, lambda _: ())(config)


def make_stage(name: str, summary: str, run: str, **facts: Any) -> Stage:
    """A stage of the comparison, toolchain and version as most have them."""
    facts = {"toolchain": "detectron2", "version": 1, **facts}
    return Stage(system=SYSTEM, name=name, summary=summary, run=f"experiments.compare.{run}", **facts)


def _pasted(config: CompareConfig) -> Iterator[Stage]:
    inputs: tuple[str, ...] = ()
    if config.cutouts.folder is None:
        inputs = ("cutouts",)
        yield make_stage(
            "cutouts", "render single things of tabletop's classes, on nothing", "cutouts:run",
            toolchain="blender", uses_gpu=False, num_shards=num_cutout_shards, disk_bytes=cutout_bytes,
            decides=("bpy", "numpy", "pillow"), config=("cutouts",),
        )  # fmt: skip
    yield make_stage(
        "pasted", "paste cut-outs onto backgrounds: pictures, boxes, masks", "pasted:run",
        uses_gpu=False, inputs=inputs, disk_bytes=pasted_bytes, decides=PICTURES, outside=pasted_state,
        config=("cutouts", "pasted"), files=background_files(config),
    )  # fmt: skip


def _imaginary(config: CompareConfig) -> Iterator[Stage]:
    yield make_stage(
        "boxed-imaginary", "boxes for imaginary pictures, by the detector that learned from their labels",
        "boxed:run", config=("imaginarynet_run", "boxed"), outside=imaginary_state,
        decides=("torch", "torchvision", "numpy", "pillow"),
    )  # fmt: skip


def _solid(config: CompareConfig) -> Iterator[Stage]:
    yield make_stage(
        "solid-weights", "the weights that SOLID's pre-training left", "weights:run", uses_gpu=False,
        config=("solid_run",), outside=solid_state,
    )  # fmt: skip


MAKERS = {"pasted": _pasted, "imaginary": _imaginary, "solid": _solid}


# --- shards and disk ---


def num_cutout_shards(config: CompareConfig, inputs: Mapping[str, Path] | None = None) -> int:
    """As the settings say; a shard takes every n-th render."""
    return config.cutouts.shards


def cutout_bytes(config: CompareConfig) -> int:
    """Disk of the renders of ten classes."""
    return int(10 * config.cutouts.per_class * config.cutouts.side**2 * CUTOUT_BYTES_PER_PIXEL)


def pasted_bytes(config: CompareConfig) -> int:
    """Disk of the pasted pictures."""
    width, height = config.pasted.size_wh
    return int(config.pasted.num_samples * width * height * PASTED_BYTES_PER_PIXEL)


# --- what lies outside of the settings ---


def run_state(run: NeededRun, stages: tuple[str, ...]) -> dict[str, str | None]:
    """Keys of the finished stages of another run; None where one is not there."""
    manifests = {stage: read_manifest(run.folder / stage) for stage in stages}
    return {stage: manifest and manifest["key"] for stage, manifest in manifests.items()}


def imaginary_state(config: CompareConfig) -> dict[str, str | None]:
    """Set and detector of the imaginarynet run, and the classes."""
    run = imaginarynet_run(config)
    return {**run_state(run, ("export", "proposals", run.until)), "classes": classes_state(config)}


def solid_state(config: CompareConfig) -> dict[str, str | None]:
    """Weights of the solid run."""
    run = solid_run(config)
    return run_state(run, (run.until,))


def classes_state(config: CompareConfig) -> str | None:
    """The target's file of training annotations, which says what the classes and their ids are."""
    text = config.target.train_json
    path = TABLETOP_FILE if config.target.source == "tabletop" or text is None else data_path(text)
    return file_state(path)


def background_files(config: CompareConfig) -> tuple[str, ...]:
    """The digests of the repository's pictures that cut-outs are pasted onto."""
    return (TEXTURES_FILE,) if "textures" in config.pasted.backgrounds else ()


def pasted_state(config: CompareConfig) -> dict[str, str | None]:
    """The user's cut-outs and backgrounds, and the classes."""
    folders = {"cutouts": config.cutouts.folder, "backgrounds": config.pasted.backgrounds_folder}
    state = {name: listing_digest(data_path(text)) if text else None for name, text in folders.items()}
    return {**state, "classes": classes_state(config)}
