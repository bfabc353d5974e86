"""SOLID at tiny as users run it: its stages want two containers. Undisturbed, and stopped in the middle."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.containers.compose import check_finished, compose_run, docker, relay_state
from tests.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_the_paper_reproduces_at_tiny_and_its_files_belong_to_the_caller(undisturbed):
    check_finished(undisturbed("solid"), "solid")


def results(folder: Path) -> dict[str, str]:
    """Stage or shard -> key, and the digests of what training leaves."""
    found = {}
    for path in sorted(folder.rglob("manifest.json")):
        tree = json.loads(path.read_text())
        made = {row["path"]: row["sha256"] for row in tree["outputs"] if row["path"].endswith(".safetensors")}
        found[str(path.parent.relative_to(folder))] = f"{tree['key']} {made}"
    return found


# Stage -> what comes after it; the kills begin with all that comes before.
AFTER = {"finetune": ("evaluate", "report"), "pretrain": ("instances", "finetune", "evaluate", "report")}


@pytest.mark.parametrize(("stage", "how", "code"), [("pretrain", "TERM", "75"), ("finetune", "KILL", "137")])
def test_two_containers_stopped_in_the_middle_go_on_to_the_same_result(undisturbed, runs, stage, how, code):
    folder = runs(4242 if os.geteuid() == 0 else os.geteuid())
    subprocess.run(["cp", "-a", f"{undisturbed('solid')}/.", folder], check=True)
    for name in (stage, *AFTER[stage]):
        shutil.rmtree(folder / "solid/tiny/seed0" / name)
    name = f"syndet-test-chain-{os.getpid()}-{stage}"
    settings = {"SCALE": "tiny", "RUNS_DIR": str(folder)}
    docker("compose", "run", "-d", "--name", name, "solid", **settings)
    try:
        part = folder / f"solid/tiny/seed0/{stage}.part"
        wait_until(lambda: part.exists(), 300, docker("logs", name).stderr[-2000:])
        time.sleep(1)
        docker("kill", "--signal", how, name)
        assert docker("wait", name, timeout=120).stdout.strip() == code
        wait_until(lambda: relay_state() == "exited 0", 120, "a stage went on unseen")
        assert part.exists(), "stopped too late to show anything"
    finally:
        docker("rm", "-f", name)
    compose_run("solid", timeout=600, **settings)
    assert results(folder) == results(undisturbed("solid"))
