"""The table of stages: which there are; a setting changes the keys of stages that it decides, no other."""

import json

import pytest

from experiments.imaginarynet import model_state as states
from experiments.imaginarynet.config import CONFIG, CONFIGS
from experiments.imaginarynet.model_state import model_state
from experiments.imaginarynet.stages import STAGES, stages_of
from suite.config import load_config
from suite.errors import BadInput
from suite.launch.relay import toolchain_of
from suite.manifest import SCHEMA
from suite.provenance import ROOT

ROUNDS = ("prompts", "images", "scores", "prompts-2", "images-2", "scores-2")
SET = ("filter", "export")
ARM = ("train-isod-oicr", "evaluate-isod-oicr")
ENDS = (*SET, "proposals", *ARM, "report")


def load(scale="tiny", *overrides):
    return load_config(CONFIG, CONFIGS / f"{scale}.yaml", overrides)


def finished(folder, **tree):
    """A folder with the manifest of a finished stage."""
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps({"schema": SCHEMA, "key": "k", "outputs": [], **tree}))
    return folder


# --- which there are ---


def test_tiny_has_two_rounds_and_the_samples_of_the_diffusion_model():
    assert tuple(stages_of(load())) == (*ROUNDS, "diffusion-samples", *ENDS)


def test_as_published_there_is_one_round():
    assert tuple(stages_of(load("paper"))) == ("prompts", "images", "scores", *ENDS)


def test_without_the_filter_there_are_no_scores_and_every_picture_goes_on():
    stages = stages_of(load("tiny", "clip.enabled=false"))
    assert tuple(stages) == ("prompts", "images", "diffusion-samples", *ENDS)
    assert stages["filter"].inputs == ("images",)


@pytest.mark.parametrize(("backend", "toolchain"), [("dalle-mini", "jax"), ("stablediffusion", "detectron2")])
def test_the_backend_decides_which_toolchain_draws(backend, toolchain):
    stages = stages_of(load("tiny", f"images.backend={backend}"))
    assert {stages[name].toolchain for name in ("images", "images-2")} == {toolchain}
    others = {stage.toolchain for name, stage in stages.items() if not name.startswith("images")}
    assert others == {"detectron2"}


@pytest.mark.parametrize(
    "overrides", [(), ("clip.enabled=false",), ("replace.rounds=4", "diffusion_samples=0")]
)
@pytest.mark.parametrize("scale", ["tiny", "smoke", "small", "paper"])
def test_inputs_are_stages_before(scale, overrides):
    names = []
    for name, stage in stages_of(load(scale, *overrides)).items():
        assert set(stage.inputs) <= set(names), name
        names.append(name)


def test_behind_every_stage_is_a_module_of_ours():
    both = {
        **STAGES,
        **{f"sd-{n}": s for n, s in stages_of(load("tiny", "images.backend=stablediffusion")).items()},
    }
    for name, stage in both.items():
        module, _, function = stage.run.partition(":")
        path = ROOT / (module.replace(".", "/") + ".py")
        assert f"def {function}(ctx: Context)" in path.read_text(), name


def test_a_container_asks_the_settings_which_toolchain_a_stage_needs():
    asked = ["experiments.imaginarynet", "images-2"]
    tiny = str(CONFIGS / "tiny.yaml")
    assert toolchain_of(*asked, ["--config", tiny]) == "jax"
    flags = ["--config", tiny, "-o", "images.backend=stablediffusion", "--out", "x"]
    assert toolchain_of(*asked, flags) == "detectron2"
    assert toolchain_of(*asked, ["--config", tiny, "-o", "replace.rounds=1"]) is None
    assert toolchain_of("experiments.imaginarynet", "images") == "jax"


# --- shards ---


def test_a_first_round_is_cut_before_it_has_begun():
    config = load("tiny", "compute.shard_size=5")
    assert stages_of(config)["images"].num_shards(config, None) == 3  # 3 classes x 4


def test_a_later_round_is_cut_by_the_prompts_that_there_are(tmp_path):
    config = load("tiny", "compute.shard_size=5")
    images = stages_of(config)["images-2"]
    for count, shards in ((0, 0), (1, 1), (5, 1), (6, 2)):
        folder = finished(tmp_path / f"{count}", counts={"prompts": count} if count else {})
        assert images.num_shards(config, {"prompts-2": folder}) == shards


