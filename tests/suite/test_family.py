"""Children of killed processes, for real."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAD = """
import os, signal, subprocess, sys, time
from suite.family import die_with_parent, dying_with_us, process_pool
"""


@pytest.fixture
def program(tmp_path):
    """Starts programs of these words, in files of their own: fresh processes import them."""
    begun: list[subprocess.Popen] = []

    def start(body: str) -> subprocess.Popen:
        path = tmp_path / "program.py"
        path.write_text(HEAD + textwrap.dedent(body))
        begun.append(
            subprocess.Popen(
                [sys.executable, str(path)], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdout=subprocess.PIPE, text=True, start_new_session=True,
            )  # fmt: skip
        )
        return begun[-1]

    yield start
    for process in begun:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # with children that should have ended
        process.communicate()


def killed(parent: subprocess.Popen) -> list[psutil.Process]:
    """Kills a program as soon as it told the numbers of its children; those that go on."""
    children = [psutil.Process(int(word)) for word in parent.stdout.readline().split()]
    assert children
    parent.kill()
    parent.wait()
    return psutil.wait_procs(children, timeout=60)[1]


@pytest.mark.parametrize("number", ["SIGTERM", "SIGKILL"])
def test_a_child_ends_with_a_killed_parent(program, number):
    assert not killed(program(f"""
        child = subprocess.Popen(["sleep", "600"], preexec_fn=dying_with_us(signal.{number}))
        print(child.pid, flush=True)
        child.wait()
    """))  # fmt: skip


@pytest.mark.parametrize("number", ["SIGTERM", "SIGKILL"])
def test_a_child_that_comes_to_ask_after_the_parents_death_ends_too(program, number, tmp_path):
    assert not killed(program(f"""
        ask = dying_with_us(signal.{number})
        pid = os.getpid()
        child = os.fork()
        if child == 0:
            while os.getppid() == pid:
                time.sleep(0.01)
            ask()
            open("went-on", "w")
            time.sleep(600)
        print(child, flush=True)
        time.sleep(600)
    """))  # fmt: skip
    assert not (tmp_path / "went-on").exists()


def test_a_parents_handler_does_not_swallow_the_signal_before_exec(program):
    parent = program("""
        signal.signal(signal.SIGTERM, lambda *_: None)
        ask = dying_with_us()
        child = os.fork()
        if child == 0:
            ask()
            os.kill(os.getpid(), signal.SIGTERM)
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """)
    assert int(parent.communicate(timeout=60)[0]) == -signal.SIGTERM


POOL = """
def number(_):
    return os.getpid()

def note():
    open(str(os.getpid()), "w")

if __name__ == "__main__":
    with process_pool(2, note) as pool:
        found = set(pool.map(number, range(8)))
        {rest}
"""


def test_the_processes_of_a_pool_end_with_a_killed_parent(program):
    assert not killed(program(POOL.format(rest="print(*found, flush=True); time.sleep(600)")))


def test_a_pool_leaves_signals_to_its_parent_and_begins_as_it_was_told(program, tmp_path):
    rest = """
        for pid in found:
            os.kill(pid, signal.SIGTERM)
            os.kill(pid, signal.SIGINT)
        print(set(pool.map(number, range(8))) <= found | set(map(int, filter(str.isdigit, os.listdir()))))
    """
    parent = program(POOL.format(rest=textwrap.dedent(rest).strip().replace("\n", "\n        ")))
    assert parent.communicate(timeout=60)[0] == "True\n"
    assert parent.returncode == 0
    assert any(path.name.isdecimal() for path in tmp_path.iterdir())
