"""Command lines: how a stage's command is spelled in each place.

venv    .tox/<toolchain>/bin/python, made from the toolchain's lock by workflow/bootstrap.py
docker  docker compose run of the toolchain's service; the repository is /workspace there
here    /opt/venv/bin/python of the image that the launcher runs in; a stage of another toolchain goes to the
        container that stands beside this one (suite/launch/relay.py)
slurm   jobs of a cluster (suite/launch/slurm.py), within which the place is venv or docker
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from suite.errors import BadInput
from suite.launch.engine import compose_files
from suite.provenance import ROOT
from suite.runs import folder_setting

PLACES = ("auto", "venv", "docker", "here", "slurm")
WORKSPACE = Path("/workspace")  # where the images expect the repository, data/ and runs/
HERE_PYTHON = "/opt/venv/bin/python"
TOOLCHAIN_VARIABLE = "SYNDET_TOOLCHAIN"  # set in every image of ours
RELAY_VARIABLE = "SYNDET_RELAY"  # place here: sockets of the containers of other toolchains
PYTHON_VARIABLE = "SYNDET_TOOLCHAIN_PYTHON"  # place venv: another interpreter for every toolchain, for tests


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the stages of one toolchain run. `root` is the repository; paths in commands are the host's."""

    name: str
    toolchain: str
    package: str  # e.g. "experiments.solid"; run as `python -m <package> <verb> ...`
    device: str = "cpu"
    accel: str = "cpu"
    before: tuple[str, ...] = ()  # words before the program, e.g. srun: one process per node
    through: tuple[str, ...] = ()  # a module and its flags that start the package, e.g. torchrun's
    root: Path = ROOT
    runs_dir: Path = field(default_factory=lambda: folder_setting("RUNS_DIR", "runs"))
    data_dir: Path = field(default_factory=lambda: folder_setting("DATA_DIR", "data"))

    def command(
        self, args: Sequence[str], *, env: Mapping[str, str], container: str, keep: Sequence[int] = ()
    ) -> list[str]:
        """The full command line of `<verb> <flags>`; `env` is what the worker must see beside its own
        environment, `keep` are the descriptors that it inherits.
        """
        program = [*(("-m", *self.through) if self.through else ()), "-m", self.package]
        if self.name == "venv":
            python = os.environ.get(PYTHON_VARIABLE) or str(self.venv_python)
            return [*self.before, python, *program, *args]
        if self.name == "here":
            if own_toolchain() in (None, self.toolchain):
                return [HERE_PYTHON, *program, *args]
            kept = [word for descriptor in keep for word in ("--keep", str(descriptor))]
            return [sys.executable, "-m", "suite.launch.relay", "run", *kept, "--", self.package, *args]
        if self.name == "docker":
            words = [*self.compose(), "run", "--rm", "-T", "--name", container]
            words += [word for name, value in sorted(env.items()) for word in ("-e", f"{name}={value}")]
            return [*words, self.toolchain, "python", *program, *(self.inside(arg) for arg in args)]
        raise BadInput(f"place {self.name!r}", fix=f"choose one of {', '.join(PLACES)}")

    def compose(self) -> list[str]:
        """`docker compose` with the files that fit the device."""
        return [
            "docker",
            "compose",
            *(word for name in compose_files(self.device) for word in ("-f", str(self.root / name))),
        ]

    def inside(self, arg: str) -> str:
        """A host path as the container sees it; anything else unchanged."""
        if not arg.startswith("/"):
            return arg
        for host, mounted in ((self.runs_dir, "runs"), (self.data_dir, "data"), (self.root, "")):
            if Path(arg).is_relative_to(host):
                return str(WORKSPACE / mounted / Path(arg).relative_to(host))
        raise BadInput(
            "the container cannot see this path",
            file=arg,
            fix="use one below RUNS_DIR, DATA_DIR or the repository",
        )

    @property
    def venv_python(self) -> Path:
        return self.root / ".tox" / self.toolchain / "bin/python"

    def environment(self, extra: Mapping[str, str]) -> dict[str, str]:
        """The environment of the started program: ours, less what belongs to the workflow's own Python."""
        env = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "PYTHONHOME")}
        env |= {"PYTHONPATH": str(self.root), "PYTHONUNBUFFERED": "1"}
        if self.name == "docker":  # read by compose.yaml; `extra` travels as -e
            return env | {"ACCEL": self.accel, "RUNS_DIR": str(self.runs_dir), "DATA_DIR": str(self.data_dir)}
        return env | dict(extra)


def own_toolchain() -> str | None:
    """Toolchain of the image that this process runs in; None outside of our images."""
    return os.environ.get(TOOLCHAIN_VARIABLE) or None


def bootstrap_command(toolchain: str, accel: str) -> list[str]:
    """Builds `.tox/<toolchain>` unless it is up to date."""
    return [sys.executable, str(ROOT / "workflow/bootstrap.py"), toolchain, "--accel", accel]
