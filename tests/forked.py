"""Commands of the repository in processes forked from one that has imported a framework: for tests of many.

Importing PyTorch and Detectron2 takes four seconds of a core, more than a stage at tiny. What a forked
process made is compared with what a fresh interpreter made: all children of the fork server order their sets
by the same hash.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

CONTEXT = multiprocessing.get_context("forkserver")


def run_forked(
    line: Sequence[str], *, preload: Sequence[str], cwd: Path, env: Mapping[str, str]
) -> subprocess.CompletedProcess:
    """As `subprocess.run(line, capture_output=True, text=True)` of `[python, "-m", module, ...]` with this
    Python. `preload` names what the server imports when the first process asks for it.
    """
    assert line[:2] == [sys.executable, "-m"], "another interpreter cannot be forked from this one"
    CONTEXT.set_forkserver_preload(list(preload))
    with tempfile.TemporaryDirectory() as name:
        streams = [f"{name}/{stream}" for stream in ("stdout", "stderr")]
        process = CONTEXT.Process(target=_run, args=(list(line[2:]), streams, str(cwd), dict(env)))
        process.start()
        process.join()
        told = [Path(path).read_text() for path in streams]
    return subprocess.CompletedProcess(line, process.exitcode, *told)


def _run(words: Sequence[str], streams: Sequence[str], cwd: str, env: Mapping[str, str]) -> None:
    """The child: its streams, folder and environment are the caller's, then `python -m <words>`."""
    for number, path in enumerate(streams, start=1):
        with open(path, "wb") as stream:
            os.dup2(stream.fileno(), number)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = list(words)
    runpy.run_module(words[0], run_name="__main__", alter_sys=True)
