"""Tests of the learning half; they need torch and run in the detectron2 toolchain."""

from __future__ import annotations

import dataclasses
import importlib.util
from pathlib import Path

import pytest

if importlib.util.find_spec("torch") is None:
    collect_ignore_glob = ["*"]

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def tiny_config():
    """The settings of configs/tiny.yaml, for a store of the size of `store_folder`."""
    from experiments.solid.config import SolidConfig
    from suite.config import load_config

    config = load_config(SolidConfig, ROOT / "experiments/solid/configs/tiny.yaml")
    return dataclasses.replace(config, store=dataclasses.replace(config.store, num_images=12))


@pytest.fixture(scope="session")
def store_folder(tmp_path_factory) -> Path:
    """A finished create-store folder: 12 pictures of 48 x 64, 6 classes with 3 queries. Do not write to it.

    The pictures are textured rectangles; each class has its colour, on targets and on queries.
    """
    from tests.solid.learn.stores import write_store

    return write_store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="session")
def store_index(store_folder, tmp_path_factory):
    """The index of `store_folder`."""
    from experiments.solid.learn.data.index import StoreIndex
    from experiments.solid.store.reader import SolidStore

    return StoreIndex.build(SolidStore.open(store_folder), tmp_path_factory.mktemp("index") / "index")


@pytest.fixture
def with_pretrain(tiny_config):
    """`with_pretrain(workers=1)`: the tiny settings with some of `pretrain` changed."""

    def change(**changes):
        return dataclasses.replace(tiny_config, pretrain=dataclasses.replace(tiny_config.pretrain, **changes))

    return change


@pytest.fixture
def target_settings(tmp_path):
    """A `target_set` of ten training and five test pictures in `tmp_path`, three classes."""
    from tests.solid.learn.coco_sets import write_target_set

    return write_target_set(tmp_path)
