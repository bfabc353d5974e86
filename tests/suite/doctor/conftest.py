"""A small repository in a temporary folder, and fake programs on its PATH."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from suite.doctor.context import Context
from tests.suite.doctor.fakes import REPOSITORY, Fakes

TOOLCHAINS = ("blender", "detectron2", "tensorflow", "jax")


@pytest.fixture
def fakes(tmp_path) -> Fakes:
    return Fakes(tmp_path / "bin")


@pytest.fixture
def root(tmp_path) -> Path:
    """A repository with the files that the doctor reads; its own assets, locks and empty runs/ and data/."""
    folder = tmp_path / "repository"
    for name in ("runs", "data", "workflow", "suite", "docker", "assets/meshes/models/cup"):
        (folder / name).mkdir(parents=True)
    shutil.copy(REPOSITORY / "workflow/bootstrap.py", folder / "workflow")
    shutil.copy(REPOSITORY / "suite/datasets.yaml", folder / "suite")
    shutil.copytree(REPOSITORY / "experiments/solid/configs", folder / "experiments/solid/configs")
    for toolchain in TOOLCHAINS:
        (folder / "docker" / toolchain).mkdir()
        for accel in ("cpu", "cuda"):
            (folder / "docker" / toolchain / f"requirements.{accel}.lock").write_text(
                f"{toolchain} {accel}\n"
            )
    shutil.copy(REPOSITORY / "docker/blender/apt.txt", folder / "docker/blender")
    model = folder / "assets/meshes/models/cup/model.obj"
    model.write_text("v 0 0 0\n")
    record = {
        "model": "models/cup/model.obj",
        "files": {"model.obj": hashlib.sha256(model.read_bytes()).hexdigest()},
    }
    (folder / "assets/meshes/meshes.json").write_text(json.dumps({"meshes": [record]}))
    return folder


@pytest.fixture
def context(root, fakes) -> Callable[..., Context]:
    """`context(SCALE="paper", RUNS_DIR=...)`: a fresh Context that finds nothing but the fakes."""

    def make(scale: str = "smoke", **env: str) -> Context:
        return Context(root, ("solid",), TOOLCHAINS, scale, {"PATH": str(fakes.folder), **env})

    return make
