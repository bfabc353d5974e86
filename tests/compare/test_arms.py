"""Settings of the comparison: which arms there are, what they need, what makes them anew."""

import json

import pytest

from experiments.compare.arms import ARMS, NeededRun, arms_of, needed_runs, run_parts
from experiments.compare.config import CONFIG
from experiments.compare.stages import stages_of
from experiments.compare.stages_data import run_state
from suite.config import load_config
from suite.errors import BadInput
from suite.provenance import ROOT
from suite.runs import papers, systems

CONFIGS = ROOT / "experiments/compare/configs"
SCALES = ("tiny", "smoke", "small")


def load(scale="smoke", *overrides):
    return load_config(CONFIG, CONFIGS / f"{scale}.yaml", overrides)


@pytest.mark.parametrize("scale", SCALES)
def test_every_scale_has_all_arms_and_names_runs_that_can_be_made(scale):
    config = load(scale)
    assert [arm.name for arm in arms_of(config)] == list(ARMS)
    for run in needed_runs(config):
        assert run.system in papers()
        assert (ROOT / "experiments" / run.system / "configs" / f"{run.scale}.yaml").is_file()


def test_only_the_stages_of_the_arms_are_there():
    made = {arm.stage for arm in ARMS.values() if arm.stage is not None}
    assert made <= set(stages_of(load()))
    left = stages_of(load("smoke", "arms=[real, solid]"))
    assert "solid-weights" in left and not {"cutouts", "pasted", "boxed-imaginary"} & set(left)


def test_the_runs_that_are_needed_are_those_of_the_arms():
    config = load("smoke", "imaginarynet_run=imaginarynet/small/seed2")
    assert needed_runs(config) == (
        NeededRun("imaginarynet", "small", 2, "train-isod-oicr"),
        NeededRun("solid", "smoke", 0, "pretrain"),
    )
    assert needed_runs(load("smoke", "arms=[real, pasted]")) == ()


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("arms=[]", "name one or more"),
        ("arms=[real, real]", "each once"),
        ("solid_run=imaginarynet/smoke/seed0", "solid/smoke/seed0"),
        ("solid_run=../../etc", "name a run below RUNS_DIR"),
        ("imaginarynet_run=imaginarynet/smoke", "imaginarynet/smoke/seed0"),
        ("target.source=coco", "target.train_json"),
        ("pasted.min_objects=9", "min_objects"),
        ("pasted.backgrounds=[folder]", "pasted.backgrounds_folder"),
        ("pasted.backgrounds=[]", "pasted.backgrounds"),
        ("cutouts.per_class=0", "cutouts.per_class"),
        ("boxed.limit=0", "boxed.limit"),
    ],
)
def test_a_setting_that_cannot_be_says_so_in_one_line(override, told):
    with pytest.raises(BadInput) as caught:
        load("smoke", override)
    assert told in str(caught.value) and "\n" not in str(caught.value)


COCO = "target={source: coco, train_json: /a, train_images: /b, test_json: /c, test_images: /d}"


def test_rendered_cut_outs_are_of_tabletop_and_no_arm_of_another_target():
    with pytest.raises(BadInput, match=r"cutouts\.folder"):
        load("smoke", COCO)
    assert "cutouts" not in stages_of(load("smoke", COCO, "cutouts.folder=/mine"))
    assert load("smoke", COCO, "arms=[real, solid]").target.source == "coco"


def test_other_textures_make_the_pasted_pictures_anew_where_they_are_pasted_onto():
    def files(*overrides):
        return stages_of(load("smoke", *overrides))["pasted"].files

    assert files() == ("assets/textures/textures.json",)
    assert files("pasted.backgrounds=[photos]") == ()


def test_run_parts_reads_what_a_run_is_called():
    assert run_parts("solid/smoke/seed12", setting="solid_run") == ("solid", "smoke", 12)


def test_another_run_made_anew_makes_the_arm_anew(tmp_path, monkeypatch):
    monkeypatch.setenv("RUNS_DIR", str(tmp_path))
    run = NeededRun("solid", "tiny", 0, "pretrain")
    assert run_state(run, ("pretrain",)) == {"pretrain": None}
    (run.folder / "pretrain").mkdir(parents=True)
    (run.folder / "pretrain/manifest.json").write_text(json.dumps({"key": "abc"}))
    assert run_state(run, ("pretrain",)) == {"pretrain": "abc"}


def test_the_comparison_is_no_paper():
    assert "compare" in systems() and "compare" not in papers()
