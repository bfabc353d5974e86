"""kill -9 and SIGTERM at random moments of `pretrain`: the same losses, the same digests."""

import random
import signal
import subprocess
import time

import pytest

pytest.importorskip("torch")
from tests.solid.learn.pretrain.runs import ENVIRONMENT, ROOT, Run, digests, rows

pytestmark = pytest.mark.slow
KILLS = 4
# More iterations than tiny.yaml's, so that there is something to interrupt between two checkpoints.
SETTINGS = (
    "pretrain.iterations=12",
    "pretrain.schedule=16",
    "pretrain.checkpoint_every=2",
    "pretrain.workers=1",
)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    run = Run(tmp_path_factory.mktemp("run"), *SETTINGS)
    run.must("undisturbed", fresh=True)
    return run


def interrupt(run, out, iterations, with_signal):
    """Start the command, wait until it has logged so many iterations (0: while it starts), interrupt it."""
    process = subprocess.Popen(
        run.command(out),
        cwd=ROOT,
        env=ENVIRONMENT,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    log, seen = "", 0
    if iterations == 0:
        time.sleep(1.0)
    while seen < iterations:
        line = process.stderr.readline()
        if not line:
            break
        log, seen = log + line, seen + (": trained " in line)
    process.send_signal(with_signal)
    return log + process.communicate()[1], process.returncode


@pytest.mark.kill
def test_a_run_killed_at_random_moments_ends_as_the_undisturbed_one(undisturbed):
    dice = random.Random(3)
    log = "".join(
        interrupt(undisturbed, "killed", dice.randint(0, 6), signal.SIGKILL)[0] for _ in range(KILLS)
    )
    done = undisturbed("killed")
    assert done.returncode == 0, done.stderr[-2000:]
    assert (log + done.stderr).count(" resumed iteration=") >= 2
    expected, found = undisturbed.folder / "undisturbed", undisturbed.folder / "killed"
    for name in ("metrics.jsonl", "retrieval.jsonl"):
        assert rows(found, name) == rows(expected, name)
    assert digests(found) == digests(expected)


def test_sigterm_leaves_a_checkpoint_of_the_very_iteration(undisturbed):
    log, code = interrupt(undisturbed, "stopped", 4, signal.SIGTERM)
    assert code == 75 and "Traceback" not in log
    trained = max(
        int(line.split("iteration=")[1].split()[0]) for line in log.splitlines() if ": trained " in line
    )
    done = undisturbed("stopped")
    assert done.returncode == 0 and f" resumed iteration={trained}" in done.stderr
    assert digests(undisturbed.folder / "stopped") == digests(undisturbed.folder / "undisturbed")
