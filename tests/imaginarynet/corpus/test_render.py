"""Pictures of the corpus: a function of the scene alone, and the same after a kill. Needs Blender."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from assets.make import t2i_corpus_plan as plan
from assets.make.t2i_corpus import assemble, open_work
from assets.make.t2i_corpus_plan import SEED, checkpoint
from assets.make.t2i_corpus_scene import SIDE
from suite.provenance import ROOT

pytest.importorskip("bpy", reason="needs the Blender toolchain")

SMALL = 2  # pictures a checkpoint, so that a kill falls between two of them
COUNT = 6
WORKER = f"""
from assets.make import t2i_corpus_plan as plan
plan.CHUNK = {SMALL}
import sys
from assets.make.t2i_corpus_render import main
from suite.errors import guard
from suite.leave import leave
leave(lambda: guard(main))
"""


def start(work: Path) -> subprocess.Popen:
    """The program that renders, with small checkpoints."""
    words = ["--work", str(work), "--part", "0/1", "--count", str(COUNT), "--seed", str(SEED)]
    return subprocess.Popen([sys.executable, "-c", WORKER, *words], cwd=ROOT)


def wait_for(path: Path, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 300
    while not path.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)


def made(work: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(work.glob("*.npz"))}


@pytest.mark.slow
def test_pictures_do_not_depend_on_order_or_on_what_was_rendered_before(scenes):
    from assets.make.t2i_corpus_render import Stage

    chosen = [3, 4, 12]
    stage = Stage(SEED)
    first = {index: stage.render(scenes[index]) for index in chosen}
    again = {index: stage.render(scenes[index]) for index in reversed(chosen)}
    fresh = {12: Stage(SEED).render(scenes[12])}
    for found in (again, fresh):
        assert all((found[index] == first[index]).all() for index in found)
    assert all(pixels.shape == (SIDE, SIDE, 3) and pixels.dtype == np.uint8 for pixels in first.values())
    assert all(pixels.std() > 8 for pixels in first.values())  # not a flat picture
    assert all(20 < pixels.mean() < 235 for pixels in first.values())
    assert not (first[3] == first[12]).all()


@pytest.mark.kill
@pytest.mark.slow
def test_a_killed_worker_goes_on_with_the_bytes_of_one_that_was_not(tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "CHUNK", SMALL)
    for name in ("killed", "whole"):
        open_work(tmp_path / name, SEED)
    process = start(tmp_path / "killed")
    wait_for(checkpoint(tmp_path / "killed", 0), process)
    process.kill()
    process.wait()
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "killed").glob("*.npz")}
    assert 1 <= len(kept) < COUNT // SMALL
    for name in ("killed", "whole"):
        assert start(tmp_path / name).wait(timeout=500) == 0
    assert all(path.stat().st_mtime_ns == before for path, before in kept.items())
    assert made(tmp_path / "killed") == made(tmp_path / "whole")
    assert len(made(tmp_path / "whole")) == COUNT // SMALL
    for name in ("killed", "whole"):
        assemble(tmp_path / f"{name}-corpus", tmp_path / name, count=COUNT, seed=SEED)
    for name in ("images.npy", "captions.jsonl", "corpus.json"):
        one, other = (tmp_path / f"{which}-corpus" / name for which in ("killed", "whole"))
        assert one.read_bytes() == other.read_bytes(), name


@pytest.mark.slow
def test_a_worker_that_is_told_to_stop_keeps_what_is_whole_and_says_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "CHUNK", SMALL)
    open_work(tmp_path, SEED)
    process = start(tmp_path)
    wait_for(checkpoint(tmp_path, 0), process)
    process.terminate()
    assert process.wait(timeout=120) == 0
    assert 1 <= len(made(tmp_path)) <= COUNT // SMALL
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".tmp")]
