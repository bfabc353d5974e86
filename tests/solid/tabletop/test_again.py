"""Rendering again through the public command. Needs Blender."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from suite.datasets.tabletop import TABLETOP

pytest.importorskip("bpy", reason="needs the Blender toolchain")

ROOT = Path(__file__).resolve().parents[3]
MAKER = [sys.executable, "-m", "assets.make.tabletop"]


def call(*words: str) -> subprocess.CompletedProcess:
    return subprocess.run([*MAKER, *words], cwd=ROOT, capture_output=True, text=True, check=False)


def wait_for_quiet(folder: Path) -> None:
    """Until no process names the folder in its command line."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        listed = subprocess.run(
            ["ps", "-e", "-ww", "-o", "args"], capture_output=True, text=True, check=True
        ).stdout
        if str(folder) not in listed:
            return
        time.sleep(0.2)
    raise AssertionError("a worker goes on without its maker")


@pytest.mark.slow
def test_a_few_pictures_rendered_again_by_a_command_that_was_killed_equal_the_shipped_ones(tmp_path):
    words = ["--out", str(tmp_path), "--compare", "--count", "6"]
    killed = subprocess.Popen([*MAKER, *words], cwd=ROOT, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while not list(tmp_path.glob("work/pictures-*/*/*.npz")) and time.monotonic() < deadline:
        time.sleep(0.1)
    killed.kill()  # alone: its workers notice by themselves
    killed.wait()
    wait_for_quiet(tmp_path)
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.glob("work/pictures-*/*/*.npz")}
    assert kept
    done = call(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{6 - len(kept)} pictures rendered now, {len(kept)} kept from before" in done.stdout
    assert "6 pictures" in done.stdout
    assert "the same set" in done.stdout
    assert all(path.stat().st_mtime_ns == before for path, before in kept.items())
    assert len(list(tmp_path.glob("work/pictures-*/*/*.npz"))) == 6


@pytest.mark.slow
def test_a_stopped_command_says_so_and_leaves_no_worker_behind(tmp_path):
    words = ["--out", str(tmp_path), "--compare", "--count", "60"]
    process = subprocess.Popen([*MAKER, *words], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 300
    while not list(tmp_path.glob("work/pictures-*/*/*.npz")) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.terminate()
    _, said = process.communicate(timeout=120)
    assert process.returncode == 75
    assert "the same command goes on from here" in said
    before = len(list(tmp_path.glob("work/pictures-*/*/*.npz")))
    time.sleep(5)
    assert len(list(tmp_path.glob("work/pictures-*/*/*.npz"))) == before < 60


def test_the_shipped_set_is_not_overwritten_by_accident():
    for words in (("--compare",), ("--count", "5", "--work", "runs/tabletop-new"), ()):
        done = call("--out", str(TABLETOP), *words)
        assert done.returncode == 2
        assert "would replace the shipped set" in done.stderr


def test_a_wrong_count_is_told_before_anything_is_rendered(tmp_path):
    done = call("--out", str(tmp_path / "out"), "--count", "9999")
    assert done.returncode == 2
    assert "choose 3 to 700 pictures" in done.stderr
    assert not (tmp_path / "out").exists()
