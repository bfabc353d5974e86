"""Two gloo ranks of one torchrun, as real processes."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import torch

from experiments.solid.learn.engine.checkpoint import load_model_tensors

ROOT = Path(__file__).resolve().parents[4]
pytestmark = pytest.mark.slow


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def command(folder, name, *overrides, ranks=2, verb="train"):
    config = folder / "toy.yaml"
    config.write_text("iterations: 12\n")
    launcher = ["-m", "torch.distributed.run", "--nproc_per_node", str(ranks)]
    launcher += ["--master_addr", "127.0.0.1", "--master_port", str(free_port())]
    words = ["-m", "tests.solid.learn.engine.toy", verb, "--config", str(config), "--out", str(folder / name)]
    for text in overrides:
        words += ["-o", text]
    return [sys.executable, *(launcher if ranks > 1 else []), *words]


LIMIT = 900  # seconds; ranks that wait for each other would wait for half an hour
ENVIRONMENT = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}


def run(*words, **options):
    line = command(*words, **options)
    return subprocess.run(
        line, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=LIMIT
    )


def rows(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_two_ranks_learn_what_one_process_learns_from_the_same_global_batch(tmp_path):
    one, two = run(tmp_path, "one", ranks=1), run(tmp_path, "two")
    assert (one.returncode, two.returncode) == (0, 0), two.stderr[-2000:]
    alone, together = (load_model_tensors(tmp_path / name / "model.pth") for name in ("one", "two"))
    for name, value in alone.items():
        torch.testing.assert_close(together[name], value, rtol=1e-5, atol=1e-6)
    for ours, theirs in zip(rows(tmp_path / "one"), rows(tmp_path / "two"), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4)
    facts = json.loads((tmp_path / "two/manifest.json").read_text())["facts"]
    assert facts["world_size"] == 2
    # Rank 0 alone speaks and writes: no line and no file twice.
    assert two.stdout.count("done") == 1 and two.stderr.count("trained iteration=12 ") == 1
    assert sorted(p.name for p in tmp_path.glob("two*")) == ["two"]


def test_two_ranks_that_were_killed_end_in_the_same_bytes(tmp_path):
    settings = ("noise=0.3", "checkpoint_every=3")
    assert run(tmp_path, "calm", *settings).returncode == 0
    # The pause is a setting of the toy: without it the key would differ and the work folder be discarded.
    slow = (*settings, "pause=0.2")
    process = subprocess.Popen(
        command(tmp_path, "killed", *slow), cwd=ROOT, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True
    )
    while "trained iteration=6 " not in process.stderr.readline():
        assert process.poll() is None
    # torchrun's ranks have sessions of their own and would go on without it.
    everyone = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    assert len(everyone) == 3
    for member in everyone:
        member.kill()
    process.communicate()
    part = tmp_path / "killed.part"
    assert (part / ".work/checkpoint.pt").exists()
    assert run(tmp_path, "killed", *slow).returncode == 0
    for name in ("metrics.jsonl", "model.safetensors"):
        assert (tmp_path / "calm" / name).read_bytes() == (tmp_path / "killed" / name).read_bytes()


def test_sigterm_of_torchrun_stops_all_ranks_at_the_same_iteration(tmp_path):
    process = subprocess.Popen(
        command(tmp_path, "out", "pause=0.2", "iterations=200"), cwd=ROOT, env=ENVIRONMENT,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while "trained iteration=3 " not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    log = process.communicate(timeout=LIMIT)[1]
    assert process.returncode != 0
    assert log.count("stopped by SIGTERM") == 2
    assert (tmp_path / "out.part/.work/checkpoint.pt").exists()


def test_a_rank_that_dies_ends_all(tmp_path):
    done = run(tmp_path, "out", "crash_rank=1")
    assert done.returncode != 0
    assert not (tmp_path / "out").exists()


def test_a_bad_loss_on_one_rank_is_told_by_all_with_that_ranks_samples(tmp_path):
    done = run(tmp_path, "out", "poison=4")
    assert done.returncode != 0
    assert done.stderr.count("not finite at iteration 4") == 2
    assert "sample-1-0, sample-1-1" in done.stderr and "sample-0-0" not in done.stderr


def test_a_stage_of_one_process_and_a_batch_that_cannot_be_cut_are_refused(tmp_path):
    assert "`alone` runs as one process; start it without torchrun" in run(tmp_path, "a", verb="alone").stderr
    assert "batch_size 3 cannot be cut over 2 ranks" in run(tmp_path, "b", "batch_size=3").stderr
