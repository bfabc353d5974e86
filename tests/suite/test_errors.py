"""The edge of every program: what a pipe without a reader ends in."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import sys
from suite.errors import guard
def main():
    sys.stdin.read()  # until the test has closed the other end of stdout
    {body}
raise SystemExit(guard(main))
"""


def unread(body: str) -> tuple[int, str]:
    """Exit code and stderr of a program whose output nobody reads."""
    words = [sys.executable, "-c", PROGRAM.format(body=body)]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe, cwd=ROOT, text=True) as program:
        program.stdout.close()
        program.stdin.close()
        error = program.stderr.read()
    return program.returncode, error


@pytest.mark.parametrize("body", ["print('a line')", "print('x' * 10**6)", "print('help'); sys.exit(0)"])
def test_output_that_nobody_reads_ends_without_a_word(body):
    assert unread(body) == (141, "")


def test_an_error_is_told_all_the_same():
    code, error = unread("from suite.errors import BadInput; raise BadInput('wrong')")
    assert (code, error) == (2, "error: wrong\n")


def test_another_broken_pipe_is_a_bug_and_keeps_its_traceback():
    words = [sys.executable, "-c", PROGRAM.format(body="raise BrokenPipeError('another')")]
    done = subprocess.run(words, input="", capture_output=True, cwd=ROOT, text=True, check=False)
    assert done.returncode == 1
    assert "Traceback" in done.stderr and "another" in done.stderr
