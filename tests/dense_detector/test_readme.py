"""The README's verbs, flags, settings and files exist, and paper.yaml is the published setting."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from experiments.dense_detector.cli import STAGES_ALONE
from experiments.dense_detector.config import VARIANTS, DenseConfig, variant
from experiments.dense_detector.presets import MASTER
from experiments.dense_detector.stages import STAGES
from suite.config import load_config, to_tree

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / "experiments" / "dense_detector"
README = (HOME / "README.md").read_text(encoding="utf-8")
PAPER = load_config(DenseConfig, HOME / "configs/paper.yaml")
TREE = to_tree(PAPER)
BY_HAND = ("import", "stats", "verify", "train", "eval", "predict")


def help_of(verb):
    line = [sys.executable, "-m", "experiments.dense_detector", verb, "--help"]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def helps():
    return {verb: help_of(verb) for verb in {*BY_HAND, *STAGES_ALONE}}


def test_the_table_of_stages_is_the_list_of_stages():
    section = README.split("## Stages")[1].split("##")[0]
    assert set(re.findall(r"^\| `([a-z-]+)` \|", section, flags=re.M)) == set(STAGES)


def test_every_flag_named_in_the_readme_exists(helps):
    ours = README.replace("-o KEY=VALUE", "")
    named = set(re.findall(r"--[a-z][a-z_-]*", ours))
    elsewhere = {"--logdir", "--until", "--config"}  # of tensorboard, of the suite, of every stage
    known = set(re.findall(r"--[a-z][a-z_-]*", "".join(helps.values())))
    assert named - elsewhere - known == set()


@pytest.mark.parametrize("setting", sorted(set(re.findall(rf"`((?:{'|'.join(TREE)})\.[a-z_]+)", README))))
def test_every_setting_named_in_the_readme_exists(setting):
    section, name = setting.split(".")
    assert name in TREE[section] or name in ("py", "db")


def test_every_file_named_in_the_readme_exists():
    named = set(re.findall(r"`([a-z_]+\.py)`", README))
    assert len(named) > 20
    assert [name for name in named if not (HOME / name).is_file()] == []


def test_every_verb_by_hand_shows_its_form_as_a_stage_and_every_stage_its_inputs(helps):
    for verb in BY_HAND:
        assert ("as a stage:" in helps[verb]) == (verb in STAGES)
    for verb in STAGES_ALONE:
        assert all(f"--{name}" in helps[verb] for name in ("config", "out", "seed", *STAGES[verb].inputs))


def test_the_paper_config_is_branch_master():
    """Numbers read in the published code; the spelling of the network is that of the preset."""
    assert PAPER.model.network == MASTER.network
    assert (PAPER.anchors.sizes, PAPER.anchors.ratios) == (MASTER.anchors.sizes, MASTER.anchors.ratios)
    assert (PAPER.train.optim, PAPER.train.lr, PAPER.train.momentum) == ("sgd", 0.01, 0.5)
    assert (PAPER.train.batch_size, PAPER.train.epochs, PAPER.data.size_wh) == (16, 1, (64, 128))
    assert (PAPER.data.area, PAPER.data.classes) == ((100**2, 500**2), ("person",))


def test_compat_sets_every_setting_of_the_table_of_deviations_to_its_faithful_value():
    rows = re.findall(r"^\| `([a-z]+)\.([a-z_]+)` \| (\w+) \| ([\w.]+) \|", README, flags=re.M)
    assert len(rows) == 10
    compat, ours = to_tree(variant(PAPER, "compat")), TREE
    for section, name, faithful, here in rows:
        for tree, said in ((compat, faithful), (ours, here)):
            assert tree[section][name] == yaml.safe_load(said), f"{section}.{name}"


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_is_named_in_the_readme_and_changes_what_it_says(name):
    assert f"`{name}`" in README
    assert (variant(PAPER, name) == PAPER) == (name == "ours")


@pytest.mark.parametrize("scale", ["paper", "small", "smoke", "tiny"])
def test_every_scale_resolves_and_has_the_keys_of_its_stages(scale):
    config = load_config(DenseConfig, HOME / f"configs/{scale}.yaml")
    for stage in STAGES.values():
        assert stage.config_tree(config)
