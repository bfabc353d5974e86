"""A checkout of the suite with the toy system in it, and programs put on PATH that stand for the outside."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@dataclass
class Checkout:
    """A copy of the suite with its own experiments/toy; commands run in it with the Python of the tests."""

    root: Path
    env: dict[str, str] = field(default_factory=dict)

    @property
    def run_folder(self) -> Path:
        return self.root / "runs/toy/tiny/seed0"

    def fake(self, name: str, script: str) -> None:
        """Put a shell script on PATH, before everything else."""
        path = self.root / "bin" / name
        path.write_text("#!/bin/sh\n" + script)
        path.chmod(0o755)

    def environment(self, **extra: str) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if k not in SETTINGS}
        path = f"{self.root / 'bin'}{os.pathsep}{kept['PATH']}"
        python = {"SYNDET_TOOLCHAIN_PYTHON": sys.executable, "SYNDET_LOCK_DIR": str(self.root / "locks")}
        return {**kept, "PATH": path, "PYTHONPATH": str(self.root), **python, **self.env, **extra}

    def start(self, *words: str, **extra: str) -> subprocess.Popen:
        """`python -m <words>` in the background, both streams together."""
        return subprocess.Popen(
            [sys.executable, "-m", *words], cwd=self.root, env=self.environment(**extra), text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def run(self, *words: str, **extra: str) -> tuple[int, str]:
        """`python -m <words>` to its end: exit code and output."""
        process = self.start(*words, **extra)
        output, _ = process.communicate(timeout=600)
        return process.returncode, output

    def launch(self, stage: str, *words: str, **extra: str) -> tuple[int, str]:
        """The launcher on one stage of the toy."""
        return self.run(*self.launch_words(stage, *words), **extra)

    def launch_words(self, stage: str, *words: str) -> list[str]:
        own = [word for word in words if word.startswith("--")]
        rest = [word for word in words if not word.startswith("--")]
        head = ["suite.launch", "--system", "toy", "--toolchain", "suite", "--place", "venv"]
        head += ["--log", str(self.run_folder / "logs" / f"{stage}.log"), *own]
        tail = [stage, "--config", "experiments/toy/configs/tiny.yaml", "--out", str(self.run_folder / stage)]
        if stage == "make-squares":
            head += ["--wide"]
            tail += ["--numbers", str(self.run_folder / "numbers")]
        return [*head, "--", *tail, *(word for text in rest for word in ("-o", text))]

    def notes(self) -> list[list[str]]:
        """What the shards noted: [what, number, GPU, threads, time]."""
        path = self.root / "notes"
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


SETTINGS = (
    "SCALE", "PLACE", "ACCEL", "DEVICE", "SEED", "DATA_DIR", "RUNS_DIR", "JOBS", "PAPER", "STAGE",
    "TOOLCHAIN", "OVERRIDES", "STRICT", "FORCE", "CUDA_VISIBLE_DEVICES", "MAKEFLAGS", "MAKELEVEL",
)  # fmt: skip


def make_checkout(root: Path) -> Checkout:
    """A fresh checkout with nothing run yet."""
    skip = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "suite", root / "suite", ignore=skip)
    shutil.copytree(ROOT / "workflow", root / "workflow", ignore=skip)
    shutil.copytree(Path(__file__).parent / "toy", root / "experiments/toy", ignore=skip)
    for folder in ("bin", "locks"):
        (root / folder).mkdir()
    made = Checkout(root, {"TOY_NOTES": str(root / "notes")})
    made.fake("nvidia-smi", "exit 9\n")
    made.fake("docker", "exit 1\n")
    return made


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A fresh checkout with nothing run yet."""
    return make_checkout(tmp_path / "checkout")


@pytest.fixture(scope="session")
def finished_once(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout whose toy system is reproduced; not to be changed."""
    made = make_checkout(tmp_path_factory.mktemp("finished") / "checkout")
    code, output = made.run("suite", "reproduce", "toy", "--scale", "tiny", "--place", "venv")
    assert code == 0, output
    return made


@pytest.fixture
def finished(finished_once: Checkout, tmp_path: Path) -> Checkout:
    """A copy of a checkout whose toy system is reproduced: results can be moved as a whole."""
    root = tmp_path / "checkout"
    shutil.copytree(finished_once.root, root)
    return Checkout(root, {"TOY_NOTES": str(root / "notes")})
