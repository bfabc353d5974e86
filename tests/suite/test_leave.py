"""A process with Blender in it ends at once, with its output and its exit code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# An exit handler that would never return stands for Blender's own.
HEAD = "import atexit, sys, threading; from suite.leave import leave; "
STUCK = HEAD + "atexit.register(threading.Event().wait); sys.modules['bpy'] = sys; "


def end(code: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=30)


@pytest.mark.parametrize("status", [0, 2, 75])
def test_output_and_exit_code_are_kept_although_an_exit_handler_hangs(status):
    done = end(STUCK + f"leave(lambda: print('last words') or {status})")
    assert (done.returncode, done.stdout) == (status, "last words\n")


def test_a_bug_keeps_its_traceback_and_ends_in_1():
    done = end(STUCK + "leave(lambda: 1 / 0)")
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr


def test_without_blender_the_process_ends_as_any_other():
    done = end(HEAD + "atexit.register(print, 'handled'); leave(lambda: 3)")
    assert (done.returncode, done.stdout) == (3, "handled\n")


def test_the_temporary_folder_of_blender_goes_and_the_folder_of_all_stays(tmp_path):
    for name in ("blender_a1b2c3", "mine"):
        (tmp_path / name).mkdir()
        app = f"types.SimpleNamespace(tempdir={str(tmp_path / name)!r})"
        bpy = f"import types; {HEAD}sys.modules['bpy'] = types.SimpleNamespace(app={app}); "
        assert end(bpy + "leave(lambda: 2)").returncode == 2
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
