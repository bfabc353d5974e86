"""The arms: where a detector's pictures, or its first weights, come from beside the real pictures.

    for arm in arms_of(config):
        arm.name, arm.kind, arm.stage

Arms of the kind `data` leave `coco/annotations.json` and `coco/pictures/` in the folder of their stage, arms
of the kind `init` leave `weights.json` (weights.py). What an arm costs is read from manifests (cost.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from suite.runs import folder_setting

if TYPE_CHECKING:
    from experiments.compare.config import CompareConfig

RUN_FOLDER = re.compile(r"(?P<system>[a-z-]+)/(?P<scale>[a-z0-9-]+)/seed(?P<seed>\d+)")
Kind = Literal["real", "data", "init"]


@dataclass(frozen=True)
class Arm:
    """One source of what is learned before, or beside, the real pictures."""

    name: str
    kind: Kind  # real: nothing beside them; data: pictures with boxes; init: weights, no classes
    stage: str | None  # the stage of this run that leaves them
    title: str  # as tables say it


ARMS = {
    arm.name: arm
    for arm in (
        Arm("real", "real", None, "real pictures only"),
        Arm("pasted", "data", "pasted", "pasted samples"),
        Arm("imaginary", "data", "boxed-imaginary", "imaginary pictures"),
        Arm("solid", "init", "solid-weights", "SOLID initialisation"),
    )
}


@dataclass(frozen=True)
class NeededRun:
    """A run of another system that has to be there before the comparison, up to one of its stages."""

    system: str
    scale: str
    seed: int
    until: str

    @property
    def folder(self) -> Path:
        """Below RUNS_DIR."""
        return folder_setting("RUNS_DIR", "runs") / self.system / self.scale / f"seed{self.seed}"


def pick(names: Iterable[str]) -> tuple[Arm, ...]:
    """The arms of these names, in their order. Raises ValueError for an unknown one."""
    found = list(names)
    for name in found:
        if name not in ARMS:
            raise ValueError(f"no arm {name!r}; there are {', '.join(ARMS)}")
    return tuple(ARMS[name] for name in found)


def arms_of(config: CompareConfig) -> tuple[Arm, ...]:
    """The arms of these settings."""
    return pick(config.arms)


def run_parts(text: str, *, setting: str) -> tuple[str, str, int]:
    """(system, scale, seed) of `solid/smoke/seed0`.

    Raises ValueError, naming the setting, for another form or another system than the setting is for.
    """
    match = RUN_FOLDER.fullmatch(text)
    wanted = setting.removesuffix("_run").replace("_", "-")
    if match is None or match["system"] != wanted:
        raise ValueError(f"`{setting}` is {text!r}; name a run below RUNS_DIR, like {wanted}/smoke/seed0")
    return match["system"], match["scale"], int(match["seed"])


def solid_run(config: CompareConfig) -> NeededRun:
    """The run whose pre-trained weights are the arm `solid`."""
    return NeededRun(*run_parts(config.solid_run, setting="solid_run"), until="pretrain")


def imaginarynet_run(config: CompareConfig) -> NeededRun:
    """The run whose pictures are the arm `imaginary`, up to the detector that finds their boxes."""
    parts = run_parts(config.imaginarynet_run, setting="imaginarynet_run")
    return NeededRun(*parts, until=f"train-{config.boxed.detector}")


def needed_runs(config: CompareConfig) -> tuple[NeededRun, ...]:
    """Runs of other systems that these arms read, in the order of the arms."""
    makers = {"solid": solid_run, "imaginary": imaginarynet_run}
    return tuple(makers[arm.name](config) for arm in arms_of(config) if arm.name in makers)
