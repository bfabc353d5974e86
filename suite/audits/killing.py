"""How `make audit-kill` kills a run, and how it sees later what the stage went on from.

Three ways. "power": every process of the command at once - the suite, Snakemake, launchers, workers -, as if
the power had failed. "stage": the stage's own process in each shard, as the kernel does when memory runs out;
what it had started has to end by itself, and so has the command, which says that the stage failed.
"command": only the process that was typed (`workflow/run` becomes it by exec); all others have to end by
themselves, told by the kernel.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from suite.errors import EXIT_BUG, EXIT_OK, EXIT_STOPPED, Stopped
from suite.manifest import KEY_FILE, MANIFEST, part_of, read_json, write_json

WAYS = ("power", "stage", "command")
POLL_SECONDS = 0.03
GONE_SECONDS = 120  # in which a run whose command was killed has to end by itself
KEPT = "kept.json"
OWN_FILES = (KEY_FILE, ".prepared", ".events.jsonl", ".lock")  # of every work folder: no work is in them


@dataclass(frozen=True, kw_only=True)
class Hit:
    """What a kill met. `workers` is 0 where the stage had ended before it."""

    seconds: float  # of the stage's launch, when it was killed
    workers: int
    processes: int
    fault: str = ""  # what must not be


def family(process: subprocess.Popen) -> list[psutil.Process]:
    """A running process and all that it started; empty where it has ended."""
    try:
        own = psutil.Process(process.pid)
        return [own, *own.children(recursive=True)] if process.poll() is None else []
    except psutil.NoSuchProcess:
        return []


def workers(members: Sequence[psutil.Process], package: str, stage: str) -> list[psutil.Process]:
    """Those that are the stage itself: `python -m experiments.<package> <stage> ...`."""
    found = []
    for member in members:
        try:
            if member.cmdline()[1:4] == ["-m", f"experiments.{package}", stage]:
                found.append(member)
        except psutil.Error:
            continue
    return found


def strike(process: subprocess.Popen, way: str, package: str, out: Path, at: float) -> Hit:
    """Kill a running command in one of the WAYS as soon as `at` seconds have passed and the stage with this
    output folder is at work: it has a work folder and a worker. Waits until everything has ended.
    """
    begin = time.monotonic()
    while process.poll() is None:
        is_time = time.monotonic() - begin >= at and part_of(out).exists()
        members = family(process) if is_time else []
        found = workers(members, package, out.name)
        if found:
            hit = Hit(seconds=time.monotonic() - begin, workers=len(found), processes=len(members))
            if way == "stage":
                return _end_stage(process, hit, found, out)
            if way == "command":
                return _end_command(process, hit, members)
            kill_all(members)
            process.wait()
            psutil.wait_procs(members[1:], timeout=GONE_SECONDS)
            return hit
        time.sleep(POLL_SECONDS)
    return Hit(seconds=time.monotonic() - begin, workers=0, processes=0)


def _end_stage(process: subprocess.Popen, hit: Hit, found: Sequence[psutil.Process], out: Path) -> Hit:
    first, others = split_workers(found)
    kill_all(first)
    code = process.wait()
    if code == EXIT_STOPPED:
        raise Stopped(f"{out.name} stopped", fix="the same command goes on from here")
    if code == EXIT_OK and (out / MANIFEST).exists():  # its last worker ended by itself in this moment
        return replace(hit, workers=0)
    if code != EXIT_BUG:
        return replace(hit, fault=f"the command ended in exit code {code} although its stage was killed")
    return replace(hit, fault=_left_over(others, "stage"))


def split_workers(found: Sequence[psutil.Process]) -> tuple[list[psutil.Process], list[psutil.Process]]:
    """The stage's own processes, and what they started: a forked one has the same command line."""
    below: dict[int, psutil.Process] = {}
    for worker in found:
        with contextlib.suppress(psutil.NoSuchProcess):
            below |= {child.pid: child for child in worker.children(recursive=True)}
    return [worker for worker in found if worker.pid not in below], list(below.values())


def _left_over(members: Sequence[psutil.Process], killed: str) -> str:
    """What is wrong where some do not end by themselves; they are killed then."""
    _, alive = psutil.wait_procs(members, timeout=GONE_SECONDS)
    kill_all(alive)
    psutil.wait_procs(alive, timeout=GONE_SECONDS)
    return f"{len(alive)} processes ran on {GONE_SECONDS} s after their {killed} was killed" if alive else ""


def _end_command(process: subprocess.Popen, hit: Hit, members: Sequence[psutil.Process]) -> Hit:
    process.kill()
    process.wait()
    return replace(hit, fault=_left_over(members[1:], "command"))


def kill_all(members: Sequence[psutil.Process]) -> None:
    """SIGKILL to all of them at once."""
    for member in members:
        try:
            member.kill()
        except psutil.NoSuchProcess:
            continue


# -- what the stage goes on from --------------------------------------------------------------------------


def keep_evidence(home: Path, stage: str, folder: Path) -> Mapping[str, Any]:
    """Remember what a killed stage leaves: a hard link to each file of its work folder, and when it was last
    read. Returns {shards, files, bytes}: finished shards, and files that no finished shard holds.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    part = part_of(home / stage)
    finished = {path.parent for path in part.glob(f"*/{MANIFEST}")}
    rows = []
    for path in sorted(p for p in part.rglob("*") if p.is_file() and p.name not in OWN_FILES):
        whole = path.parent.name.isdigit() and path.parent in finished
        if (whole and path.name != MANIFEST) or (not whole and finished & set(path.parents)):
            continue
        link = folder / f"{len(rows):06d}"
        os.link(path, link)
        state = link.stat()
        row = {"path": str(path.relative_to(part)), "link": link.name, "bytes": state.st_size, "shard": whole}
        rows.append({**row, "read": state.st_atime_ns, "written": state.st_mtime_ns})
    write_json(folder / KEPT, rows)
    loose = [row for row in rows if not row["shard"]]
    sizes = sum(row["bytes"] for row in loose)
    return {"shards": len(rows) - len(loose), "files": len(loose), "bytes": sizes}


def weigh_evidence(home: Path, stage: str, folder: Path) -> tuple[int, int]:
    """Finished shards and other files of `keep_evidence` that the stage went on from, once it is done.

    A file counts where it stands unchanged in the result, or where it is gone from there and has been read
    since: a checkpoint (the file system has to note the time of reading: `notes_reading`).
    """
    shards = files = 0
    for row in read_json(folder / KEPT) or ():
        state = (folder / row["link"]).stat()
        try:
            is_result = os.path.samestat(state, (home / stage / row["path"]).stat())
        except (FileNotFoundError, NotADirectoryError):
            is_result = False
        same = state.st_mtime_ns == row["written"] if is_result else state.st_atime_ns > row["read"]
        shards += row["shard"] and is_result
        files += not row["shard"] and same
    return shards, files


def notes_reading(folder: Path) -> bool:
    """Whether the file system of a folder notes when a file is read."""
    probe, link = folder / ".read-probe", folder / ".read-probe-link"
    for path in (probe, link):
        path.unlink(missing_ok=True)
    probe.write_text("x", encoding="ascii")
    os.link(probe, link)
    before = link.stat().st_atime_ns
    time.sleep(POLL_SECONDS)
    probe.read_text(encoding="ascii")
    noted = link.stat().st_atime_ns > before
    probe.unlink()
    link.unlink()
    return noted
