"""Arms: which detector fits which setting, the stages that follow, and what their keys depend on."""

from functools import lru_cache

import pytest

from experiments.imaginarynet.arms import DETECTORS, Arm, arm_of_stage, arms_of, fits
from experiments.imaginarynet.config import CONFIG, CONFIGS
from experiments.imaginarynet.flags import parser_of, settings_of
from experiments.imaginarynet.stages import stages_of
from suite.config import load_config
from suite.errors import BadInput
from suite.inspect_run import lock_pins, normal
from suite.launch.relay import toolchain_of

IMAGE_LABELS = ("isod", "isod-shuffled", "wsod-real", "wsod")
UNLABELLED = ("ssod-real", "ssod", "ssod-both")
ALL = f"setting=[{','.join((*IMAGE_LABELS, 'supervised', *UNLABELLED))}]"
EVERY = f"detector=[{','.join(DETECTORS)}]"


def load(*overrides, scale="tiny"):
    return load_config(CONFIG, CONFIGS / f"{scale}.yaml", overrides)


def names(*overrides):
    return [arm.name for arm in arms_of(load(*overrides))]


# --- which arms there are ---


def test_by_default_oicr_learns_from_the_imaginary_set_alone():
    for scale in ("tiny", "smoke", "small", "paper"):
        assert arms_of(load(scale=scale)) == (Arm("isod", "oicr"),)


def test_every_published_setting_has_the_detector_of_the_paper():
    assert names(ALL) == [
        *(f"{name}-oicr" for name in IMAGE_LABELS),
        "supervised-faster-rcnn",
        *(f"{name}-unbiased-teacher" for name in UNLABELLED),
    ]


def test_of_named_settings_and_detectors_those_pairs_are_there_that_fit():
    assert names(ALL, EVERY) == [
        *(f"{name}-{detector}" for name in IMAGE_LABELS for detector in ("wsddn", "oicr", "w2n")),
        "supervised-faster-rcnn",
        *(f"{name}-{detector}" for name in UNLABELLED for detector in ("unbiased-teacher", "soft-teacher")),
    ]


def test_auto_beside_a_detector_is_not_trained_twice():
    assert names("setting=[isod]", "detector=[auto,oicr,wsddn]") == ["isod-oicr", "isod-wsddn"]


def test_a_detector_fits_one_kind_of_setting():
    settings = load().settings
    for detector in DETECTORS:
        kinds = {name for name, setting in settings.items() if fits(detector, setting)}
        assert kinds in ({*IMAGE_LABELS}, {"supervised"}, {*UNLABELLED})


def test_a_stage_leads_back_to_its_arm_and_another_stage_to_none():
    config = load(ALL, EVERY)
    for arm in arms_of(config):
        assert arm_of_stage(arm.train, config) == arm_of_stage(arm.evaluate, config) == arm
    with pytest.raises(ValueError, match="stage of no arm"):
        arm_of_stage("export", config)


