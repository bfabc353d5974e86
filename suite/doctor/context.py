"""What the checks look at: the repository, the environment, and other programs' answers, each asked once."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

TIMEOUT = 20.0  # seconds; an engine that hangs must not hang the doctor


@dataclass(frozen=True)
class Answer:
    """What a program said. `found`: it exists; `code`: its exit code, None if it did not end in time."""

    found: bool
    code: int | None = None
    out: str = ""
    err: str = ""

    @property
    def ok(self) -> bool:
        return self.found and self.code == 0

    @property
    def complaint(self) -> str:
        """The first line that says what went wrong."""
        if self.found and self.code is None:
            return f"no answer within {TIMEOUT:.0f} s"
        lines = [line.strip() for line in (self.err + "\n" + self.out).splitlines() if line.strip()]
        return lines[0][:200] if lines else f"exit code {self.code}"


@dataclass(frozen=True)
class Gpu:
    """One GPU as nvidia-smi lists it."""

    index: str
    name: str
    driver: str
    memory: str


@dataclass(frozen=True)
class Context:
    """Where to look. `systems`: to judge for; `toolchains`: to show; `env`: the variables that count."""

    root: Path
    systems: tuple[str, ...]
    toolchains: tuple[str, ...]
    scale: str = "smoke"
    env: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))

    def ask(self, *command: str) -> Answer:
        """Run a program in the repository's root and keep what it says."""
        program = shutil.which(command[0], path=self.env.get("PATH"))
        if program is None:
            return Answer(found=False)
        try:
            done = subprocess.run(
                [program, *command[1:]],
                capture_output=True,
                text=True,
                errors="replace",
                timeout=TIMEOUT,
                cwd=str(self.root),
                env={**self.env, "LC_ALL": "C"},
                stdin=subprocess.DEVNULL,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Answer(found=True)
        except OSError as error:
            return Answer(found=True, code=126, err=str(error))
        return Answer(True, done.returncode, done.stdout, done.stderr)

    def folder(self, variable: str, default: str) -> Path:
        """A mounted folder: named by an environment variable, or its place in the repository."""
        return self.root / (self.env.get(variable) or default)

    @property
    def inside_image(self) -> bool:
        """True in one of the project's own containers."""
        return Path("/opt/image.json").is_file()

    @property
    def accel(self) -> str:
        """Which flavour of locks and images counts here: cuda with a GPU, else cpu."""
        wanted = self.env.get("ACCEL", "auto")
        return wanted if wanted in ("cpu", "cuda") else ("cuda" if self.gpus else "cpu")

    @cached_property
    def docker_info(self) -> tuple[dict[str, Any], Answer]:
        """`docker info` as a dict (empty if no engine answers) and the bare answer."""
        answer = self.ask("docker", "info", "--format", "{{json .}}")
        try:
            info = json.loads(answer.out) if answer.ok else {}
        except json.JSONDecodeError:
            info = {}
        return (info if isinstance(info, dict) and info.get("ServerVersion") else {}), answer

    @cached_property
    def nvidia_smi(self) -> Answer:
        query = "--query-gpu=index,name,driver_version,memory.total"
        return self.ask("nvidia-smi", query, "--format=csv,noheader")

    @cached_property
    def gpus(self) -> tuple[Gpu, ...]:
        """GPUs that nvidia-smi lists; empty without a working driver."""
        if not self.nvidia_smi.ok:
            return ()
        rows = [[cell.strip() for cell in line.split(",")] for line in self.nvidia_smi.out.splitlines()]
        return tuple(Gpu(*row) for row in rows if len(row) == 4 and row[0].isdigit())

    @cached_property
    def bootstrap(self) -> ModuleType | None:
        """workflow/bootstrap.py, which knows how environments are made; None where it does not load."""
        path = self.root / "workflow" / "bootstrap.py"
        spec = importlib.util.spec_from_file_location("doctor_bootstrap", path)
        if spec is None or spec.loader is None or not path.is_file():
            return None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module  # dataclasses look their module up there
        try:
            spec.loader.exec_module(module)
        # An older Python than it was written for.
        except (ImportError, SyntaxError, AttributeError, TypeError):
            return None
        finally:
            del sys.modules[spec.name]
        return module


def version(text: str) -> tuple[int, ...]:
    """The first dotted number of a text as a tuple: "v2.26.1-4" -> (2, 26, 1); empty without one."""
    found = re.search(r"\d+(\.\d+)*", text)
    return tuple(int(part) for part in found.group().split(".")) if found else ()
