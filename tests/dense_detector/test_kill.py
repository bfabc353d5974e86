"""kill -9 and SIGTERM through the public command: the run ends as an undisturbed one. And its memory."""

import json
import os
import random
import signal
import subprocess
import sys

import pytest
import torch

from experiments.dense_detector.checkpoint import BEST, LAST, load_checkpoint
from experiments.dense_detector.journal import EVENTS, METRICS
from tests.dense_detector.chain import ROOT, Chain, make_sets

pytestmark = pytest.mark.slow
STEPS = 24
SETTINGS = (
    f"train.epochs={STEPS // 3}", "train.max_steps=null", "train.checkpoint_every=5", "train.variants=[ours]",
    "train.eval_every=4", "train.snapshots=3",
)  # fmt: skip
MEMORY_LIMIT = 2e9  # bytes: what a laptop has left beside a browser


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kill")
    chain = Chain(make_sets(folder / "sets"), folder / "quiet", SETTINGS)
    chain.must("import", "verify", "train")
    return chain


def disturbed(chain, folder):
    """The same settings in another folder, `import` and `verify` linked."""
    folder.mkdir()
    for name in ("import", "verify"):
        (folder / name).symlink_to(chain.folder / name)
    return Chain(chain.sets, folder, chain.extra)


def start(chain):
    line = [sys.executable, "-m", "experiments.dense_detector", *chain.words("train", "--shard", "0")]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        line, cwd=ROOT, env=env, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def wait_for_step(process, step):
    for line in process.stderr:
        if line.startswith(f"step {step}/"):
            return
    pytest.fail("the run ended before it could be disturbed")


def assert_same_end(chain, other):
    one, two = (folder / "train" / "00000" for folder in (chain.folder, other.folder))
    assert (one / METRICS).read_text() == (two / METRICS).read_text()
    assert (one / EVENTS).read_bytes() == (two / EVENTS).read_bytes()
    for name in (LAST, BEST):
        assert (one / name).read_bytes() == (two / name).read_bytes()
    first, second = (load_checkpoint(folder / LAST)["model"] for folder in (one, two))
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.kill
def test_a_run_killed_three_times_at_random_steps_ends_as_the_undisturbed_one(chain, tmp_path):
    run, dice = disturbed(chain, tmp_path / "run"), random.Random(4)
    for step in sorted(dice.sample(range(1, STEPS), 3)):
        process = start(run)
        wait_for_step(process, step)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    run.must("train")
    assert_same_end(chain, run)


def test_sigterm_ends_in_75_after_a_checkpoint_and_the_same_command_goes_on(chain, tmp_path):
    run = disturbed(chain, tmp_path / "run")
    process = start(run)
    wait_for_step(process, 7)
    process.send_signal(signal.SIGTERM)
    assert "Traceback" not in process.communicate()[1]
    assert process.returncode == 75
    state = load_checkpoint(run.folder / "train.part/00000.part" / LAST)
    assert 7 <= state["step"] < STEPS
    run.must("train")
    assert_same_end(chain, run)


def test_the_small_profile_trains_in_less_than_two_gigabytes(chain, tmp_path):
    """Network, picture size and batch of configs/small.yaml, three steps, in a process of its own."""
    small = Chain(chain.sets, chain.folder, ("train.max_steps=3", "train.variants=[ours]"))
    words = small.words("train", "--shard", "0")
    words[words.index("--config") + 1] = str(ROOT / "experiments/dense_detector/configs/small.yaml")
    words[words.index("--out") + 1] = str(tmp_path / "train")
    line = [sys.executable, "-m", "experiments.dense_detector", *words]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    manifest = json.loads((tmp_path / "train.part/00000/manifest.json").read_text())
    assert manifest["config"]["train"]["batch_size"] == 16
    assert 1e8 < manifest["peak_rss_bytes"] < MEMORY_LIMIT