def test_a_setting_of_the_users_is_one_as_any_other():
    own = "settings.few={image_labels: [real]}"
    assert names(own, "setting=[few]", "detector=[wsddn]") == ["few-wsddn"]


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["setting=[iso]"], "`setting` names 'iso'; `settings` has isod, "),
        (["setting=[isod,isod]"], "name each once"),
        (["detector=[]"], "`detector` is empty"),
        (["detector=[yolo]"], "choose one of auto, wsddn"),
        (["setting=[isod]", "detector=[faster-rcnn]"], "fits the setting 'isod'; it needs wsddn, oicr, w2n"),
        (["setting=[ssod]", "detector=[oicr]"], "it needs unbiased-teacher, soft-teacher"),
        (["setting=[supervised]", "detector=[unbiased-teacher]"], "it needs faster-rcnn"),
        (["export.formats=[voc]"], "`export.formats` lacks coco, which detectors read"),
        (["settings.Mine={boxes: [real]}"], "`settings` has 'Mine'"),
        (["settings.mine={}"], "either `image_labels` or `boxes`"),
        (["settings.mine={boxes: [real], image_labels: [real]}"], "either `image_labels` or `boxes`"),
        (["settings.mine={boxes: [imaginary]}"], "of whose pictures no box is known"),
        (["settings.mine={boxes: [real], shuffle_labels: true}"], "`shuffle_labels` needs `image_labels`"),
        (["settings.mine={image_labels: [real], unlabelled: [imaginary]}"], "beside `boxes` alone"),
        (["settings.mine={image_labels: [real, real]}"], "name each source once"),
        (["settings.mine={image_labels: [real-unlabelled]}"], "nothing is known of its pictures"),
        (["settings.mine={boxes: [reel]}"], "choose one of imaginary, real, real-unlabelled"),
        (["target.test=[]"], "`target.train` and `target.test` name a split each"),
        (["target.boxed=0"], "`target.boxed` is 0"),
        (["target.data=voc"], "`target.root` is the folder of"),
        (["imaginary.count=0"], "`imaginary.count` is 0"),
        (
            ["oicr.variant=tensorflow"],
            "`oicr.variant` is 'tensorflow'; choose one of oicr-caffe",
        ),
        (["soft_teacher.use_image_labels=true"], "has no effect; it is of unbiased_teacher alone"),
        (["oicr.variant=wsddn-midn"], "`oicr.variant` is 'wsddn-midn'"),
    ],
)
def test_what_makes_no_sense_is_one_line(overrides, told):
    with pytest.raises(BadInput) as refused:
        load(*overrides)
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_variant_is_what_its_file_says_and_the_config_is_laid_over_it():
    published = {name: load(f"oicr.variant={name}", scale="paper").oicr for name in ("caffe", "pytorch")}
    assert published["caffe"].variant == "oicr-caffe"
    assert published["caffe"].iter_reduce != published["pytorch"].iter_reduce
    assert load("oicr.variant=oicr-caffe", "oicr.nms=0.4", scale="paper").oicr.nms == 0.4


# --- generation alone ---


def test_by_hand_a_set_is_made_and_no_detector():
    config = settings_of(parser_of("generate").parse(["--scale", "tiny", "--num", "2"])).config
    assert config.setting == ()
    assert list(stages_of(config))[-2:] == ["export", "report"]
    assert not any(name.startswith(("train", "proposals")) for name in stages_of(config))


def test_a_set_without_detectors_may_be_exported_in_any_format():
    assert load("setting=[]", "export.formats=[voc]").export.formats == ("voc",)


# --- stages ---


def test_nothing_is_generated_for_detectors_that_learn_from_real_pictures():
    assert list(stages_of(load("setting=[wsod-real,ssod-real]"))) == [
        "proposals", "train-wsod-real-oicr", "evaluate-wsod-real-oicr",
        "train-ssod-real-unbiased-teacher", "evaluate-ssod-real-unbiased-teacher", "report",
    ]  # fmt: skip


def test_nothing_is_generated_where_another_set_is_named():
    stages = stages_of(load("imaginary.folder=data/mine", "setting=[isod,ssod]"))
    assert "export" not in stages
    assert stages["train-isod-oicr"].inputs == ("proposals",)
    assert stages["train-ssod-unbiased-teacher"].inputs == ()


def test_w2n_brings_the_training_of_oicr_but_not_its_measures():
    stages = stages_of(load("setting=[wsod]", "detector=[w2n]"))
    assert "evaluate-wsod-oicr" not in stages
    assert stages["train-wsod-w2n"].inputs == ("export", "proposals", "train-wsod-oicr")
    assert stages["evaluate-wsod-w2n"].inputs == ("train-wsod-w2n",)


def test_proposals_are_searched_for_detectors_that_score_them_alone():
    assert "proposals" not in stages_of(load("setting=[ssod,supervised]"))


def test_a_container_finds_the_toolchain_of_an_arm():
    flags = ["--config", str(CONFIGS / "tiny.yaml"), "-o", "setting=[ssod]"]
    assert toolchain_of("experiments.imaginarynet", "train-ssod-unbiased-teacher", flags) == "detectron2"
    assert toolchain_of("experiments.imaginarynet", "train-isod-oicr", flags) is None


# --- keys ---


@lru_cache
def keys(*overrides):
    """Stage -> what its key is made of, with all arms."""
    config = load(ALL, EVERY, *overrides)
    return {
        name: stage.key_parts(config, seed=0, inputs=dict.fromkeys(stage.inputs, ""), packages={})
        for name, stage in stages_of(config).items()
        if name != "report"
    }


