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


def test_every_row_of_the_determinism_table_names_a_test_that_exists():
    table = README.split("## Determinism")[1].split("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| `") or line.startswith("| t")]
    named = re.findall(r"`(solid/[\w/]+\.py)::(test_\w+)` \|$", table, flags=re.M)
    assert len(named) >= 19
    for path, name in named:
        source = (ROOT / "tests" / path).read_text(encoding="utf-8")
        assert re.search(rf"^def {name}\(", source, flags=re.M), (path, name)
    told = {stage for line in rows for stage in re.findall(r"`([a-z-]+)`", line.split("|")[1])}
    assert told == set(STAGES)
