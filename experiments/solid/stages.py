"""SOLID's stages: what each reads, what decides its result, how it is cut into shards. Order: stages.smk."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import ceil
from pathlib import Path

from experiments.solid.config import SolidConfig
from suite.manifest import key_of
from suite.outside import annotated_state, file_state, tabletop_state
from suite.paths import data_path, listing_digest
from suite.stage import Stage

# For the disk estimate; measured on the store of the smoke run, rounded up (README, "Disk"). Larger pictures
# and more samples change the first number: it is an estimate.
PNG_BYTES_PER_PIXEL = 1.5
LABEL_BYTES_PER_PIXEL = 0.06
BYTES_PER_OBJECT = 450  # scene file, box, visibility, angles
QUERY_BYTES_PER_PIXEL = 0.33  # of the uncropped view


def mesh_folder_state(config: SolidConfig) -> str | None:
    """What a user's mesh folder holds, so that added meshes are noticed."""
    meshes = config.meshes
    return listing_digest(data_path(meshes.folder)) if meshes.source == "folder" and meshes.folder else None


def room_folder_state(config: SolidConfig) -> str | None:
    """What a SceneNet folder holds."""
    rooms = config.rooms
    return listing_digest(data_path(rooms.folder)) if rooms.source == "scenenet" and rooms.folder else None


def target_set_state(config: SolidConfig) -> str | None:
    """Which annotated pictures are fine-tuned and tested on: tabletop's digest list, or the user's files."""
    chosen = config.target_set
    if chosen.source == "tabletop":
        return tabletop_state()
    files, folders = (chosen.train_json, chosen.test_json), (chosen.train_images, chosen.test_images)
    return key_of(annotated_state(files=files, folders=folders))


def weights_state(config: SolidConfig) -> str | None:
    """Digest of a checkpoint that is named in the config."""
    return file_state(data_path(config.finetune.weights)) if config.finetune.weights else None


def finetune_state(config: SolidConfig) -> list[str | None]:
    """All that fine-tuning reads beside its inputs."""
    return [target_set_state(config), weights_state(config)]


def num_arms(config: SolidConfig, inputs: Mapping[str, Path] | None = None) -> int:
    """Fine-tuning does one initialisation per shard."""
    return len(config.finetune.init)


def num_target_shards(config: SolidConfig, inputs: Mapping[str, Path] | None = None) -> int:
    """Shards of `store.shard_size` images."""
    return ceil(config.store.num_images / config.store.shard_size)


def num_query_shards(config: SolidConfig, inputs: Mapping[str, Path] | None = None) -> int:
    """Over the classes that survived cleaning; before that, over the number that the config names (or 0)."""
    num_classes = config.meshes.num_classes or 0
    if inputs is not None:
        num_classes = len(json.loads((inputs["clean"] / "classes.json").read_text(encoding="utf-8")))
    return ceil(num_classes / config.store.query_shard_size)


def target_disk_bytes(config: SolidConfig) -> int:
    """Estimate for all target shards."""
    width, height = config.render.resolution
    pixels = width * height * (PNG_BYTES_PER_PIXEL + LABEL_BYTES_PER_PIXEL)
    return int(config.store.num_images * (pixels + BYTES_PER_OBJECT * config.layout.num_objects[1]))


def query_disk_bytes(config: SolidConfig) -> int:
    """Estimate for all query shards."""
    side, shots = config.queries.resolution, config.queries.num_shots
    return int((config.meshes.num_classes or 64) * shots * side * side * QUERY_BYTES_PER_PIXEL)


def _stage(name: str, summary: str, run: str, *, toolchain: str = "blender", **facts: object) -> Stage:
    return Stage(
        system="solid",
        name=name,
        summary=summary,
        toolchain=toolchain,
        run=f"experiments.solid.{run}",
        **facts,
    )  # type: ignore[arg-type]


