"""Slurm's own programs: sbatch, squeue, scancel, scontrol. Not sacct: there may be no accounting."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass

from suite.errors import Missing

PROGRAMS = ("sbatch", "squeue", "scancel", "scontrol")
DEFAULT_MAX_ARRAY_SIZE = 1001  # of a slurm.conf that does not say
KEPT = ("SLURM_CONF", "SLURM_JWT", "SLURM_CLUSTERS")  # how the cluster is reached
TIMEOUT_SECONDS = 120


@dataclass(frozen=True)
class QueueRow:
    """One line of squeue: a running task, or all pending tasks of an array."""

    job: str  # number of the job; of an array, what all its tasks share
    state: str  # RUNNING, PENDING, COMPLETING, ...
    reason: str  # why it waits


def require_slurm() -> None:
    """Missing unless Slurm's programs are on the PATH."""
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    if absent:
        fix = "start this on a machine that submits to the cluster, or use PLACE=venv"
        raise Missing(f"PLACE=slurm, but there is no {absent[0]} here", fix=fix)


def client_environment() -> dict[str, str]:
    """Ours, less what an enclosing job left: its sizes would become requests of the new one."""
    return {
        name: value
        for name, value in os.environ.items()
        if name in KEPT or not name.startswith(("SLURM_", "SLURMD_", "SBATCH_JOB"))
    }


def call(*command: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run one of Slurm's programs; a program that hangs or is absent counts as failed, with its words."""
    try:
        return subprocess.run(
            command, input=text, stdin=subprocess.DEVNULL if text is None else None, text=True, check=False,
            capture_output=True, timeout=TIMEOUT_SECONDS, env=client_environment(),
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, 1, "", str(error))


def submit(text: str, label: str) -> str:
    """Hand a script to sbatch; returns the job's number. Missing: Slurm rejects it, in its own words."""
    done = call("sbatch", "--parsable", text=text)
    words = " ".join(done.stderr.replace("sbatch: ", "").split()) or f"exit code {done.returncode}"
    number = re.search(r"^(\d+)(;\S+)?$", done.stdout.strip(), flags=re.M)
    if done.returncode != 0 or number is None:
        fix = "correct the Slurm settings (docs/scaling.md); nothing was started"
        raise Missing(f"sbatch rejects the job of {label}: {words}", fix=fix)
    return number[1]


def queue(name: str) -> list[QueueRow] | None:
    """What the queue holds under a job name; None where squeue does not answer."""
    done = call("squeue", "--noheader", f"--name={name}", "--format=%F|%T|%r")
    if done.returncode != 0:
        return None
    rows = [line.strip().split("|", 2) for line in done.stdout.splitlines() if line.count("|") >= 2]
    return [QueueRow(*row) for row in rows]


def require_answer() -> None:
    """Missing where squeue cannot reach its controller, in its own words."""
    done = call("squeue", "--noheader", "--name=syndet", "--format=%F")
    if done.returncode != 0:
        words = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        fix = "the same command tries again; jobs that are in the queue go on"
        raise Missing(f"the Slurm controller does not answer: {words}", fix=fix)


def state_of(job: str) -> str:
    """State of one job or task, e.g. RUNNING; "" where the queue does not know it (any more)."""
    done = call("squeue", "--noheader", f"--jobs={job}", "--format=%T")
    return done.stdout.strip().splitlines()[0] if done.returncode == 0 and done.stdout.strip() else ""


def cancel(job: str) -> None:
    """End a job with all its tasks."""
    call("scancel", job)


def signal_steps(job: str, name: str) -> None:
    """A signal to all processes that srun started in a job, on every node, but not to the batch script."""
    call("scancel", f"--signal={name}", job)


def requeue(job: str) -> str | None:
    """Put a job back into the queue; None, or why Slurm will not."""
    done = call("scontrol", "requeue", job)
    return None if done.returncode == 0 else " ".join((done.stderr or done.stdout).split())


def first_host(nodes: str) -> str:
    """`n[07-10]` -> the address under which the others reach n07: its name, unless slurm.conf has another."""
    name = (call("scontrol", "show", "hostnames", nodes).stdout.split() or ["localhost"])[0]
    found = re.search(r"\bNodeAddr=(\S+)", call("scontrol", "show", "node", name).stdout)
    return found[1] if found else name


def max_array_size() -> int:
    """Tasks that an array may have: MaxArraySize of the cluster."""
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", call("scontrol", "show", "config").stdout, flags=re.M)
    return max(1, int(found[1])) if found else DEFAULT_MAX_ARRAY_SIZE
