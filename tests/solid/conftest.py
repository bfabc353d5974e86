"""One prepared tiny run (meshes to empty store), made once; tests copy what they change."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
INPUTS = {
    "fetch-meshes": {},
    "index": {"meshes": "fetch-meshes"},
    "clean": {"meshes": "fetch-meshes", "index": "index"},
    "rooms": {},
    "create-store": {"clean": "clean"},
    "targets": {"clean": "clean", "rooms": "rooms", "store": "create-store"},
    "queries": {"clean": "clean", "store": "create-store"},
    "check": {
        "clean": "clean",
        "rooms": "rooms",
        "store": "create-store",
        "targets": "targets",
        "queries": "queries",
    },
}


class Run:
    """A run folder and the public command of its stages."""

    def __init__(self, folder: Path, overrides: tuple[str, ...] = ()) -> None:
        self.folder, self.overrides = folder, overrides

    def command(
        self, verb: str, *words: str, out: Path | None = None, overrides: tuple[str, ...] = ()
    ) -> list[str]:
        line = [
            sys.executable,
            "-m",
            "experiments.solid",
            verb,
            "--config",
            "experiments/solid/configs/tiny.yaml",
        ]
        for text in (*self.overrides, *overrides):
            line += ["-o", text]
        for name, stage in INPUTS[verb].items():
            line += [f"--{name}", str(self.folder / stage)]
        return [*line, "--out", str(out or self.folder / verb), *words]

    def __call__(self, verb: str, *words: str, **options) -> subprocess.CompletedProcess:
        return subprocess.run(
            self.command(verb, *words, **options), cwd=ROOT, capture_output=True, text=True, check=False
        )

    def must(self, verb: str, *words: str, **options) -> subprocess.CompletedProcess:
        done = self(verb, *words, **options)
        assert done.returncode == 0, done.stderr[-3000:]
        return done

    def copy(self, folder: Path, *stages: str) -> Run:
        """A run beside this one that starts from some of its finished stages."""
        for stage in stages:
            shutil.copytree(self.folder / stage, folder / stage)
        return Run(folder, self.overrides)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory) -> Run:
    """All stages before the pictures, finished at tiny scale."""
    pytest.importorskip("bpy", reason="needs the Blender toolchain")
    run = Run(tmp_path_factory.mktemp("solid"))
    for verb in ("fetch-meshes", "index", "clean", "rooms", "create-store"):
        run.must(verb)
    return run


BEFORE_PICTURES = ("clean", "rooms", "create-store")


@pytest.fixture(scope="session")
def finished(prepared, tmp_path_factory) -> Run:
    """A finished, undisturbed tiny run up to the queries."""
    run = prepared.copy(tmp_path_factory.mktemp("finished"), *BEFORE_PICTURES)
    run.must("targets")
    run.must("queries")
    return run
