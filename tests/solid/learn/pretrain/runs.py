"""Pre-training through its public command, on the small coloured store."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

from experiments.solid.store.schema import StoreLayout
from tests.forked import run_forked
from tests.solid.learn.stores import LAYOUT, write_store

ROOT = Path(__file__).resolve().parents[4]
TINY = ROOT / "experiments/solid/configs/tiny.yaml"
STAGES = ("clean", "targets", "queries", "check")
FRAMEWORK = ("suite.compat.detectron2", "detectron2.engine", "detectron2.modeling")
ENVIRONMENT = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Run:
    """A folder with a finished store; calls are the public command at tiny scale."""

    def __init__(self, folder: Path, *overrides: str, layout: StoreLayout = LAYOUT) -> None:
        self.folder = folder
        self.overrides = ("pretrain.threads=1", *overrides)
        write_store(folder / "store", layout)
        (folder / "clean").mkdir()
        (folder / "clean/classes.json").write_bytes((folder / "store/classes.json").read_bytes())
        for stage in ("store", *STAGES):
            (folder / stage).mkdir(exist_ok=True)
            (folder / stage / "manifest.json").write_text(
                json.dumps({"key": f"{stage} of a test", "outputs": []})
            )

    def command(self, out: str, *overrides: str, ranks: int = 1, verb: str = "pretrain") -> list[str]:
        """The command line that writes folder `out`."""
        launcher = ["-m", "torch.distributed.run", "--nproc_per_node", str(ranks)]
        launcher += ["--master_addr", "127.0.0.1", "--master_port", str(free_port())]
        line = [sys.executable, *(launcher if ranks > 1 else []), "-m", "experiments.solid", verb]
        line += ["--config", str(TINY)]
        for text in (*self.overrides, *overrides):
            line += ["-o", text]
        for stage in ("store", *STAGES):
            line += [f"--{stage}", str(self.folder / stage)]
        line += ["--pretrain", str(self.folder / "pretrain")] if verb == "instances" else []
        return [*line, "--out", str(self.folder / out)]

    def __call__(
        self, out: str, *overrides: str, fresh: bool = False, **how: int | str
    ) -> subprocess.CompletedProcess:
        """Run it, `fresh` and ranks in interpreters of their own."""
        line = self.command(out, *overrides, **how)
        if not fresh and "ranks" not in how:
            return run_forked(line, preload=FRAMEWORK, cwd=ROOT, env=ENVIRONMENT)
        return subprocess.run(line, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False)

    def must(self, out: str, *overrides: str, **how: bool | int | str) -> Path:
        """Run it, expect success; returns the finished folder."""
        done = self(out, *overrides, **how)
        assert done.returncode == 0, done.stderr[-3000:]
        return self.folder / out


def rows(folder: Path, log: str = "metrics.jsonl") -> list[dict]:
    """The lines of a log."""
    return [json.loads(line) for line in (folder / log).read_text().splitlines()]


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every output that holds numbers."""
    outputs = json.loads((folder / "manifest.json").read_text())["outputs"]
    return {row["path"]: row["sha256"] for row in outputs if row["path"] != "config.yaml"}
