"""kill -9 of `finetune` at random moments through its public command, and two ranks of it."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time

import pytest

from experiments.solid.learn.engine.checkpoint import load_checkpoint, load_model_tensors
from tests.solid.learn.finetune.runs import ROOT

pytestmark = pytest.mark.slow
KILLS = 4
LIMIT = 900  # seconds; ranks that wait for each other would wait for half an hour


def kill_after_lines(line, count, pause):
    """Start the command and kill it `pause` seconds after its `count`-th log line; returns its log."""
    process = subprocess.Popen(line, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    log, seen = "", 0
    while seen < count:
        text = process.stderr.readline()
        if not text:
            break
        log, seen = log + text, seen + (": trained " in text)
    time.sleep(pause)
    process.send_signal(signal.SIGKILL)
    return log + process.communicate()[1]


def digests(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    return manifest["key"], manifest["counts"], [shard["outputs_sha256"] for shard in manifest["shards"]]


@pytest.mark.kill
def test_a_run_killed_at_random_moments_ends_in_the_digests_of_the_undisturbed_one(finished):
    dice = random.Random("finetune")
    line = finished.command("finetune", out="killed")
    log = ""
    for _ in range(KILLS):
        log += kill_after_lines(line, dice.randint(1, 4), dice.random() * 0.3)
    assert "resumed iteration=" in log, "no kill hit the middle of a training"
    finished.must("finetune", out="killed")
    assert digests(finished.folder / "killed") == digests(finished.folder / "finetune")
    for shard in ("00000", "00001"):
        ours, theirs = (finished.folder / name / shard / "metrics.jsonl" for name in ("killed", "finetune"))
        assert ours.read_bytes() == theirs.read_bytes()


def test_a_kill_between_training_and_manifest_costs_no_iteration(finished):
    """The last checkpoint stands until the manifest does; only batch norm is estimated again."""
    line = finished.command("finetune", "--shard", "1", out="late")
    process = subprocess.Popen(line, cwd=ROOT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    saved = "late.part/**/checkpoint.pt"
    while not any(load_checkpoint(path)["step"] == 6 for path in finished.folder.glob(saved)):
        assert process.poll() is None
    process.kill()
    process.wait()
    assert not (finished.folder / "late.part/00001/manifest.json").exists()
    done = finished.must("finetune", "--shard", "1", out="late")
    assert ": trained " not in done.stderr
    ours, theirs = finished.folder / "late.part/00001", finished.folder / "finetune/00001"
    for name in ("metrics.jsonl", "model.safetensors"):
        assert (ours / name).read_bytes() == (theirs / name).read_bytes()


def test_sigterm_leaves_75_and_a_checkpoint(finished):
    line = finished.command("finetune", "--shard", "0", out="stopped")
    process = subprocess.Popen(line, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    while ": trained iteration=2 " not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    log = process.communicate()[1]
    assert process.returncode == 75 and "Traceback" not in log
    assert list((finished.folder / "stopped.part").rglob("checkpoint.pt"))
    finished.must("finetune", "--shard", "0", out="stopped")
    ours, theirs = finished.folder / "stopped.part/00000", finished.folder / "finetune/00000"
    assert (ours / "model.safetensors").read_bytes() == (theirs / "model.safetensors").read_bytes()


def torchrun(finished, *words, out):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    launcher = ["-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_addr", "127.0.0.1"]
    line = finished.command("finetune", *words, "--shard", "1", out=out)
    line = [sys.executable, *launcher, "--master_port", str(port), *line[1:]]
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    options = {"capture_output": True, "text": True, "check": False, "timeout": LIMIT}
    return subprocess.run(line, cwd=ROOT, env=environment, **options)


@pytest.mark.parametrize("norm", ["BN", "SyncBN"])
def test_two_ranks_fine_tune_together(finished, norm):
    """Anchors are sampled by each rank, so the numbers differ from one process; files and log do not."""
    out = f"ranks-{norm}"
    done = torchrun(finished, "-o", f"finetune.norm={norm}", out=out)
    assert done.returncode == 0, done.stderr[-3000:]
    folder = finished.folder / f"{out}.part/00001"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["facts"]["world_size"] == 2
    assert json.loads((folder / "summary.json").read_text())["ranks"] == 2
    assert bool(manifest["warnings"]) == (norm == "SyncBN")
    alone = load_model_tensors(finished.folder / "finetune/00001/model.pth")
    together = load_model_tensors(folder / "model.pth")
    assert together.keys() == alone.keys()
    first, theirs = (
        json.loads((place / "metrics.jsonl").read_text().splitlines()[0])
        for place in (folder, finished.folder / "finetune/00001")
    )
    # The same weights and the same global batch; only what is sampled from it differs.
    assert first["loss_cls"] == pytest.approx(theirs["loss_cls"], rel=0.1)
    assert first["loss_mask"] == pytest.approx(theirs["loss_mask"], rel=0.1)