def changed(*overrides):
    before, after = keys(), keys(*overrides)
    assert before.keys() == after.keys()
    return {name for name in before if before[name] != after[name]}


def stages_with(*ends, step="train"):
    arms = arms_of(load(ALL, EVERY))
    return {f"{step}-{arm.name}" for arm in arms if arm.name.endswith(ends)}


@pytest.mark.parametrize(
    ("override", "stages"),
    [
        ("oicr.lr=0.5", stages_with("-oicr")),
        ("oicr.checkpoint_every=7", set()),
        ("oicr.workers=0", set()),
        ("unbiased_teacher.lr=0.5", stages_with("-unbiased-teacher")),
        ("unbiased_teacher.save_every=3", set()),
        ("faster_rcnn.lr=0.5", {"train-supervised-faster-rcnn"}),
        ("w2n.parts_cover=0.5", stages_with("-w2n")),
        ("w2n.student.lr=0.5", stages_with("-w2n")),
        ("w2n.student.workers=3", set()),
        ("target.boxed=7", {n for n in keys() if n.startswith(("train-ssod", "train-supervised"))}),
        ("target.test=[val]", {"proposals", *stages_with("", step="evaluate")}),
        ("settings.wsod.shuffle_labels=true", {n for n in keys() if n.startswith("train-wsod-")
                                               and not n.startswith("train-wsod-real")}),
        ("imaginary.count=2", {"proposals"} | {n for n in keys() if n.startswith("train-")
                                               and "real" not in n and "supervised" not in n}),
    ],
)  # fmt: skip
def test_a_setting_changes_the_stages_that_it_decides(override, stages):
    assert changed(override) == stages


def test_the_state_of_a_stage_is_told_from_versions_that_the_locks_pin():
    """`mmdet` stands in the lock of packages without dependencies."""
    for stage in stages_of(load(ALL, EVERY)).values():
        assert {normal(name) for name in stage.decides} <= lock_pins(stage.toolchain).keys()


def test_other_classes_train_every_arm_anew_whether_or_not_it_uses_the_run_s_own_set(tmp_path):
    trained = {name for name in keys() if name.startswith("train-")}
    assert trained <= changed("classes=[mug,chair]")
    other = [f"imaginary.folder={tmp_path}", "setting=[isod,wsod-real,supervised]"]
    one, two = (
        {n: s.outside(c) for n, s in stages_of(c).items() if n.startswith("train-")}
        for c in (load(*other), load(*other, "classes=[mug,chair]"))
    )
    assert len(one) == 3 and all(one[name] != two[name] for name in one)


def test_an_arm_beside_others_is_no_reason_to_train_those_anew():
    alone = load("setting=[isod]")
    stage = stages_of(alone)["train-isod-oicr"]
    parts = stage.key_parts(alone, seed=0, inputs=dict.fromkeys(stage.inputs, ""), packages={})
    assert keys()["train-isod-oicr"] == parts


def test_the_proposals_of_a_setting_serve_every_other_one_of_the_same_pictures():
    alone = load("setting=[isod]")
    stage = stages_of(alone)["proposals"]
    assert keys()["proposals"] == stage.key_parts(alone, seed=0, inputs={"export": ""}, packages={})


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["classes=[mug,sofa]"], "the target tabletop has no class 'sofa' to measure on"),
        (["classes=[mug,cat]", "target.data=voc", "target.root=x"], "the target voc has no class 'mug'"),
    ],
)
def test_a_class_that_cannot_be_measured_is_told_before_a_picture_is_made(overrides, told):
    config = load(*overrides)
    with pytest.raises(BadInput, match=told):
        stages_of(config)["proposals"].outside(config)
    alone = load(*overrides, "setting=[]")
    assert all(stage.outside is None or stage.outside(alone) for stage in stages_of(alone).values())


def test_a_change_of_the_users_folders_is_noticed(tmp_path):
    (tmp_path / "one.json").write_text("{}")
    config = load(f"imaginary.folder={tmp_path}")
    stages = stages_of(config)

    def states():
        return [stages[name].outside(config) for name in ("proposals", "train-isod-oicr")]

    before = states()
    (tmp_path / "two.jpg").write_bytes(b"2")
    assert all(one != other for one, other in zip(before, states(), strict=True))
