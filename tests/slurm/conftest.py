"""One Slurm for all tests of this folder (for each worker of pytest), and checkouts that submit to it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slurm.engine import Engine, NoSlurm, install
from tests.suite.launch.conftest import Checkout, make_checkout


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """A running Slurm; the tests are skipped where none can be had."""
    try:
        install()
        running = Engine().__enter__()
    except NoSlurm as reason:
        pytest.skip(f"no Slurm: {reason}")
    yield running
    running.__exit__()


@pytest.fixture
def cluster(engine: Engine, tmp_path: Path) -> Iterator[Checkout]:
    """A checkout with the toy system whose stages go to the cluster, with nothing run yet. What a test leaves
    running, here or in the queue, ends with it.
    """
    made = make_checkout(tmp_path / "checkout")
    fast = {"POLL_SECONDS": "0.5", "SETTLE_SECONDS": "2", "TIME": "5", "CPUS": "1"}
    fast |= {"SIGNAL_SECONDS": "60"}
    made.env |= engine.env | {f"SYNDET_SLURM_{name}": value for name, value in fast.items()}
    started = []
    start = made.start

    def start_noted(*words: str, **extra: str) -> subprocess.Popen:
        started.append(start(*words, **extra))
        return started[-1]

    made.start = start_noted  # type: ignore[method-assign]
    yield made
    for process in started:
        process.kill()
        process.wait()
    engine.call("scancel", "--quiet", "--user=root")
