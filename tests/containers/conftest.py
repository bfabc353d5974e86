"""The images, built once, and what the tests of them share. Without an engine these tests are skipped."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tests.containers.compose import ROOT, build_images, compose_run, docker


@pytest.fixture(scope="session")
def project():
    """A compose project of its own: a paper that runs in this checkout keeps the container beside it."""
    name = f"syndet-test-{os.getpid()}"
    os.environ["COMPOSE_PROJECT_NAME"] = name
    yield
    subprocess.run(["docker", "compose", "--profile", "*", "down", "--volumes", "--timeout", "5"], cwd=ROOT,
                   capture_output=True)
    del os.environ["COMPOSE_PROJECT_NAME"]


@pytest.fixture(scope="session")
def images(project, tmp_path_factory) -> dict[str, dict[str, float]]:
    """Build all images; by toolchain: seconds (cold or warm, as the engine was) and size in GB. Of several
    workers of pytest the first one builds.
    """
    try:
        docker("info", timeout=30)
    except (OSError, AssertionError):
        pytest.skip("no Docker engine answers; python3 tests/containers/engine.py starts one")
    built = tmp_path_factory.getbasetemp().parent / f"images-{os.environ.get('PYTEST_XDIST_TESTRUNUID', '')}"
    with built.open("a+") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        if "PYTEST_XDIST_TESTRUNUID" not in os.environ or not built.stat().st_size:
            handle.truncate(0)
            handle.write(json.dumps(build_images(), indent=1) + "\n")
    text = built.read_text()
    if os.environ.get("SYNDET_IMAGE_FIGURES"):
        Path(os.environ["SYNDET_IMAGE_FIGURES"]).write_text(text)
    return json.loads(text)


@pytest.fixture
def runs(tmp_path_factory):
    """A function that gives a fresh runs/ folder belonging to a uid."""
    def make(uid: int) -> Path:
        if os.geteuid() != 0 and uid != os.geteuid():
            pytest.skip("only root can give a folder to another user")
        folder = tmp_path_factory.mktemp("runs")
        os.chown(folder, uid, uid)
        for parent in folder.parents[:2]:
            parent.chmod(0o755)
        return folder
    return make


@pytest.fixture(scope="session")
def undisturbed(images, tmp_path_factory) -> Callable[[str], Path]:
    """The folder of a paper, of uid 4242; reproduced at tiny by `docker compose run` when first asked for."""

    @cache
    def reproduced(paper: str) -> Path:
        folder = tmp_path_factory.mktemp(paper)
        if os.geteuid() == 0:
            os.chown(folder, 4242, 4242)
            for parent in folder.parents[:2]:
                parent.chmod(0o755)
        compose_run(paper, timeout=900, SCALE="tiny", RUNS_DIR=str(folder))
        return folder

    return reproduced
