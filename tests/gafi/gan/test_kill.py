"""kill -9 and SIGTERM on a real BigGAN-deep: the run ends as an undisturbed one, to the last byte."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from suite.manifest import file_digest
from tests.gafi.gan.child import EPOCHS, PER_EPOCH

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[3]


def start(folder):
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    line = [sys.executable, "-m", "tests.gafi.gan.child", str(folder)]
    return subprocess.Popen(line, cwd=ROOT, env=env, stderr=subprocess.PIPE, text=True)


def disturb(folder, step, how):
    """Send a signal after that many steps of the process; returns (exit code, stderr)."""
    process, steps = start(folder), 0
    for line in process.stderr:
        steps += line == "step\n"
        if steps == step:
            process.send_signal(how)
            break
    else:
        pytest.fail("the run ended before it could be disturbed")
    return process.wait(), process.stderr.read()


def finish(folder):
    process = start(folder)
    text = process.communicate()[1]
    assert process.returncode == 0, text
    return sum(line == "step" for line in text.splitlines())


def files(folder):
    return {str(p.relative_to(folder)): file_digest(p) for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def quiet(tmp_path_factory):
    folder = tmp_path_factory.mktemp("quiet") / "run"
    assert finish(folder) == EPOCHS * PER_EPOCH
    return files(folder)


def state_step(folder):
    with np.load(folder.with_name(folder.name + "-work") / "state.npz", allow_pickle=False) as state:
        return int(state["step"])


@pytest.mark.kill
def test_a_run_killed_twice_ends_with_the_bytes_of_one_that_was_not(quiet, tmp_path):
    folder = tmp_path / "run"
    for step in (5, 4):  # in the middle of epochs, between two checkpoints
        code, _ = disturb(folder, step, signal.SIGKILL)
        assert code == -signal.SIGKILL
    assert 0 < state_step(folder) < EPOCHS * PER_EPOCH
    assert finish(folder) < EPOCHS * PER_EPOCH
    assert files(folder) == quiet


def test_sigterm_ends_in_75_after_a_checkpoint_and_the_same_command_goes_on(quiet, tmp_path):
    folder = tmp_path / "run"
    code, text = disturb(folder, 5, signal.SIGTERM)
    assert code == 75
    assert "Traceback" not in text
    done = state_step(folder)
    assert 5 <= done < EPOCHS * PER_EPOCH
    assert finish(folder) == EPOCHS * PER_EPOCH - done
    assert files(folder) == quiet
