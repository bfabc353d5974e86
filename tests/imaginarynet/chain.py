"""The stages of a run as users start them: processes of their own, each with the Python of its toolchain."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from experiments.imaginarynet.config import CONFIG, CONFIGS
from experiments.imaginarynet.stages import stages_of
from experiments.imaginarynet.store.manifest import Candidate, read_shards
from suite.config import load_config
from suite.provenance import ROOT
from suite.stage import Stage

TINY = CONFIGS / "tiny.yaml"


@dataclass(frozen=True)
class Chain:
    """A run at tiny in a folder, with overrides."""

    folder: Path
    overrides: tuple[str, ...]
    seed: int = 0

    @property
    def stages(self) -> dict[str, Stage]:
        return stages_of(load_config(CONFIG, TINY, self.overrides))

    def command(self, name: str, *words: str) -> list[str]:
        """The command of a stage."""
        stage = self.stages[name]
        python = ROOT / f".tox/{stage.toolchain}/bin/python"
        command = [python, "-m", "experiments.imaginarynet", name, "--config", TINY, "--seed", self.seed]
        command += ["--out", self.folder / name, *(w for text in self.overrides for w in ("-o", text))]
        command += [w for other in stage.inputs for w in (f"--{other}", self.folder / other)]
        return [str(word) for word in (*command, *words)]

    def start(self, name: str, *words: str, **env: str) -> subprocess.Popen:
        """Start a stage; its output is kept."""
        return subprocess.Popen(
            self.command(name, *words), cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **env},
        )  # fmt: skip

    def run(self, name: str, *words: str, **env: str) -> tuple[int, str]:
        """Do a stage; exit code and output."""
        process = self.start(name, *words, **env)
        out, err = process.communicate(timeout=600)
        return process.returncode, out + err

    def must(self, *names: str, **env: str) -> str:
        """Do stages, which must not fail; the output of the last one."""
        told = ""
        for name in names:
            code, told = self.run(name, **env)
            assert code == 0, told
        return told

    def rows(self, name: str) -> list[Candidate]:
        """The candidates of a finished stage."""
        return read_shards(self.folder / name)

    def made(self, name: str) -> dict[str, tuple[str, str]]:
        """Candidate -> (prompt, digest of its picture)."""
        return {row.candidate_id: (row.prompt, row.sha256) for row in self.rows(name)}

    def outputs(self, name: str) -> dict[str, str]:
        """File -> digest of a finished stage, its shards included."""
        found = {}
        for path in sorted((self.folder / name).rglob("manifest.json")):
            place = path.parent.relative_to(self.folder)
            found |= {
                f"{place}/{row['path']}": row["sha256"] for row in json.loads(path.read_text())["outputs"]
            }
        return found
