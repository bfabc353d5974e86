"""What a Slurm job asks for: from a small YAML file (SYNDET_SLURM) and from variables (SYNDET_SLURM_<KEY>).

    # cluster.yaml                      make reproduce-solid PLACE=slurm SYNDET_SLURM=cluster.yaml
    partition: gpu
    gres: gpu:1                         # laid on jobs of stages on the GPU only
    time: "04:00:00"                    # quoted, or YAML reads a number
    throttle: 32
    stages:
      pretrain: {nodes: 4, gres: "gpu:8", time: "2-00:00:00"}

A stage's own section wins over the keys above it, a variable wins over both (`SYNDET_SLURM_TIME=01:00:00`).
"""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from suite.config import build, merge, read_tree
from suite.errors import BadInput, Missing
from suite.provenance import ROOT

PROFILE_VARIABLE = "SYNDET_SLURM"
PREFIX = "SYNDET_SLURM_"
TIME = re.compile(r"\d+|\d+:\d\d(:\d\d)?|\d+-\d+(:\d\d){0,2}|infinite", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class SlurmSettings:
    """One job's requests. Texts are passed to sbatch as they are; None leaves a choice to the cluster."""

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    time: str | None = None  # as sbatch reads it: minutes, HH:MM:SS, D-HH:MM:SS
    gres: str | None = None  # of one node, e.g. gpu:1; for stages on the GPU
    cpus: int | None = None  # of one task
    mem: str | None = None  # of one node, e.g. 16G
    nodes: int = 1  # of stages that torchrun may spread (`ranks`); every other stage takes one
    ranks_per_node: int | None = None  # None: one per GPU of `gres`, one on the CPU
    throttle: int | None = None  # tasks of an array that may run at once; JOBS=n wins
    shards_per_task: int = 1  # shards that one task of an array does one after the other
    signal_seconds: int = 300  # before the time limit: the stage saves, the task is queued again
    max_requeues: int = 100  # a task that was stopped more often is given up
    inside: Literal["venv", "docker"] = "venv"  # the place within the job
    extra: tuple[str, ...] = ()  # further options of sbatch, e.g. --constraint=a100
    setup: tuple[str, ...] = ()  # lines of shell before the stage, e.g. module load cuda
    poll_seconds: float = 10.0  # between two looks at the queue
    settle_seconds: float = 60.0  # until what a finished task wrote must be visible here

    def __post_init__(self) -> None:
        """ValueError names the key that cannot be."""
        if self.time is not None and not TIME.fullmatch(self.time):
            raise ValueError(f"`time` is {self.time!r}; write it as sbatch does, in quotes: '04:00:00'")
        limit = seconds_of(self.time)
        if limit is not None and limit <= self.signal_seconds:
            raise ValueError(
                f"`time` is {self.time}, which is no longer than `signal_seconds` ({self.signal_seconds})"
            )
        least = {"nodes": 1, "shards_per_task": 1, "signal_seconds": 1, "max_requeues": 0}
        least |= dict.fromkeys(("cpus", "throttle", "ranks_per_node"), 1)
        for name, low in least.items():
            value = getattr(self, name)
            if value is not None and value < low:
                raise ValueError(f"`{name}` is {value}; use {low} or more")
        for line in (*self.extra, *self.setup, self.partition or "", self.gres or ""):
            if "\n" in line:
                raise ValueError(f"a line break in {line!r}; one option or command per item")
        wrong = [option for option in self.extra if not option.startswith("-")]
        if wrong:
            raise ValueError(f"`extra` holds {wrong[0]!r}; write options of sbatch, e.g. --constraint=a100")
        if self.poll_seconds <= 0 or self.settle_seconds < 0:
            raise ValueError("`poll_seconds` and `settle_seconds` are times in seconds")


def seconds_of(time: str | None) -> int | None:
    """A time limit as sbatch reads it: M, M:S, H:M:S, D-H, D-H:M, D-H:M:S; None without a limit."""
    if time is None or time.lower() == "infinite":
        return None
    days, dash, rest = time.rpartition("-")
    parts = [int(part) for part in rest.split(":")]
    if dash:  # hours first
        hours, minutes, seconds = (*parts, 0, 0)[:3]
    elif len(parts) == 3:
        hours, minutes, seconds = parts
    else:  # minutes first
        hours, (minutes, seconds) = 0, (*parts, 0)[:2]
    return int(days or 0) * 86400 + hours * 3600 + minutes * 60 + seconds


def load_settings(
    label: str | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    known: Sequence[str] | None = None,
) -> SlurmSettings:
    """The settings of a stage (`solid.targets`), or without its section. BadInput names file and key.

    known: names that `stages:` may hold; default: the stages of every system.
    """
    environment = os.environ if environment is None else environment
    tree, where = _profile_tree(environment)
    sections = _check_sections(tree.pop("stages", None) or {}, where, known)
    if label is not None:
        for name in (label.partition(".")[2], label):
            tree = merge(tree, sections.get(name, {}))
    tree = merge(tree, _from_variables(environment))
    return build(SlurmSettings, tree, where=where)


def _profile_tree(environment: Mapping[str, str]) -> tuple[dict[str, Any], str]:
    name = environment.get(PROFILE_VARIABLE)
    if not name:
        return {}, f"the variables {PREFIX}..."
    path = ROOT / Path(name).expanduser()
    return read_tree(path), str(path)


def _check_sections(sections: Any, where: str, known: Sequence[str] | None) -> Mapping[str, Any]:
    """Every section under `stages:` is a mapping of known keys under a name that exists."""
    if not isinstance(sections, Mapping):
        raise BadInput("`stages` is no mapping of stages to keys", file=where)
    names = known if known is not None or not sections else stage_names()
    for name, tree in sections.items():
        if name not in (names or ()):
            fix = "`make plan` lists them"
            raise BadInput(f"`stages.{name}`: no system has such a stage", file=where, fix=fix)
        if not isinstance(tree, Mapping):
            raise BadInput(f"`stages.{name}` is no mapping of keys to values", file=where)
        build(SlurmSettings, tree, where=where, prefix=f"stages.{name}.")
    return sections


def stage_names() -> list[str]:
    """`targets` and `solid.targets`, for every stage of every system."""
    found: list[str] = []
    for path in sorted(ROOT.glob("experiments/*/stages.smk")):
        stages = import_module(f"experiments.{path.parent.name}.stages").STAGES
        found += [*stages, *(f"{stage.system}.{name}" for name, stage in stages.items())]
    return found


def _from_variables(environment: Mapping[str, str]) -> dict[str, Any]:
    """SYNDET_SLURM_TIME=... -> {"time": ...}; empty ones count as unset."""
    hints = {field.name: str(field.type) for field in dataclasses.fields(SlurmSettings)}
    tree: dict[str, Any] = {}
    for variable, text in environment.items():
        name = variable.removeprefix(PREFIX).lower()
        if not variable.startswith(PREFIX) or not text:
            continue
        hint = hints.get(name)
        if hint is None:
            raise BadInput(f"{variable}: no such setting", fix=f"choose one of {', '.join(hints)}")
        try:
            if hint.startswith("tuple"):
                tree[name] = shlex.split(text) if name == "extra" else [text]
            else:
                tree[name] = int(text) if hint.startswith("int") else float(text) if hint == "float" else text
        except ValueError:
            raise BadInput(f"{variable}={text} cannot be read", fix="see docs/scaling.md") from None
    return tree


def gpus_of(gres: str | None) -> int:
    """GPUs that a request names: `gpu:2`, `gpu:h100:4`, `gpu,nvme:1`; 0 for none."""
    counts = [
        int(match[1] or 1)
        for part in (gres or "").split(",")
        if (match := re.fullmatch(r"gpu(?::[^:]*[^\d:][^:]*)?(?::(\d+))?(?:\(.*\))?", part.strip()))
    ]
    return sum(counts)


def pick_device(wanted: str, environment: Mapping[str, str] | None = None) -> tuple[str, str]:
    """The device of a run on the cluster and the reason: that of the submitting machine plays no part."""
    if wanted == "cpu":
        return "cpu", "as asked"
    environment = os.environ if environment is None else environment
    tree, _ = _profile_tree(environment)
    sections = tree.get("stages")
    asked = [load_settings(environment=environment).gres]
    asked += [part.get("gres") for part in sections.values()] if isinstance(sections, Mapping) else []
    found = next((gres for gres in asked if gpus_of(gres)), None)
    if found:
        return "cuda", f"Slurm is asked for {found}"
    if wanted == "cuda":
        raise Missing("DEVICE=cuda, but the Slurm settings name no GPU", fix=GRES_REMEDY)
    return "cpu", "the Slurm settings name no GPU (gres)"


GRES_REMEDY = f"{PREFIX}GRES=gpu:1, or `gres: gpu:1` in the file of {PROFILE_VARIABLE} (docs/scaling.md)"
