# SPDX-License-Identifier: GPL-3.0-or-later
"""Blender talks on the process's stdout and stderr, past Python. Here it is kept out of our logs, not out of
reach.
"""

from __future__ import annotations

import ctypes
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_LIBC = ctypes.CDLL(None)
_KEPT = 4000  # bytes of the talk that may be asked for


class Talk:
    """What was said inside a `quiet` block, readable when it has ended."""

    text = ""

    @property
    def last_line(self) -> str:
        """The last line that is not empty, "" without one: Blender's reason for a failure."""
        lines = [line.strip() for line in self.text.splitlines() if line.strip()]
        return lines[-1] if lines else ""


@contextmanager
def quiet() -> Iterator[Talk]:
    """Send file descriptors 1 and 2 to a file for the length of the block. Python exceptions pass through as
    ever.

    The C library's buffers are flushed on both sides, else Blender's lines would come out after the block.
    """
    talk = Talk()
    _flush()
    with tempfile.TemporaryFile() as sink:
        saved = [os.dup(1), os.dup(2)]
        os.dup2(sink.fileno(), 1)
        os.dup2(sink.fileno(), 2)
        try:
            yield talk
        finally:
            _flush()
            for number, copy in zip((1, 2), saved, strict=True):
                os.dup2(copy, number)
                os.close(copy)
            size = sink.seek(0, os.SEEK_END)
            sink.seek(max(0, size - _KEPT))
            talk.text = sink.read().decode("utf-8", "replace")


def run_operator(operator: Callable[..., set[str]], /, **settings: object) -> str:
    """Call a bpy operator quietly. Returns "" or, if it failed, one line with the reason."""
    with quiet() as talk:
        try:
            done, reason = operator(**settings), ""
        except (
            RuntimeError
        ) as error:  # how every operator reports a failure, the Python ones with their traceback
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            done, reason = {"CANCELLED"}, lines[-1] if lines else "the operator failed"
    if "FINISHED" in done:
        return ""
    return (reason or talk.last_line or "the operator was cancelled").removeprefix("Error: ")


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    _LIBC.fflush(None)
