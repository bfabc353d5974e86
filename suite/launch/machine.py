"""What the workers of this machine may use: cores and threads."""

from __future__ import annotations

import os
from pathlib import Path

import psutil

CGROUP_CPU = Path("/sys/fs/cgroup/cpu.max")
# Every library that starts threads of its own is told the same number; SYNDET_THREADS is for Cycles.
THREAD_VARIABLES = ("SYNDET_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def num_cores() -> int:
    """Physical cores that this process may use: by topology, affinity and the container's CPU quota; at least
    1.
    """
    physical = psutil.cpu_count(logical=False) or os.cpu_count() or 1
    return max(1, min(physical, len(os.sched_getaffinity(0)), cgroup_cores(CGROUP_CPU) or physical))


def cgroup_cores(path: Path) -> int | None:
    """Whole cores of a cgroup v2 quota (`cpu.max` holds "quota period" in microseconds); None without a
    limit.
    """
    try:
        quota, period = path.read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return None
    return None if quota == "max" else max(1, int(quota) // int(period))


def thread_environment(cores: int, jobs: int) -> dict[str, str]:
    """Thread counts for one of `jobs` workers that share `cores`."""
    return dict.fromkeys(THREAD_VARIABLES, str(max(1, cores // jobs)))
