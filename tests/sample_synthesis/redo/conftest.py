"""Tests of ReDO; they need torch and run in the detectron2 toolchain."""

from __future__ import annotations

import importlib.util

import pytest

if importlib.util.find_spec("torch") is None:
    collect_ignore_glob = ["*"]


@pytest.fixture(scope="session")
def small():
    """An architecture of a second: 32 pixels, width 8."""
    from experiments.sample_synthesis.redo.networks import Architecture

    widths = {f"nf_{name}": 8 for name in ("mask", "generator", "discriminator", "regressor")}
    return Architecture(size=32, latent=4, **widths)


@pytest.fixture(scope="session")
def settings():
    """Settings of training of that size: 4 steps, a checkpoint every 2."""
    from experiments.sample_synthesis.config_sections import RedoConfig

    return RedoConfig(nf=8, latent=4, size=32, batch=4, steps=4, checkpoint_every=2, restart_before=0)


@pytest.fixture(scope="session")
def pictures():
    """Pictures uint8 (12, 32, 32, 3) and their true masks bool (12, 32, 32)."""
    from tests.sample_synthesis.redo.scenes import scenes

    return scenes(12, side=32)
