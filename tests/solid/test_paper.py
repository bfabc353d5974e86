"""paper.yaml, number by number: each value is written here a second time, as published.

Sources: the authors' repository (princeton-vl/SOLID) at the flags that its shell scripts use, and the
defaults of the versions it pins (BlenderProc 2.2.0 on Blender 2.93, detectron2 0.5).
"""

import math
import re
from pathlib import Path

import pytest

from experiments.solid.config import SolidConfig
from experiments.solid.layout import camera, lights, surfaces
from experiments.solid.stages import STAGES
from suite.config import load_config, to_tree

CONFIGS = Path(__file__).resolve().parents[2] / "experiments/solid/configs"
EDGES = [640, 672, 704, 736, 768, 800]
PUBLISHED = {
    "meshes": {
        "num_classes": 52_447, "skip_twins": False, "merge_distance": 1e-6, "displace": 1e-5,
        "edge_split_angle": 70.0,
    },
    "rooms": {
        "source": "scenenet", "num_rooms": 40, "footprint": 12.0, "height": 6.0,
        "ceiling_strength": [0.5, 1.0],
    },
    "layout": {
        "num_objects": [20, 25], "size_bins": [[0.1, 1.0], [1.0, 2.0], [2.0, 3.0]],
        "size_probs": [0.7, 0.1, 0.2], "cells_per_unit": 12, "camera_radius": [3.6, 6.0],
        "camera_height": [0.1, 2.0], "look_at_xy": [-2.0, 2.0], "look_at_z": [0.0, 2.0],
        "min_wall_distance": 4.0, "object_distance": [2.0, math.inf], "near_slack": 1.0, "near_prob": 1.0,
        "overlap_prob": 0.7, "depth_order_prob": 0.5, "reuse_prob": 0.5, "max_tries": 5,
        "key_light_size": [0.01, 0.25], "key_light_energy": [150.0, 300.0],
        "fill_light_energy": [10.0, 30.0], "back_light_energy": [20.0, 60.0],
    },
    "render": {
        "resolution": [640, 480], "samples": 1024, "noise_threshold": 0.01, "denoise": True, "fov": 0.691111,
        "max_bounces": 3, "diffuse_bounces": 3, "glossy_bounces": 0, "transmission_bounces": 0,
        "transparent_bounces": 8, "world_strength": 1.0, "world_color": [0.05, 0.05, 0.05],
        "view_transform": "Filmic", "texture_limit": 0,
    },
    "queries": {
        "resolution": 384, "num_shots": 8, "tilt": -30.0, "distance": 3.0, "light_energy": 1000.0,
        "sizes": "mixture",
    },
    "store": {"num_images": 1_000_000, "shard_size": 256, "query_shard_size": 256},
    "detector": {
        "depth": 50, "stem_channels": 64, "res2_channels": 256, "stride_in_1x1": True, "fpn_channels": 256,
        "anchor_sizes": [32, 64, 128, 256, 512], "anchor_ratios": [0.5, 1.0, 2.0], "rpn_batch": 256,
        "rpn_pre_topk_train": 2000, "rpn_pre_topk_test": 1000, "rpn_post_topk": 1000, "roi_batch": 512,
        "roi_positive": 0.25, "box_pool": 7, "fc_dim": 1024, "num_fc": 2, "mask_pool": 14,
        "mask_channels": 256, "num_mask_conv": 4, "test_score": 0.05, "test_nms": 0.5,
        "test_detections": 100,
    },
    "pretrain": {
        "batch_size": 128, "num_queries": 128, "query_size": 224, "held_out": 0, "held_out_models": 0,
        "sampler": "chunk_cache", "cache_size": 1250, "short_edges": EDGES, "max_edge": 1333, "flip": True,
        "min_box": 8.0, "pixel_mean": [71.42, 84.02, 93.79], "pixel_std": [48.09, 47.98, 47.64],
        "embed_dims": [256], "temperature": 0.2, "ema": 0.999, "norm": "BN", "lr": 0.1, "momentum": 0.9,
        "weight_decay": 4e-5, "weight_decay_norm": 0.0, "warmup": 10_000, "warmup_factor": 1e-4,
        "final_lr_factor": 0.01, "schedule": 1_000_000, "iterations": 750_000, "precision": "float16",
        "shuffled_queries": False, "checkpoint_every": 5000, "log_every": 20, "threads": 2,
    },
    "finetune": {
        "batch_size": 16, "lr": 0.02, "momentum": 0.9, "weight_decay": 1e-4, "warmup": 1000,
        "warmup_factor": 1e-3, "iterations": 90_000, "steps": [60_000, 80_000], "norm": "SyncBN",
        "precise_bn": 200, "freeze_at": 0, "pixel_mean": [103.53, 116.28, 123.675],
        "pixel_std": [57.375, 57.12, 58.395], "short_edges": EDGES, "max_edge": 1333,
        "test_short_edge": 800, "test_max_edge": 1333, "flip": True, "precision": "float16",
    },
}  # fmt: skip
TREE = to_tree(load_config(SolidConfig, CONFIGS / "paper.yaml"))


