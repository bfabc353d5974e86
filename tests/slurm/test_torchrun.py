"""A stage with ranks on two nodes in one allocation, by srun and torchrun."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from suite.errors import EXIT_OK
from tests.waiting import wait_until

TEAM = Path(__file__).parent / "team"
PYTHON = Path(__file__).resolve().parents[2] / ".tox/detectron2/bin/python"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON.exists(), reason="no environment with torch (tox -e detectron2)"),
]


@pytest.fixture
def team(cluster):
    """A checkout with the team in it, whose stages run where torch is."""
    shutil.copytree(TEAM, cluster.root / "experiments/team", ignore=shutil.ignore_patterns("__pycache__"))
    cluster.env |= {
        "SYNDET_TOOLCHAIN_PYTHON": str(PYTHON), "SYNDET_SLURM_NODES": "2", "SYNDET_SLURM_GRES": "gpu:2",
        "SYNDET_SLURM_CPUS": "2", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    return cluster


def words(team, *overrides: str) -> list[str]:
    out = team.root / "runs/together"
    return [
        "suite.launch", "--system", "team", "--toolchain", "suite", "--place", "slurm", "--ranks",
        "--log", str(team.root / "runs/logs/together.log"), "--", "together", "--device", "cuda",
        "--config", "experiments/team/configs/tiny.yaml", "--out", str(out),
        *(word for text in overrides for word in ("-o", text)),
    ]  # fmt: skip


def result(team) -> dict:
    return json.loads((team.root / "runs/together/team.json").read_text())


MEMBERS = [["n1", 0, "0,1"], ["n1", 1, "0,1"], ["n2", 0, "0,1"], ["n2", 1, "0,1"]]


def test_two_nodes_with_two_gpus_each_are_four_ranks(team):
    code, output = team.run(*words(team))
    assert code == EXIT_OK, output + (team.root / "runs/logs/together.log").read_text()
    assert result(team) == {"first": 0, "members": MEMBERS, "sum": 4.0}
    assert "#SBATCH --nodes=2\n" in (team.root / "runs/logs/together.slurm/script.sh").read_text()


def test_all_ranks_save_at_the_same_step_and_go_on_from_it(team):
    process = team.start(*words(team, "steps=15", "pause=0.3"))
    log = team.root / "runs/logs/together.log"
    wait_until(lambda: log.exists() and "counted step=2" in log.read_text())
    job = json.loads((team.root / "runs/logs/together.slurm/job.json").read_text())["job"]
    subprocess.run(["scancel", "--signal=USR1", "--batch", job], env=team.environment(), check=True)
    output, _ = process.communicate(timeout=200)
    assert process.returncode == EXIT_OK, output + log.read_text()
    assert log.read_text().count("stopped by SIGTERM") == 4
    found = result(team)
    assert 2 < found["first"] < 15
    assert found["members"] == MEMBERS
