"""kill -9 at random moments of `targets` and `queries`, then resume: same keys, same digests, nothing
rendered twice.
"""

import json
import random
import signal
import subprocess
import time
from collections import Counter

import pytest

from tests.solid.conftest import BEFORE_PICTURES, ROOT

pytestmark = pytest.mark.slow
KILLS = 5


def digests(run, verb):
    manifest = json.loads((run.folder / verb / "manifest.json").read_text())
    return manifest["key"], manifest["counts"], [shard["outputs_sha256"] for shard in manifest["shards"]]


def rendered(text):
    return Counter(line.split(": ", 1)[1] for line in text.splitlines() if ": rendered " in line)


def kill_after_lines(run, verb, lines):
    """Start the verb and kill it when it has reported `lines` items (0: while it starts); returns its log."""
    process = subprocess.Popen(
        run.command(verb), cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    if lines == 0:
        time.sleep(0.7)
    log, seen = "", 0
    while seen < lines:
        line = process.stderr.readline()
        if not line:
            break
        log, seen = log + line, seen + (": rendered " in line)
    process.send_signal(signal.SIGKILL)
    return log + process.communicate()[1]


@pytest.mark.kill
@pytest.mark.parametrize("verb", ["targets", "queries"])
def test_a_run_killed_at_random_moments_ends_as_the_undisturbed_one(prepared, finished, tmp_path, verb):
    run = prepared.copy(tmp_path, *BEFORE_PICTURES)
    dice = random.Random(verb)
    log = "".join(kill_after_lines(run, verb, dice.randint(0, 2)) for _ in range(KILLS))
    log += run.must(verb).stderr
    assert digests(run, verb) == digests(finished, verb)
    counts = rendered(log)
    assert sum(counts.values()) == digests(run, verb)[1]["images" if verb == "targets" else "classes"]
    assert max(counts.values()) == 1, "an item was rendered twice"


def test_sigterm_stops_between_two_pictures_and_the_same_command_goes_on(prepared, finished, tmp_path):
    run = prepared.copy(tmp_path, *BEFORE_PICTURES)
    process = subprocess.Popen(run.command("targets"), cwd=ROOT, stderr=subprocess.PIPE, text=True)
    log = ""
    while ": rendered " not in log:
        log += process.stderr.readline()
    process.send_signal(signal.SIGTERM)
    log += process.communicate()[1]
    assert process.returncode == 75 and "Traceback" not in log
    log += run.must("targets").stderr
    assert digests(run, "targets") == digests(finished, "targets")
    assert max(rendered(log).values()) == 1
