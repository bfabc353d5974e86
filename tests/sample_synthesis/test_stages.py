"""The table of stages: which there are; a setting changes the keys of stages that it decides, no other."""

from dataclasses import dataclass, field

import pytest

from experiments.sample_synthesis.config import CONFIG, CONFIGS
from experiments.sample_synthesis.names import OBJECTS
from experiments.sample_synthesis.one_object import RUNS, folders, of_object, plain, split
from experiments.sample_synthesis.stages import MAKERS, STAGES, stages_of
from suite.config import load_config
from suite.provenance import ROOT

ALL = "objects=[qr,face,bird,car]"
PICTURES = ("objects", "synth")
TRAINED = ("pretrain", "cells")


def load(scale="tiny", *overrides):
    return load_config(CONFIG, CONFIGS / f"{scale}.yaml", overrides)


def test_a_run_of_qr_codes_asks_for_no_other_toolchain():
    for scale in ("tiny", "smoke"):
        stages = stages_of(load(scale))
        assert {stage.toolchain for stage in stages.values()} == {"tensorflow"}
        assert list(stages) == [
            "qr-objects", "qr-synth", "qr-data", "qr-pretrain", "qr-cells", "qr-evaluate", "report"
        ]  # fmt: skip


def test_no_stand_in_asks_for_another_toolchain_at_the_smallest_scales():
    for scale in ("tiny", "smoke"):
        assert {stage.toolchain for stage in stages_of(load(scale, ALL)).values()} == {"tensorflow"}


def test_redo_is_there_where_it_makes_masks_and_trained_where_no_weights_are_named():
    own = stages_of(load("paper", "objects=[face]"))
    assert own["face-train-redo"].toolchain == own["face-redo-masks"].toolchain == "detectron2"
    assert own["face-redo-masks"].inputs == ("face-objects", "face-train-redo")
    assert own["face-synth"].inputs == ("face-objects", "face-redo-masks")
    given = stages_of(load("paper", "objects=[face]", "face.masks.weights=data/nets_state.pth"))
    assert "face-train-redo" not in given and given["face-redo-masks"].inputs == ("face-objects",)
    assert "face-redo-masks" not in stages_of(load("paper", "objects=[face]", "face.masks.provider=grabcut"))


def test_packaged_weights_are_converted_only_for_the_network_that_has_them():
    assert "weights" in stages_of(load("small")) and "weights" in stages_of(load("small"))["qr-cells"].inputs
    for override in ("detector.init=random", "detector.weights=data/keras", "detector.archs=[mobilenet]"):
        stages = stages_of(load("small", override))
        assert "weights" not in stages and "weights" not in stages["qr-cells"].inputs


def test_a_stream_is_trained_on_with_the_pictures_themselves():
    assert "qr-objects" in stages_of(load("tiny", "train.source=stream"))["qr-pretrain"].inputs
    assert "qr-objects" not in stages_of(load("tiny"))["qr-pretrain"].inputs


@pytest.mark.parametrize("overrides", [(), (ALL,), (ALL, "train.source=stream")])
@pytest.mark.parametrize("scale", ["tiny", "small", "paper"])
def test_inputs_are_stages_before(scale, overrides):
    names = []
    for name, stage in stages_of(load(scale, *overrides)).items():
        assert set(stage.inputs) <= set(names), name
        names.append(name)


def test_the_table_of_all_stages_has_every_one():
    assert set(STAGES) == {f"{name}-{verb}" for name in OBJECTS for verb in MAKERS if _exists(name, verb)} | {
        "weights", "report"
    }  # fmt: skip


def _exists(name, verb):
    return name != "qr" or verb not in ("train-redo", "redo-masks")


def test_behind_every_stage_is_a_module_of_ours():
    for function in (*RUNS.values(), "report:run", "detector.convert_stage:run"):
        module = function.partition(":")[0].replace(".", "/")
        assert (ROOT / f"experiments/sample_synthesis/{module}.py").is_file(), function


@pytest.mark.parametrize("scale", ["tiny", "smoke", "small", "paper"])
def test_wide_stages_have_shards_and_disk_estimates_are_whole_numbers(scale):
    config = load(scale, ALL)
    for name, stage in stages_of(config).items():
        if stage.is_wide:
            assert stage.num_shards(config, None) >= 1, name
        if stage.disk_bytes is not None:
            assert stage.disk_bytes(config) > 0 and isinstance(stage.disk_bytes(config), int), name


# --- keys ---


def changed(*overrides, base=()):
    """Stages whose own part of the key an override changes; the report follows all settings."""
    one, other = load("tiny", ALL, *base), load("tiny", ALL, *base, *overrides)
    before, after = stages_of(one), stages_of(other)
    return {
        name
        for name in before.keys() & after.keys()
        if name != "report" and before[name].config_tree(one) != after[name].config_tree(other)
    }


