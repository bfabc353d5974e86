"""An imported store is what `pretrain` reads: the folder stands for its five inputs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the detectron2 toolchain")

from tests.solid.importing import make_v2_store as v2

ROOT = Path(__file__).resolve().parents[3]
STORE = Path(__file__).parent / "store_v2"


@pytest.mark.slow
def test_pre_training_runs_on_an_imported_store_and_skips_what_is_missing(tmp_path):
    program = [sys.executable, "-m", "experiments.solid"]
    flags = ["--query-resolution", str(v2.QUERY_SIDE), "--max-objects", "3"]
    out = tmp_path / "imported"
    done = subprocess.run(
        [*program, "import-store", "--source", str(STORE), "--out", str(out), *flags],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    inputs = [
        w for name in ("clean", "store", "targets", "queries", "check") for w in (f"--{name}", str(out))
    ]
    line = [*program, "pretrain", "--config", "experiments/solid/configs/tiny.yaml", *inputs]
    line += ["--out", str(tmp_path / "pretrain")]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    summary = json.loads((tmp_path / "pretrain" / "summary.json").read_text())
    assert summary["iterations"] == 6
    assert summary["skipped_samples"] == 0
