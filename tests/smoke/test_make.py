"""The public commands, through make, at the smallest scale, in a runs folder of their own (place venv)."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
SETTINGS = (
    "SCALE PLACE ACCEL DEVICE SEED DATA_DIR RUNS_DIR JOBS PAPER STAGE TOOLCHAIN OVERRIDES STRICT FORCE COUNT "
    "OBJECT MESHES CLASSES NUM BACKEND THRESHOLD SETTING DETECTOR"
).split()


def make(*words: str, stdin: str | None = None) -> tuple[int, str]:
    """`make <words> SCALE=tiny PLACE=venv`: exit code and output."""
    dropped = (*SETTINGS, "MAKEFLAGS", "MAKELEVEL", "MFLAGS")
    env = {name: value for name, value in os.environ.items() if name not in dropped}
    done = subprocess.run(
        ["make", *words, "SCALE=tiny", "PLACE=venv", "DEVICE=cpu"], cwd=ROOT, env=env, text=True, input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        timeout=900, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runs folder with SOLID reproduced at tiny."""
    folder = tmp_path_factory.mktemp("runs")
    code, output = make("reproduce-solid", f"RUNS_DIR={folder}")
    assert code == 0, output
    assert "report/index.html" in output
    assert output.splitlines()[-1].startswith("next:   make plan PAPER=solid SCALE=smoke")
    return folder


def test_a_reproduced_paper_is_up_to_date_in_every_view(runs):
    assert "nothing to do" in make("reproduce-solid", f"RUNS_DIR={runs}")[1]
    assert make("plan", f"RUNS_DIR={runs}")[1].endswith("Everything is up to date.\n")
    status = make("status", f"RUNS_DIR={runs}")[1]
    assert re.search(r"solid/tiny/seed0 +targets +done +2/2", status)
    assert "targets[1]" in make("logs", "STAGE=targets", f"RUNS_DIR={runs}")[1]


def test_the_overview_leads_to_the_report_of_every_run(runs):
    assert "(1 runs)" in make("report", f"RUNS_DIR={runs}")[1]
    assert "solid/tiny/seed0/report/index.html" in (runs / "report/index.html").read_text()


def test_a_manifest_says_what_made_the_result(runs):
    tree = json.loads((runs / "solid/tiny/seed0/targets/manifest.json").read_text())
    assert tree["environment"]["lock_sha256"] == (ROOT / ".tox/blender/.lock-sha256").read_text().strip()
    assert tree["packages"]["bpy"] == tree["key_parts"]["packages"]["bpy"]
    assert tree["git"]["commit"]


def test_a_shell_has_the_toolchains_python():
    code, output = make("shell", "TOOLCHAIN=blender", stdin="python -c 'import sys; print(sys.prefix)'\n")
    assert code == 0, output
    assert str(ROOT / ".tox/blender") in output.splitlines()


def test_the_environment_of_each_toolchain_is_the_one_that_ran(runs):
    for stage, toolchain in {"check": "blender", "pretrain": "detectron2", "evaluate": "detectron2"}.items():
        tree = json.loads((runs / f"solid/tiny/seed0/{stage}/manifest.json").read_text())
        assert Path(tree["environment"]["prefix"]) == ROOT / ".tox" / toolchain


def test_clean_lists_first_and_then_deletes(runs):
    assert "add FORCE=1 to delete these" in make("clean", f"RUNS_DIR={runs}")[1]
    assert (runs / "solid").exists()
    assert make("clean", "FORCE=1", f"RUNS_DIR={runs}")[0] == 0
    assert list(runs.iterdir()) == []
