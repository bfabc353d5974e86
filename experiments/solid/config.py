"""Every setting of SOLID, as frozen dataclasses. `configs/paper.yaml` gives each its published value and
source.

Lengths are in scene units (the room is 12 x 12 x 6), angles in degrees, powers in watts, sizes in pixels.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Literal

from experiments.solid.config_learning import Detector, Evaluate, Finetune, Pretrain, TargetSet
from suite.errors import BadInput
from suite.paths import data_path

Range = tuple[float, float]


@dataclass(frozen=True)
class Meshes:
    """The 3D models, one class each."""

    source: Literal[
        "embedded", "folder"
    ]  # embedded: assets/meshes; folder: any tree of OBJ/GLB/GLTF/PLY/STL files
    folder: str | None  # for source=folder
    list_file: (
        str | None
    )  # for source=folder: JSON list of {"model": path below folder}, fixes order and choice
    packages: (
        str | None
    )  # for source=embedded: folder with the wheels of meshes/packages.json; adds their shapes
    side: Literal["pretrain", "tabletop"]  # which side of assets/meshes/split.json
    num_classes: int | None  # expected number of models; None: whatever is there
    skip_twins: bool  # skip a mesh whose file or geometry an earlier one has already
    max_file_mb: float | None  # a larger model file is enormous and rejected; None: no limit
    max_faces: int | None  # the same for triangles
    max_bad_share: float  # above this share of unusable meshes the stage stops with exit 2
    converter: Literal["bpy", "obj2gltf"]  # what reads OBJ files; obj2gltf: the published route, needs Node
    merge_distance: float  # spec 2.2a
    edge_split_angle: float  # degrees, spec 2.2c
    displace: float  # spec 2.2d


@dataclass(frozen=True)
class Rooms:
    """Wall, floor and ceiling meshes with random textures (SceneNet in the paper)."""

    source: Literal["procedural", "scenenet"]
    folder: str | None  # scenenet: holds models/NNN.glb and textures/<material>/
    num_rooms: int  # procedural: how many are made
    footprint: float  # x and y extent after rescaling
    height: float  # z extent after rescaling
    ceiling_strength: Range  # emission strength of the ceilings


@dataclass(frozen=True)
class Layout:
    """Camera, objects, lights of a target picture (the composer's flags)."""

    num_objects: tuple[int, int]  # objects to attempt, inclusive
    size_bins: tuple[Range, ...]  # size mixture
    size_probs: tuple[float, ...]
    cells_per_unit: int  # voxel grid resolution
    camera_radius: Range
    camera_height: Range
    look_at_xy: Range
    look_at_z: Range  # added to the camera's minimum height
    min_wall_distance: float
    object_distance: Range  # horizontal object-camera distance
    near_slack: float
    near_prob: float
    overlap_prob: float
    depth_order_prob: float
    reuse_prob: float
    max_tries: int  # re-draws of pose and size per object
    max_attempts: int  # re-draws of a whole scene before the sample is given up
    key_light_size: Range
    key_light_energy: Range
    fill_light_energy: Range
    back_light_energy: Range


@dataclass(frozen=True)
class Render:
    """Cycles settings that the published run used (spec 3.1)."""

    resolution: tuple[int, int]  # width, height
    samples: int  # maximum samples per pixel
    noise_threshold: float  # adaptive sampling; 0 switches it off
    denoise: bool  # Open Image Denoise
    fov: float  # horizontal, radians
    max_bounces: int
    diffuse_bounces: int
    glossy_bounces: int
    transmission_bounces: int
    transparent_bounces: int
    world_strength: float
    world_color: tuple[float, float, float]
    view_transform: Literal["Filmic", "Standard", "AgX"]
    texture_limit: int  # longest side of a texture in memory, 0: unlimited


@dataclass(frozen=True)
class Queries:
    """Each model alone on a turntable (spec 3.9)."""

    resolution: int
    num_shots: int
    tilt: float  # theta_x, degrees
    distance: float  # camera to model
    light_energy: float  # point light at the camera
    sizes: Literal["mixture", "unit"]  # mixture: layout.size_bins as published; unit: every model of size 1


@dataclass(frozen=True)
class Store:
    """How many samples, and how they are cut into shards."""

    num_images: int
    shard_size: int  # images per shard = chunk of work
    query_shard_size: int  # classes per shard


@dataclass(frozen=True)
class SolidConfig:
    meshes: Meshes
    rooms: Rooms
    layout: Layout
    render: Render
    queries: Queries
    store: Store
    detector: Detector
    pretrain: Pretrain
    target_set: TargetSet
    finetune: Finetune
    evaluate: Evaluate

    def __post_init__(self) -> None:
        if len(self.layout.size_bins) != len(self.layout.size_probs):
            raise ValueError("`layout.size_bins` and `layout.size_probs` differ in length")
        if abs(sum(self.layout.size_probs) - 1) > 1e-6:
            raise ValueError(f"`layout.size_probs` add up to {sum(self.layout.size_probs):g}, must be 1")
        if not 1 <= self.layout.num_objects[0] <= self.layout.num_objects[1] <= 255:
            raise ValueError(
                "`layout.num_objects` must be an increasing pair within 1..255 (label maps are uint8)"
            )
        for name in ("num_images", "shard_size", "query_shard_size"):
            if getattr(self.store, name) < 1:
                raise ValueError(f"`store.{name}` must be at least 1")
        sizes = {
            "render.resolution": min(self.render.resolution), "render.samples": self.render.samples,
            "queries.resolution": self.queries.resolution, "queries.num_shots": self.queries.num_shots,
        }  # fmt: skip
        for name, value in sizes.items():
            if value < 1:
                raise ValueError(f"`{name}` must be at least 1")
        for name in ("pretrain", "finetune"):
            if getattr(self, name).lr <= 0:
                raise ValueError(f"`{name}.lr` must be above 0")
        if self.pretrain.held_out >= self.store.num_images:
            raise ValueError("`pretrain.held_out` leaves no picture to train on")
        if len(self.finetune.overrides) % 2:
            raise ValueError("`finetune.overrides` must be pairs: KEY, VALUE, KEY, VALUE, ...")


CONFIG = SolidConfig


def mesh_overrides(text: str) -> tuple[str, ...]:
    """MESHES=/path: the overrides by which a run takes that folder. BadInput where it is none.

    The path becomes absolute, here and in the environment: compose.yaml mounts the folder under the name that
    it has on the host, so that both sides compute the same keys.
    """
    folder = data_path(text)
    if not folder.is_dir():
        raise BadInput("no such folder of meshes", file=text, fix="MESHES names a folder (its absolute path)")
    if not os.access(folder, os.R_OK | os.X_OK):
        raise BadInput("the folder of meshes cannot be read", file=text, fix="give yourself the right to")
    os.environ["MESHES"] = str(folder)
    return (
        "meshes.source=folder", f"meshes.folder={json.dumps(str(folder))}", "meshes.num_classes=null",
        "meshes.list_file=null", "meshes.max_bad_share=0.5",
    )  # fmt: skip


VARIABLES = {"MESHES": mesh_overrides}  # environment variables of this system (suite.runs.own_overrides)
