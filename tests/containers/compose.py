"""Docker and compose as users call them, for the tests of the containers."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
TOOLCHAINS = ("blender", "detectron2", "jax", "tensorflow")


def docker(*arguments: str, check: bool = True, timeout: float = 300, **environment: str):
    """Run docker in the repository; returns the finished process with its text output."""
    done = subprocess.run(["docker", *arguments], cwd=ROOT, env={**os.environ, **environment}, text=True,
                          capture_output=True, stdin=subprocess.DEVNULL, timeout=timeout)
    if check and done.returncode:
        told = f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        raise AssertionError(f"{' '.join(done.args)} ended in {done.returncode}:\n{told}")
    return done


def compose_run(service: str, *words: str, options: tuple[str, ...] = (), **keywords):
    """`docker compose run --rm` of one service, without a terminal."""
    return docker("compose", "run", "--rm", "-T", *options, service, *words, **keywords)


def build_images() -> dict[str, dict[str, float]]:
    """Seconds and gigabytes of each, built one after the other."""
    figures = {}
    for name in TOOLCHAINS:
        start = time.monotonic()
        docker("compose", "--progress", "plain", "build", name, timeout=900)
        seconds = time.monotonic() - start
        size = int(docker("image", "inspect", "-f", "{{.Size}}", f"syndet/{name}:cpu").stdout)
        figures[name] = {"build_s": round(seconds, 1), "size_gb": round(size / 1e9, 2)}
    return figures


def relay_state() -> str:
    """State and exit code of the container beside SOLID's: `exited 0` once it has done its work."""
    name = docker("compose", "ps", "--all", "--quiet", "detectron2-relay").stdout.strip()
    return docker("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", name).stdout.strip()


def check_finished(folder: Path, paper: str) -> None:
    """A run at tiny is whole, belongs to its caller, and the same command finds nothing to do."""
    assert sorted(folder.rglob("report/manifest.json"))
    if os.geteuid() == 0:
        assert {path.stat().st_uid for path in folder.rglob("*")} == {4242}
    before = {path: path.read_bytes() for path in sorted(folder.rglob("manifest.json"))}
    again = compose_run(paper, timeout=600, SCALE="tiny", RUNS_DIR=str(folder))
    assert "nothing to do" in again.stdout
    assert {path: path.read_bytes() for path in sorted(folder.rglob("manifest.json"))} == before
