"""`make clean`: a list of what would be deleted below RUNS_DIR, a question, then the deletion. data/ is never
touched.

`FORCE=1` deletes without the question. Environments (.tox) and images stay; they are rebuilt only when a
lock changes.
"""

from __future__ import annotations

import fcntl
import os
import sys
from pathlib import Path

from suite.errors import BadInput
from suite.manifest import discard
from suite.plan import size_text
from suite.runs import folder_setting

BESIDE = ("report", "tabletop", "audits", ".cache")  # folders of RUNS_DIR that are no system's


def doomed(runs: Path) -> list[Path]:
    """What `clean` deletes: the runs (system/scale/seed), the overview page, what `make tabletop` and the
    audits made, what stages keep for later runs (.cache) and what a killed `clean` has left, nothing else
    that may lie there.
    """
    found = [path.parent for path in runs.glob("*/*/seed*/logs") if path.parent.is_dir()]
    found += [*runs.glob(".*.gone"), *runs.glob("*/*/.seed*.gone")]
    return sorted([*found, *(runs / name for name in BESIDE if (runs / name).is_dir())])


def folder_size(folder: Path) -> int:
    """Bytes of all files below a folder; links are not followed."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir() or path.is_symlink())


def in_use(folder: Path) -> bool:
    """True while a command works on the run, or on one of those that an audit keeps below its folder."""
    return any(is_held(lock) for lock in folder.rglob(".lock") if lock.is_file())


def is_held(lock: Path) -> bool:
    """Whether a process holds the lock."""
    with lock.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def clean(*, force: bool) -> int:
    """List, ask (unless `force`), delete."""
    runs, data = folder_setting("RUNS_DIR", "runs"), folder_setting("DATA_DIR", "data")
    if runs == data or data.is_relative_to(runs):
        raise BadInput("DATA_DIR lies inside RUNS_DIR", file=runs, fix="clean by hand; nothing was deleted")
    folders = doomed(runs)
    if not folders:
        print(f"{os.path.relpath(runs)}: nothing to delete")
        return 0
    for folder in folders:
        print(f"{size_text(folder_size(folder)):>10}  {os.path.relpath(folder)}")
    busy = [folder for folder in folders if in_use(folder)]
    if busy:
        raise BadInput(
            "a command works on this run", file=busy[0], fix="wait for it or stop it; nothing was deleted"
        )
    if not force and not confirmed():
        print("nothing was deleted")
        return 0
    for folder in folders:
        discard(folder)
        remove_empty_parents(folder, runs)
    print(f"deleted {len(folders)} folders")
    return 0


def confirmed() -> bool:
    """Ask on a terminal; anywhere else the answer is no."""
    if not sys.stdin.isatty():
        print("add FORCE=1 to delete these")
        return False
    return input("Delete these folders? [y/N] ").strip().lower() in ("y", "yes")


def remove_empty_parents(folder: Path, top: Path) -> None:
    """`runs/solid/tiny` goes when its last seed went."""
    for parent in folder.parents:
        if parent == top or any(parent.iterdir()):
            return
        parent.rmdir()