def of(names, *verbs):
    return {f"{name}-{verb}" for name in names for verb in verbs}


@pytest.mark.parametrize(
    ("override", "stages"),
    [
        ("objects=[qr]", set()),
        ("train.cache=none", set()),
        ("train.checkpoint_every=9", set()),
        ("compute.workers=3", set()),
        ("face.masks.batch=3", set()),
        ("redo.steps=9", set()),
        ("qr.grid.epochs_real=3", of(["qr"], *TRAINED, "evaluate")),
        ("qr.synthesis.min_scale=0.1", of(["qr"], "synth")),
        ("qr.masks.threshold=0.2", of(["qr"], "synth")),
        ("face.source.size=64", of(["face"], "objects")),
        ("face.masks.provider=grabcut", of(["face"], "objects")),
        ("car.real.max_train=5", of(["car"], "data")),
        ("compute.synth_shard_size=5", of(OBJECTS, "synth")),
        ("compute.cells_per_shard=2", of(OBJECTS, *TRAINED, "evaluate")),
        ("train.lr=0.1", of(OBJECTS, *TRAINED)),
        ("train.order=permutation", of(OBJECTS, *TRAINED)),
        ("compute.threads=2", of(OBJECTS, *TRAINED)),
        ("arms=[finetuned]", of(OBJECTS, "cells", "evaluate")),
        ("compat.face_box_frames=true", of(["face"], "synth") | of(OBJECTS, "evaluate")),
        (
            "compat.bird_backgrounds_with_birds=true",
            of(["bird"], "objects", "synth") | of(OBJECTS, "evaluate"),
        ),
        ("compat.mixed_real_only=true", of(OBJECTS, "cells", "evaluate")),
        ("compat.first_rows_subset=true", of(OBJECTS, "cells", "evaluate")),
    ],
)
def test_a_setting_changes_the_stages_that_it_decides(override, stages):
    assert changed(override) == stages


def test_a_stream_makes_training_depend_on_the_synthesis():
    base = ("train.source=stream",)
    assert changed("qr.synthesis.min_scale=0.1", base=base) == of(["qr"], "synth", *TRAINED)


def test_every_setting_that_training_reads_enters_its_key():
    config = load("tiny")
    stage = stages_of(config)["qr-cells"]
    left_out = {"cache", "checkpoint_every"}
    named = {name.removeprefix("train.") for name in stage.config if name.startswith("train.")}
    assert named == set(vars(config.train)) - left_out
    named = {name.removeprefix("detector.") for name in stage.config if name.startswith("detector.")}
    assert named == set(vars(config.detector)) - {"weights"}  # its files do, wherever they lie


def test_an_ablation_by_itself_has_other_pretrainings_and_other_arms_have_not():
    whole, alone, other = (load("tiny", *arms) for arms in ((), ("arms=[]",), ("arms=[finetuned]",)))
    states = [stages_of(config)["qr-pretrain"].outside(config) for config in (whole, alone, other)]
    assert states[0] == states[2] != states[1]


def test_another_file_with_weights_of_redo_in_the_same_folder_is_another_state(tmp_path):
    (tmp_path / "a.pth").write_bytes(b"1")
    (tmp_path / "b.pth").write_bytes(b"2")
    states = []
    for name in ("a", "b"):
        config = load("tiny", ALL, f"face.masks={{provider: redo, weights: {tmp_path}/{name}.pth}}")
        states.append(stages_of(config)["face-redo-masks"].outside(config))
    assert states[0] != states[1]


# --- one object ---


def test_a_stage_of_one_object_sees_its_inputs_by_their_plain_names(tmp_path):
    @dataclass
    class Ctx:
        config: object
        inputs: dict = field(default_factory=dict)
        counts: dict = field(default_factory=dict)

    inputs = {"face-objects": tmp_path / "a", "face-redo-masks": tmp_path / "b", "weights": tmp_path / "w"}
    ctx = Ctx(load("tiny", ALL), inputs)
    seen = of_object(ctx, "face")
    assert seen.config.objects == ("face",)
    assert seen.inputs == {"objects": tmp_path / "a", "redo-masks": tmp_path / "b", "weights": tmp_path / "w"}
    assert seen.counts is ctx.counts and ctx.config.objects == OBJECTS


def test_names_of_stages_are_an_object_and_a_verb():
    assert split("bird-redo-masks") == ("bird", "redo-masks")
    assert plain("bird-redo-masks") == "redo-masks" and plain("weights") == "weights"


def test_the_report_finds_the_folders_of_a_verb_by_object(tmp_path):
    inputs = {"car-cells": tmp_path / "c", "qr-cells": tmp_path / "q", "qr-data": tmp_path / "d"}
    assert folders(inputs, "cells") == {"qr": tmp_path / "q", "car": tmp_path / "c"}
    assert list(folders(inputs, "cells")) == ["qr", "car"]