def test_scores_have_the_shards_of_their_pictures(tmp_path):
    config = load()
    folder = finished(tmp_path / "images-2", counts={}, shards=[{}, {}, {}])
    assert stages_of(config)["scores-2"].num_shards(config, {"images-2": folder}) == 3


@pytest.mark.parametrize("scale", ["tiny", "smoke", "small", "paper"])
def test_disk_estimates_are_whole_numbers(scale):
    config = load(scale)
    size = stages_of(config)["images"].disk_bytes(config)
    assert isinstance(size, int) and size > 0


# --- keys ---


def changed(*overrides, base=()):
    """Stages whose own part of the key an override changes; the report follows all settings."""
    one, other = load("tiny", *base), load("tiny", *base, *overrides)
    before, after = stages_of(one), stages_of(other)
    return {
        name
        for name in before.keys() & after.keys()
        if name != "report" and before[name].config_tree(one) != after[name].config_tree(other)
    }


def of(*verbs):
    return {name for name in (*ROUNDS, *SET, "diffusion-samples") if name.split("-")[0] in verbs}


@pytest.mark.parametrize(
    ("override", "stages"),
    [
        ("filter.threshold=0.9", {"filter"}),
        ("filter.policy=ranked", {"filter"}),
        ("export.formats=[coco]", {"export"}),
        ("export.link=copy", {"export"}),
        ("clip.cpu=true", set()),
        ("prompts.batch=2", set()),
        ("prompts.temperature=0.5", of("prompts")),
        ("clip.template='one {c}'", of("scores")),
        ("clip.model=other", of("scores")),
        ("dalle_mini.top_k=3", of("images")),
        ("diffusion.steps=9", of("diffusion")),
        ("images.format=png", of("images", "diffusion")),
        ("diffusion_samples=3", of("diffusion")),
        ("replace.threshold=0.9", {"prompts-2", "filter"}),
        ("num=5", of("prompts", "filter")),
        ("compute.shard_size=3", of("images", "scores")),
    ],
)
def test_a_setting_changes_the_stages_that_it_decides(override, stages):
    assert changed(override) == stages


def test_settings_of_a_language_model_are_nothing_to_bare_prompts():
    assert changed("prompts.temperature=0.5", base=("prompts.source=bare",)) == set()


def test_other_classes_are_other_prompts_scores_and_what_follows():
    one, other = load("tiny"), load("tiny", "classes=[mug,chair,bottle]")
    differ = {
        name
        for name, stage in stages_of(one).items()
        if stage.outside and stage.outside(one) != stage.outside(other)
    }
    assert differ == of("prompts", "scores") | {*SET, "proposals", "train-isod-oicr", "report"}


def test_one_class_cannot_be_filtered():
    config = load("tiny", "classes=[mug]")
    with pytest.raises(BadInput, match="2 classes or more"):
        stages_of(config)["prompts"].outside(config)
    config = load("tiny", "classes=[mug]", "clip.enabled=false")
    assert stages_of(config)["prompts"].outside(config)["classes"] == ["mug"]


# --- models ---


def test_a_model_of_the_user_is_known_by_its_files_and_a_missing_one_is_none(tmp_path):
    assert model_state("clip", str(tmp_path / "none")) is None
    (tmp_path / "clip").mkdir()
    (tmp_path / "clip/model.safetensors").write_bytes(b"1")
    before = model_state("clip", str(tmp_path / "clip"))
    (tmp_path / "clip/model.safetensors").write_bytes(b"12")
    assert before != model_state("clip", str(tmp_path / "clip")) is not None


def test_of_an_embedded_model_every_byte_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(states, "model_folder", lambda kind, name: tmp_path / kind)
    assert model_state("clip", "embedded-tiny") is None
    (tmp_path / "clip").mkdir()
    (tmp_path / "clip/config.json").write_text("1")
    before = model_state("clip", "embedded-tiny")
    (tmp_path / "clip/config.json").write_text("2")
    assert before != model_state("clip", "embedded-tiny") is not None


def test_the_packaged_model_is_known_by_its_digest():
    assert model_state("lm", "packaged") == states.PACKAGE_DIGEST
