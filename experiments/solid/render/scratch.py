# SPDX-License-Identifier: GPL-3.0-or-later
"""A private folder in memory for the files that Blender writes and we read back; it goes with its owner.

Each folder is held by a lock that dies with the process, so what a killed one left is swept by the next.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import weakref
from pathlib import Path

PREFIX = "syndet-render-"
SHARED_MEMORY = Path("/dev/shm")
MIN_FREE = 64 << 20  # bytes; a container's default /dev/shm is just this large


def base_folder() -> Path:
    """/dev/shm where it can be written and has space, else the ordinary place of temporary files (TMPDIR)."""
    if os.access(SHARED_MEMORY, os.W_OK) and shutil.disk_usage(SHARED_MEMORY).free >= MIN_FREE:
        return SHARED_MEMORY
    return Path(tempfile.gettempdir())


class Scratch:
    """Make the folder `path`; it is removed by `close`, with the object, or at the end of the process."""

    def __init__(self, base: Path | None = None) -> None:
        base = base or base_folder()
        sweep(base)
        new = Path(tempfile.mkdtemp(prefix=f".{PREFIX}", dir=base))
        lock = (new / "lock").open("w")
        fcntl.flock(lock, fcntl.LOCK_EX)
        self.path = new.rename(
            base / new.name.removeprefix(".")
        )  # sweepers only look at what is locked already
        self.close = weakref.finalize(self, _remove, self.path, lock)


def sweep(base: Path) -> None:
    """Remove folders whose process is gone."""
    for folder in base.glob(f"{PREFIX}*"):
        try:
            with (folder / "lock").open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:  # held, another user's, or removed this moment by another sweeper: not ours to touch
            continue


def _remove(folder: Path, lock) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    lock.close()
