"""The README's commands and settings exist: a row of "Coming from the original repository" is a promise."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.solid.by_hand import COMMANDS
from experiments.solid.config import SolidConfig
from experiments.solid.stages import STAGES
from suite.config import load_config, to_tree

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "experiments" / "solid" / "README.md").read_text(encoding="utf-8")
TREE = to_tree(load_config(SolidConfig, ROOT / "experiments/solid/configs/paper.yaml"))


def test_every_verb_named_in_the_readme_exists_and_every_stage_is_named():
    named = set(re.findall(r"`solid ([a-z-]+)", README))
    assert named <= set(STAGES) | set(COMMANDS)
    assert set(re.findall(r"^\| `([a-z-]+)` \|", README, flags=re.M)) == set(STAGES)


@pytest.mark.parametrize("setting", sorted(set(re.findall(rf"\b(?:{'|'.join(TREE)})\.[a-z_]+", README))))
def test_every_setting_named_in_the_readme_exists(setting):
    section, name = setting.split(".")
    assert name in TREE[section] or name in ("json", "yaml", "sh")


@pytest.mark.parametrize("verb", STAGES)
def test_every_verb_has_help_with_its_flags(verb):
    line = [sys.executable, "-m", "experiments.solid", verb, "--help"]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True)
    for flag in ("--config", "--out", "--seed", "--device", *(f"--{name}" for name in STAGES[verb].inputs)):
        assert flag in done.stdout


def test_the_published_settings_are_those_of_the_publication():
    """Numbers that the paper's repository states in prose; paper.yaml names the source of the rest."""
    config = load_config(SolidConfig, ROOT / "experiments/solid/configs/paper.yaml")
    assert config.store.num_images == 1_000_000
    assert (config.meshes.num_classes, config.queries.num_shots) == (52_447, 8)
    assert STAGES["targets"].num_shards(config) == 3907
    assert STAGES["queries"].num_shards(config) == 205
