"""What a launch tells: one line per event, and last words that name shard, exit code and log."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from suite.errors import EXIT_BAD_INPUT, EXIT_MISSING, EXIT_OK, EXIT_STOPPED
from suite.launch.pool import ShardResult
from suite.launch.worker import Crew, say, tail


def note(crew: Crew, line: str) -> None:
    """One line per event in the log, and on stderr where no bar stands."""
    with crew.log.open("a", encoding="utf-8") as log:
        log.write(line + "\n")
    if not sys.stderr.isatty():
        say(line)


def note_shard(crew: Crew, result: ShardResult, *, done: int, total: int) -> None:
    """The event line of a shard that ended; `done` counts the good ones."""
    how = "done" if result.code == EXIT_OK else f"FAILED with exit code {result.code}"
    text = f"{crew.label}[{result.shard}]: {how} seconds={result.seconds:.1f} finished={done}/{total}"
    note(crew, text)


def tell_failures(
    crew: Crew,
    failed: Sequence[ShardResult],
    code: int,
    *,
    wanted: int,
    given_up_after: int | None = None,
    log: Path | None = None,
) -> None:
    """Which shards did not finish, and what to type. given_up_after: so many ended, all failed, the rest was
    not begun. log: of a failed shard, where each has its own.
    """
    log = log or crew.log
    if code == EXIT_STOPPED:
        say(f"{crew.label}: stopped; finished shards are kept, the same command goes on from here")
        return
    codes = ", ".join(f"{r.shard} (exit code {r.code})" for r in failed[:10]) + (
        ", ..." if len(failed) > 10 else ""
    )
    say(last_words(log, code))
    say(f"error: {crew.label}: {len(failed)} of {wanted} shards failed: {codes}; log: {shown(log)}")
    if given_up_after is not None:
        say(f"error: {crew.label}: given up after {given_up_after} failures without a success")


def last_words(log: Path, code: int) -> str:
    """What the log says of a failure: the stage's own error line, or the end of a bug's traceback."""
    lines = tail(log).splitlines()
    told = [line for line in lines if line.startswith("error: ")]
    return told[-1] if told and code in (EXIT_BAD_INPUT, EXIT_MISSING) else "\n".join(lines)


def tell_end(crew: Crew, code: int, seconds: float) -> None:
    """The last line of a stage."""
    if code == EXIT_OK:
        say(f"{crew.label}: done in {seconds:.0f} s")
    elif code == EXIT_STOPPED:
        say(f"{crew.label}: stopped; the same command goes on from here")
    else:
        say(last_words(crew.log, code))
        say(f"error: {crew.label}: exit code {code}; log: {shown(crew.log)}")


def shown(path: Path) -> str:
    """A path as short as it can be written from where the user is."""
    absolute = os.path.abspath(path)
    return min(absolute, os.path.relpath(absolute), key=len)
