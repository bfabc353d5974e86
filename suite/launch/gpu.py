"""GPUs of this machine, and a lock file for each, so that runs started side by side share them and never one
GPU twice.

The lock is `flock` on a file named after the GPU's UUID; it goes with its holder, however that ends.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from suite.provenance import gpus

LOCK_DIR_VARIABLE = "SYNDET_LOCK_DIR"


@dataclass(frozen=True)
class Gpu:
    """One GPU as nvidia-smi lists it."""

    index: str
    uuid: str
    name: str
    driver: str


def list_gpus() -> list[Gpu]:
    """The GPUs that this process may use: all of nvidia-smi's, or those that CUDA_VISIBLE_DEVICES names."""
    found = [Gpu(row["index"], row["uuid"], row["name"], row["driver_version"]) for row in gpus()]
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if allowed is None:
        return found
    names = [name.strip() for name in allowed.split(",") if name.strip()]
    return [gpu for gpu in found if gpu.index in names or any(gpu.uuid.startswith(name) for name in names)]


def lock_dir() -> Path:
    """Where the lock files lie: shared by all users and checkouts of the machine unless SYNDET_LOCK_DIR says
    else.
    """
    folder = Path(os.environ.get(LOCK_DIR_VARIABLE) or Path(tempfile.gettempdir()) / "syndet-gpu-locks")
    if not folder.exists():
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o1777)  # other users lock the same GPUs
    return folder


class GpuLocks:
    """Takes free GPUs one at a time. `take()` gives a GPU or None; `give(gpu)` hands it back."""

    def __init__(self, found: Sequence[Gpu]) -> None:
        self._gpus = tuple(found)
        self._held: dict[str, IO[str]] = {}

    def take(self) -> Gpu | None:
        """A GPU that no process holds, locked; None where all are taken."""
        for gpu in self._gpus:
            if gpu.uuid in self._held:
                continue
            handle = open_shared(lock_dir() / f"{gpu.uuid}.lock")
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                handle.close()
                continue
            self._held[gpu.uuid] = handle
            return gpu
        return None

    def give(self, gpu: Gpu) -> None:
        """Hand a GPU back."""
        self._held.pop(gpu.uuid).close()

    def file_descriptor(self, gpu: Gpu) -> int:
        """To be inherited by the worker: the GPU stays locked until the worker ends, even if the launcher is
        killed.
        """
        return self._held[gpu.uuid].fileno()


def open_shared(path: Path) -> IO[str]:
    """Open a lock file that any user may lock (flock needs no more than read access)."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except PermissionError:  # made by another user under a umask
        return path.open("r", encoding="ascii")
    return os.fdopen(descriptor, "r+", encoding="ascii")
