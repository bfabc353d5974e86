"""Runs: one system at one scale with one seed, in `RUNS_DIR/<system>/<scale>/seed<k>/`, and the stages it is
made of.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

from suite.config import load_config
from suite.errors import BadInput
from suite.provenance import ROOT
from suite.stage import Stage

COMPARISON = "compare"


def folder_setting(variable: str, default: str) -> Path:
    """A folder named by an environment variable (relative to the repository), or its default; absolute."""
    return Path(os.path.abspath(ROOT / (os.environ.get(variable) or default)))


def systems() -> list[str]:
    """What has stages here, as it is typed (`sample-synthesis`): the papers, and the comparison."""
    return sorted(path.parent.name.replace("_", "-") for path in ROOT.glob("experiments/*/stages.smk"))


def papers() -> list[str]:
    """The systems that reproduce a paper: all but the comparison, which reads runs of others."""
    return [name for name in systems() if name != COMPARISON]


def choose(value: str, known: list[str], what: str) -> str:
    """`value` if it is known, else BadInput with the near matches."""
    if value in known:
        return value
    near = difflib.get_close_matches(value, known, n=2)
    fix = f"did you mean {' or '.join(near)}?" if near else f"choose one of {', '.join(known)}"
    raise BadInput(f"no {what} {value!r}", fix=fix)


def stages_of(package: str, config: Any) -> Mapping[str, Stage]:
    """The stages of a system with these settings, in order: those that its `stages_of` picks, or all."""
    module = import_module(f"experiments.{package}.stages")
    pick = getattr(module, "stages_of", None)
    return module.STAGES if pick is None else pick(config)


def own_overrides(system: str) -> tuple[str, ...]:
    """Overrides from the environment variables that a system has for itself (config.py: VARIABLES)."""
    package = system.replace("-", "_")
    known = getattr(import_module(f"experiments.{package}.config"), "VARIABLES", {})
    words: list[str] = []
    for name, form in known.items():
        if os.environ.get(name):
            made = form(os.environ[name])
            words += [made] if isinstance(made, str) else made
    return tuple(words)


def target_of(system: str) -> str:
    """What is typed behind `make` for a system."""
    return system if system == COMPARISON else f"reproduce-{system}"


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run. `overrides` are `key=value` texts laid over the scale's config."""

    system: str
    scale: str
    seed: int
    overrides: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        choose(self.system, systems(), "system")
        choose(self.scale, sorted(path.stem for path in (self.home / "configs").glob("*.yaml")), "scale")
        if self.seed < 0:
            raise BadInput(f"SEED={self.seed} is negative", fix="use 0 or more")

    @property
    def package(self) -> str:
        """Name of the Python package below experiments."""
        return self.system.replace("-", "_")

    @property
    def home(self) -> Path:
        return ROOT / "experiments" / self.package

    @property
    def folder(self) -> Path:
        """Where its stages, logs and stamps lie."""
        return folder_setting("RUNS_DIR", "runs") / self.system / self.scale / f"seed{self.seed}"

    @property
    def name(self) -> str:
        return f"{self.system}, scale {self.scale}, seed {self.seed}"

    @cached_property
    def stages(self) -> Mapping[str, Stage]:
        """The stages that its settings need, in order."""
        return stages_of(self.package, self.config)

    @cached_property
    def config(self) -> Any:
        """The resolved config."""
        schema = import_module(f"experiments.{self.package}.config").CONFIG
        return load_config(schema, self.home / "configs" / f"{self.scale}.yaml", list(self.overrides))

    @cached_property
    def before(self) -> tuple[tuple[Run, str], ...]:
        """Runs of other systems that have to be there first, each with its last stage (`stages.needed_runs`).

        Their settings are those of their scale and of their own variables, not `overrides`.
        """
        needed = getattr(import_module(f"experiments.{self.package}.stages"), "needed_runs", None)
        rows = [] if needed is None else needed(self.config)
        found = []
        for row in rows:
            own = own_overrides(row.system)
            run = Run(system=row.system, scale=row.scale, seed=row.seed, overrides=own)
            found.append((run, row.until))
        return tuple(found)

    def producer(self, input_name: str) -> str:
        """The stage that makes an input: of the same name, or the one whose name ends in it (create-store:
        store).
        """
        if input_name in self.stages:
            return input_name
        found = [name for name in self.stages if name.endswith(f"-{input_name}")]
        if len(found) != 1:
            raise BadInput(f"no stage of {self.system} makes the input {input_name!r}")
        return found[0]
