"""Where and with what a stage ran: packages, environment, commit, machine, time and memory.

Nothing here enters a key but the versions of the packages that a stage declares as deciding its output.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from suite.errors import Missing

IMAGE_RECORD = Path("/opt/image.json")  # written when an image is built
IMAGE_VARIABLE = "SYNDET_IMAGE_ID"  # set by a launcher that can ask the engine; nobody can within a container
LOCK_STAMP = ".lock-sha256"  # written into a virtual environment when it is built
ROOT = Path(__file__).resolve().parent.parent


def package_versions(names: Iterable[str]) -> dict[str, str]:
    """Installed versions of the named packages. Raises Missing for an absent one."""
    found = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            fix = "run this stage in its toolchain (make does; or .tox/<toolchain>/bin/python)"
            raise Missing(f"package {name} is not installed in {sys.prefix}", fix=fix) from None
    return found


def all_packages() -> dict[str, str]:
    """Every installed distribution of this environment, by name."""
    pairs = ((d.metadata["Name"], d.version) for d in importlib.metadata.distributions())
    return dict(sorted((name, version) for name, version in pairs if name))


def environment() -> dict[str, Any]:
    """Which image or locked environment this is; `packages_sha256` is the digest of its full freeze.

    `image` is None outside of our images; within, its toolchain, accel, `record_sha256` (digest of its
    /opt/image.json: packages, Python, lock) and `id`, the engine's own, None where no launcher told it.
    """
    freeze = json.dumps(all_packages(), sort_keys=True)
    record: dict[str, Any] = {
        "python": platform.python_version(),
        "prefix": sys.prefix,
        "packages_sha256": hashlib.sha256(freeze.encode()).hexdigest(),
        "image": None,
        "lock_sha256": None,
    }
    if IMAGE_RECORD.is_file() and sys.prefix.startswith("/opt/"):
        data = IMAGE_RECORD.read_bytes()
        image = json.loads(data)
        record["image"] = {
            "toolchain": image.get("toolchain"),
            "accel": image.get("accel"),
            "record_sha256": hashlib.sha256(data).hexdigest(),
            "id": os.environ.get(IMAGE_VARIABLE) or None,
        }
        record["lock_sha256"] = image.get("lock_sha256")
    stamp = Path(sys.prefix) / LOCK_STAMP
    if stamp.is_file():
        record["lock_sha256"] = stamp.read_text(encoding="utf-8").strip()
    return record


def git_state() -> dict[str, Any]:
    """Commit and dirty flag of the repository; `dirty` is None where no git program is at hand (in the
    images).
    """
    if shutil.which("git"):
        commit = _git("rev-parse", "HEAD")
        changes = _git("status", "--porcelain", "--untracked-files=no")
        return {"commit": commit, "dirty": None if changes is None else bool(changes)}
    return {"commit": _head_commit(ROOT / ".git"), "dirty": None}


def _git(*words: str) -> str | None:
    command = ["git", "-c", f"safe.directory={ROOT}", "-C", str(ROOT), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def _head_commit(git_dir: Path) -> str | None:
    """Read HEAD without the git program; None in a packed or foreign layout."""
    try:
        head = (git_dir / "HEAD").read_text(encoding="utf-8").strip()
        return (git_dir / head[5:]).read_text(encoding="utf-8").strip() if head.startswith("ref: ") else head
    except OSError:
        return None


def host() -> dict[str, Any]:
    """The machine: name, kernel, processor, cores, memory, GPUs and driver."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "name": platform.node(),
        "system": f"{platform.system()} {platform.release()}",
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_bytes": memory,
        "gpus": gpus(),
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine()
    )


def gpus() -> list[dict[str, str]]:
    """Name, memory and driver of each GPU by nvidia-smi; empty without one."""
    if not shutil.which("nvidia-smi"):
        return []
    fields = "index,uuid,name,memory.total,driver_version"
    command = ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return []
    rows = [[cell.strip() for cell in line.split(",")] for line in done.stdout.splitlines() if line.strip()]
    return [dict(zip(fields.split(","), row, strict=False)) for row in rows]


class Meter:
    """Wall and CPU seconds and peak memory of this process (children included), from construction on."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.monotonic(), self._cpu_seconds()

    @staticmethod
    def _cpu_seconds() -> float:
        own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime

    def read(self) -> dict[str, Any]:
        """`wall_seconds`, `cpu_seconds`, `peak_rss_bytes`, `peak_gpu_bytes` (this process, by nvidia-smi;
        None without GPU).
        """
        peak = max(
            resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        )
        return {
            "wall_seconds": round(time.monotonic() - self._wall, 3),
            "cpu_seconds": round(self._cpu_seconds() - self._cpu, 3),
            "peak_rss_bytes": peak * 1024,
            "peak_gpu_bytes": _gpu_bytes(os.getpid()),
        }


def _gpu_bytes(pid: int) -> int | None:
    if not shutil.which("nvidia-smi"):
        return None
    command = ["nvidia-smi", "--query-compute-apps=pid,used_memory", "--format=csv,noheader,nounits"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    rows = [line.split(",") for line in done.stdout.splitlines() if "," in line]
    used = [int(row[1]) for row in rows if row[0].strip() == str(pid) and row[1].strip().isdigit()]
    return sum(used) * 2**20 if used else None
