"""Fine-tuning by its public command: a small COCO set, a pre-training checkpoint of random tensors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import torch

from experiments.solid.config import SolidConfig
from experiments.solid.learn.engine.checkpoint import save_model
from experiments.solid.learn.pretrain.lazy import lazy_pretrain, make
from suite.config import load_config
from tests.forked import run_forked
from tests.solid.learn.coco_sets import write_target_set
from tests.solid.learn.pretrain.runs import FRAMEWORK

ROOT = Path(__file__).resolve().parents[4]
TINY = ROOT / "experiments/solid/configs/tiny.yaml"
NUM_INSTANCE_CLASSES = 5


def write_pretrained(folder: Path, config: SolidConfig) -> Path:
    """A finished `pretrain` folder with a checkpoint of its own model, random weights; returns the folder."""
    folder.mkdir(parents=True)
    torch.manual_seed(11)
    tree = lazy_pretrain(config, num_classes=NUM_INSTANCE_CLASSES, seed=0, device="cpu")
    save_model(folder / "model.pth", make(tree, torch.device("cpu")).model.state_dict())
    (folder / "manifest.json").write_text(json.dumps({"key": "made by a test", "outputs": []}))
    return folder


class Run:
    """A folder with a target set and a `pretrain` folder; calls are the public commands, at tiny scale."""

    def __init__(self, folder: Path, overrides: tuple[str, ...] = ()) -> None:
        self.folder = folder
        (folder / "set").mkdir(parents=True)
        self.target = write_target_set(folder / "set")
        fields = ("source", "train_json", "train_images", "test_json", "test_images")
        self.overrides = (
            tuple(f"target_set.{name}={getattr(self.target, name)}" for name in fields) + overrides
        )
        self.config = load_config(SolidConfig, TINY, list(self.overrides))
        write_pretrained(folder / "pretrain", self.config)

    def command(self, verb: str, *words: str, out: str | None = None) -> list[str]:
        line = [sys.executable, "-m", "experiments.solid", verb, "--config", str(TINY)]
        for text in self.overrides:
            line += ["-o", text]
        line += ["--pretrain", str(self.folder / "pretrain"), "--out", str(self.folder / (out or verb))]
        if verb == "evaluate":
            line += ["--finetune", str(self.folder / "finetune")]
        return [*line, *words]

    def __call__(
        self, verb: str, *words: str, out: str | None = None, fresh: bool = False
    ) -> subprocess.CompletedProcess:
        """Run it, `fresh` in an interpreter of its own."""
        line = self.command(verb, *words, out=out)
        if not fresh:
            return run_forked(line, preload=FRAMEWORK, cwd=ROOT, env=os.environ)
        return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)

    def must(
        self, verb: str, *words: str, out: str | None = None, fresh: bool = False
    ) -> subprocess.CompletedProcess:
        done = self(verb, *words, out=out, fresh=fresh)
        assert done.returncode == 0, done.stderr[-3000:]
        return done
