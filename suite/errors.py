"""Errors a user can act on, and the exit codes they end in.

0 done; 1 a bug; 2 bad input; 3 something outside is missing; 75 stopped by SIGTERM after a checkpoint; 141
nobody reads the output any more (`| head`), as a shell reports SIGPIPE.
A library function raises; only `guard` at the edge of a program prints and returns a code.
"""

from __future__ import annotations

import errno
import os
import select
import sys
from collections.abc import Callable
from pathlib import Path

EXIT_OK, EXIT_BUG, EXIT_BAD_INPUT, EXIT_MISSING, EXIT_STOPPED = 0, 1, 2, 3, 75
EXIT_UNREAD = 141


class SuiteError(Exception):
    """One line for the user: `file: what is wrong; what to do`."""

    exit_code = EXIT_BUG

    def __init__(self, what: str, *, file: str | Path | None = None, fix: str | None = None):
        self.what, self.file, self.fix = what, file, fix
        line = f"{file}: {what}" if file is not None else what
        line = f"{line}; {fix}" if fix else line
        super().__init__(" ".join(line.split()))


class BadInput(SuiteError):
    """The input is wrong: a file, a config key, a flag."""

    exit_code = EXIT_BAD_INPUT


class Missing(SuiteError):
    """Something outside is missing: a data set, weights, a licence, the promised GPU, a system library."""

    exit_code = EXIT_MISSING


class Stopped(SuiteError):
    """SIGTERM arrived; the state is on disk and the same command goes on from it."""

    exit_code = EXIT_STOPPED


# The disk's own refusals are the user's to mend, not a bug: they end in exit 2 with the file named.
_DISK = {
    errno.ENOSPC: "no space left on the device; free some space and run the same command again",
    errno.EDQUOT: "disk quota exceeded; free some space and run the same command again",
    errno.EROFS: "the file system is read-only; choose a writable --out",
    errno.EACCES: "permission denied; choose a folder that you may read and write",
    errno.EEXIST: "a file stands where a folder is needed; choose another path",
    errno.EISDIR: "a folder stands where a file is needed; choose another path",
    errno.ENAMETOOLONG: "the name is too long for this disk; choose a shorter path",
    errno.ENOTDIR: "a file stands where a folder is needed; choose another path",
}


def from_os_error(error: OSError) -> BadInput | None:
    """The one-line form of a full disk, a read-only or a forbidden path; None for any other OSError."""
    what = _DISK.get(error.errno)
    return BadInput(what, file=error.filename) if what else None


def guard(main: Callable[[], int | None]) -> int:
    """Run `main`, print a SuiteError as one line on stderr, return the exit code; bugs keep a traceback."""
    try:
        return _flushed(main)
    except SuiteError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        if isinstance(error, BrokenPipeError) and _is_stdout_unread():
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # for what the interpreter flushes as it ends
            return EXIT_UNREAD
        told = from_os_error(error)
        if told is None:
            raise
        print(f"error: {told}", file=sys.stderr)
        return told.exit_code
    except KeyboardInterrupt:
        print("error: interrupted; run the same command again to go on", file=sys.stderr)
        return EXIT_STOPPED


def _flushed(main: Callable[[], int | None]) -> int:
    """`main`, whose output has left Python's buffer: a closed pipe is noticed here, not as Python ends."""
    try:
        code = main() or EXIT_OK
    except SystemExit:  # argparse, after printing its help
        sys.stdout.flush()
        raise
    sys.stdout.flush()
    return code


def _is_stdout_unread() -> bool:
    """Whether stdout, and not a pipe to some other program, has lost its reader."""
    poll = select.poll()
    poll.register(1, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))