def plain(value):
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value


@pytest.mark.parametrize(
    ("section", "name"), [(section, name) for section, values in PUBLISHED.items() for name in values]
)
def test_the_setting_is_the_published_one(section, name):
    assert plain(TREE[section][name]) == PUBLISHED[section][name]


def test_a_million_pictures_are_3907_chunks_and_52447_models_are_205():
    config = load_config(SolidConfig, CONFIGS / "paper.yaml")
    assert STAGES["targets"].num_shards(config) == 3907
    assert STAGES["queries"].num_shards(config) == 205
    assert config.store.num_images - 3906 * 256 == 64  # the last chunk
    assert config.meshes.num_classes - 204 * 256 == 223


def test_what_follows_from_the_settings_is_as_published():
    """96 passes over the pictures; the rate where training was stopped; the angle of 50 mm on 36 mm."""
    pretrain = TREE["pretrain"]
    assert pretrain["iterations"] * pretrain["batch_size"] / TREE["store"]["num_images"] == 96
    done = pretrain["iterations"] / pretrain["schedule"]
    factor = 0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2
    assert factor == pytest.approx(0.155, abs=5e-4)
    assert 2 * math.atan(36 / 2 / 50) == pytest.approx(TREE["render"]["fov"], abs=1e-6)
    assert math.radians(TREE["meshes"]["edge_split_angle"]) == pytest.approx(1.22173, abs=1e-5)


def test_numbers_that_are_no_settings_are_the_published_ones_too():
    """The three lights, the wall test of the camera, which faces are floor: constants beside the code."""
    assert lights.RADIUS_SHARE == (0.8, 1.0)
    assert (lights.KEY_HEIGHT, lights.FILL_HEIGHT, lights.BACK_HEIGHT) == ((2, 5), (0.1, 1), (6, 10))
    assert math.degrees(lights.FILL_WEDGE) == pytest.approx(60)
    assert math.degrees(lights.BACK_WEDGE) == pytest.approx(30)
    assert (lights.DEFAULT_SIZE, lights.SPREAD) == (0.25, math.pi)
    assert camera.FAN == 10
    assert (surfaces.NORMAL_TOLERANCE, surfaces.MIN_PATCH_AREA) == (0.1, 0.1)


def test_every_value_of_the_sections_above_names_its_source():
    """A line of paper.yaml ends in [code], [dep] or [ours], but where a neighbouring line names it."""
    section, without = "", []
    for line in (CONFIGS / "paper.yaml").read_text().splitlines():
        if top := re.match(r"(\w+):", line):
            section = top[1]
        elif line.startswith("  ") and not re.search(r"# \[(code|dep|ours)\]", line):
            without.append(f"{section}.{line.strip().split(':')[0]}")
    assert set(without) <= {
        "meshes.source", "rooms.source", "pretrain.overrides", "finetune.overrides", "target_set.source",
        "target_set.train_images", "target_set.test_images", "target_set.max_train", "target_set.max_test",
    }  # fmt: skip


def test_every_other_scale_is_laid_over_the_published_one():
    for path in CONFIGS.glob("*.yaml"):
        if path.stem != "paper":
            assert re.search(r"^base: (paper|smoke)\.yaml$", path.read_text(), flags=re.M)
            load_config(SolidConfig, path)
