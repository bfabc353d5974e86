"""The text that sbatch gets: a pure function of the job, so that a test can hold it word by word."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from suite.errors import BadInput
from suite.launch.slurm_settings import SlurmSettings, gpus_of


@dataclass(frozen=True, kw_only=True)
class SlurmJob:
    """One job: a narrow stage, or an array whose task k does the k-th list of shards."""

    name: str
    settings: SlurmSettings
    device: str  # cpu or cuda
    command: Sequence[str]
    root: Path  # the repository, on a file system that the nodes share
    output: Path  # Slurm's own words; %A_%a or %j in it are Slurm's
    tasks: int | None = None  # of an array; None: no array
    throttle: int | None = None
    ranks: bool = False  # torchrun may spread it over nodes
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def nodes(self) -> int:
        """Nodes of one task."""
        return self.settings.nodes if self.ranks else 1


def script(job: SlurmJob) -> str:
    """The batch script of a job."""
    lines = ["#!/bin/bash", *(f"#SBATCH {option}" for option in options(job))]
    # Ignored until the task listens: a job that begins shortly before its end would die of it.
    lines += ["trap '' USR1", "set -e", *job.settings.setup, f"cd {shlex.quote(str(job.root))}"]
    lines += [f"export {name}={shlex.quote(value)}" for name, value in sorted(job.environment.items())]
    lines += [
        "# The task takes the shell's place: it is what Slurm signals.",
        f"exec {shlex.join(job.command)}",
    ]
    return "\n".join(lines) + "\n"


def options(job: SlurmJob) -> list[str]:
    """The options of sbatch, one each, in a fixed order; the user's own come last and win."""
    asked = job.settings
    found = [f"--job-name={job.name}"]
    found += [
        f"--{name}={value}" for name in ("partition", "account", "qos") if (value := getattr(asked, name))
    ]
    if job.tasks is not None:
        at_once = f"%{job.throttle}" if job.throttle and job.throttle < job.tasks else ""
        found.append(f"--array=0-{job.tasks - 1}{at_once}")
    found += [f"--nodes={job.nodes}", "--ntasks-per-node=1"]
    found += [f"--cpus-per-task={asked.cpus}"] if asked.cpus else []
    found += [f"--mem={asked.mem}"] if asked.mem else []
    found += [f"--gres={asked.gres}"] if job.device == "cuda" and asked.gres else []
    found += [f"--time={asked.time}"] if asked.time else []
    # To the task alone, in time for the stage to save; --requeue: it may be queued again under its number.
    found += [f"--signal=B:USR1@{asked.signal_seconds}", "--requeue", "--open-mode=append"]
    found.append(f"--output={quoted(job.output)}")
    return [*found, *asked.extra]


def quoted(path: Path) -> str:
    """A path as a #SBATCH line reads it."""
    text = str(path)
    if '"' in text or "\n" in text:
        raise BadInput("sbatch cannot read this path", file=path, fix="choose another RUNS_DIR")
    return f'"{text}"' if any(letter in text for letter in " '#\\") else text


# --- several processes for one stage ---


def ranks_per_node(settings: SlurmSettings, device: str) -> int:
    """Processes of a `ranks` stage on each node."""
    return settings.ranks_per_node or (gpus_of(settings.gres) if device == "cuda" else 1) or 1


def torchrun_words(*, nodes: int, per_node: int, job_id: str, head: str) -> list[str]:
    """What stands between `python -m` and `-m <package>`; [] where one process does the stage.

    head: host name of the first node, where the processes meet, at a port that follows from the job's number.
    """
    if nodes * per_node == 1:
        return []
    words = ["torch.distributed.run", "--nnodes", str(nodes), "--nproc_per_node", str(per_node)]
    if nodes == 1:
        return [*words, "--standalone"]
    port = 20000 + int(job_id) % 20000
    return [*words, "--rdzv_id", job_id, "--rdzv_backend", "c10d", "--rdzv_endpoint", f"{head}:{port}"]


def srun_words(*, nodes: int, cpus: int | None) -> list[str]:
    """One process of torchrun on every node of the allocation; [] on a single one.

    srun takes no number of cores from its job since Slurm 22.05: it is repeated.
    """
    if nodes == 1:
        return []
    words = ["srun", f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1", "--kill-on-bad-exit=1"]
    return [*words, *([f"--cpus-per-task={cpus}"] if cpus else [])]