STAGES = {
    stage.name: stage
    for stage in (
        _stage(
            "fetch-meshes", "collect the raw meshes, one class each", "meshes.fetch:run",
            version=1, uses_gpu=False, config=("meshes",), decides=("pillow",),
            files=(
                "assets/meshes/meshes.json", "assets/meshes/split.json",
                "experiments/solid/meshes/packages.json",
            ),
            outside=mesh_folder_state,
        ),
        _stage(
            "index", "validate the meshes and number them", "meshes.index:run",
            version=1, uses_gpu=False, inputs=("meshes",), config=("meshes",), decides=("trimesh",),
        ),
        _stage(
            "clean", "weld, split and centre each mesh; write GLB and geometry", "render.clean:run",
            version=1, uses_gpu=False, inputs=("meshes", "index"), decides=("bpy",),
            config=("meshes", "render.texture_limit"),
        ),
        _stage(
            "rooms", "make or read rooms; walls, floors, ceilings, textures", "rooms.stage:run",
            version=1, uses_gpu=False, config=("rooms",), decides=("bpy", "numpy", "trimesh"),
            files=("assets/textures/textures.json",), outside=room_folder_state,
        ),
        _stage(
            "create-store", "lay out the empty Zarr store", "store.create:run",
            version=1, uses_gpu=False, inputs=("clean",),
            config=("store", "render.resolution", "layout.num_objects",
                    "queries.num_shots", "queries.resolution"),
            decides=("zarr",),
        ),
        _stage(
            "targets", "compose, render and annotate the target pictures", "targets:run",
            # 2: pictures are PNG by another filter: other bytes, the same pixels
            version=2, inputs=("clean", "rooms", "store"), decides=("bpy", "numpy"),
            config=("layout", "render", "rooms.ceiling_strength", "store"),
            num_shards=num_target_shards, prepare="experiments.solid.targets:prepare",
            disk_bytes=target_disk_bytes,
        ),
        _stage(
            "queries", "render each model from all sides", "queries:run",
            version=2, inputs=("clean", "store"),  # 2: as of `targets`
            config=("queries", "render", "layout.size_bins", "layout.size_probs", "store.query_shard_size"),
            decides=("bpy", "numpy"), num_shards=num_query_shards,
            prepare="experiments.solid.queries:prepare",
            disk_bytes=query_disk_bytes,
        ),
        _stage(
            "check", "verify every sample of the store", "store.check:run",
            version=1, uses_gpu=False, inputs=("clean", "rooms", "store", "targets", "queries"),
            config=("layout", "render", "rooms.ceiling_strength", "store"),
            flags=("repair",), always=True,
        ),
        _stage(
            "pretrain", "train the detector to find the objects of the queries; no label is read",
            "learn.pretrain.stage:run", toolchain="detectron2",
            version=1, inputs=("clean", "store", "targets", "queries", "check"),
            config=("detector", "pretrain"),
            decides=("torch", "torchvision", "numpy", "pillow"), ranks=True,
        ),
        _stage(
            "instances", "find the models in scenes that were not trained on: AP of seen and unseen models",
            "learn.instances:run", toolchain="detectron2",
            version=1, inputs=("clean", "store", "targets", "queries", "check", "pretrain"),
            config=("detector", "pretrain"),
            decides=("torch", "torchvision", "numpy", "pillow", "pycocotools"),
        ),
        _stage(
            "finetune", "fine-tune on the target set, once from each initialisation",
            "learn.finetune.stage:run", toolchain="detectron2",
            version=1, inputs=("pretrain",), config=("detector", "target_set", "finetune"),
            decides=("torch", "torchvision", "numpy", "pillow"),
            outside=finetune_state, num_shards=num_arms, ranks=True,
        ),
        _stage(
            "evaluate", "box and mask AP of every fine-tuned detector",
            "learn.evaluate:run", toolchain="detectron2",
            version=1, inputs=("pretrain", "finetune"),
            config=("detector", "target_set", "finetune", "evaluate"),
            decides=("torch", "torchvision", "numpy", "pillow", "pycocotools"), outside=target_set_state,
        ),
        _stage(
            "report", "one offline page: pictures, distributions, times, environment", "report:run",
            version=2, uses_gpu=False,
            inputs=("clean", "rooms", "store", "targets", "queries", "check",
                    "pretrain", "instances", "finetune", "evaluate"),
            config=("meshes", "rooms", "layout", "render", "queries", "store",
                    "detector", "pretrain", "target_set", "finetune", "evaluate"),
        ),
    )
}  # fmt: skip
