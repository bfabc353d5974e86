"""A cell that is killed at once, whatever it does, and started again."""

import os
import signal
import subprocess
import sys
import time

import pytest

pytest.importorskip("torch")

from suite.provenance import ROOT
from tests.compare.sets import write_target


def command(folder, words):
    overrides = [word for text in words for word in ("-o", text)]
    config = str(ROOT / "experiments/compare/configs/tiny.yaml")
    stage = [sys.executable, "-m", "experiments.compare", "cells", "--config", config, *overrides]
    return [*stage, "--out", str(folder / "cells"), "--shard", "0"]


def start(folder, words):
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command(folder, words), cwd=ROOT, env=env, stderr=subprocess.DEVNULL)


@pytest.mark.kill
@pytest.mark.slow
@pytest.mark.parametrize("detector", ["dense", "mask-rcnn"])
def test_a_killed_cell_goes_on_and_ends_with_the_same_bits(tmp_path, detector):
    words = [*write_target(tmp_path / "target"), "arms=[real]", "cells.real=[4]"]
    words += [f"cells.detectors=[{detector}]", "cells.mask_rcnn.iterations=12", "cells.dense.iterations=40"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert start(whole, words).wait() == 0
    process = start(killed, words)
    part = killed / "cells.part/00000.part"
    while process.poll() is None and not any(part.rglob("checkpoint.pt")):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (killed / "cells.part/00000").exists()
    assert start(killed, words).wait() == 0
    for name in ("cell.json", "metrics.jsonl"):
        one, other = (folder / "cells.part/00000" / name for folder in (whole, killed))
        assert one.read_bytes() == other.read_bytes()
