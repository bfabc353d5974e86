"""The settings: paper.yaml has the published values, scales overlay it; what makes no sense is one line."""

from dataclasses import asdict

import pytest
import yaml

from experiments.imaginarynet.config import CONFIG, CONFIGS
from suite.config import dump, load_config
from suite.errors import BadInput
from suite.runs import own_overrides

SCALES = ("tiny", "smoke", "small", "paper")
# ImaginaryNet, published code: its flags, the values in its calls and those of the libraries it pins.
PUBLISHED = {
    "classes": "voc", "num": 250, "num_total": None,
    "prompts.template": "A photo of {c}", "prompts.model": "gpt2-large", "prompts.max_length": 15,
    "prompts.top_k": 50, "prompts.top_p": 1.0, "prompts.temperature": 1.0, "prompts.require_class": False,
    "images.backend": "dalle-mini", "images.format": "jpeg", "images.quality": 75,
    "dalle_mini.condition_scale": 10.0, "dalle_mini.top_k": 50, "dalle_mini.top_p": 1.0,
    "dalle_mini.temperature": 1.0, "dalle_mini.dtype": "float16", "dalle_mini.text_length": 64,
    "diffusion.scheduler": "pndm_plms", "diffusion.steps": 50, "diffusion.eta": 0.0,
    "diffusion.guidance": 9.0, "diffusion.size": 512, "diffusion.negative_prompt": "",
    "clip.template": "a photo of a {c}", "clip.scale": 100.0, "clip.model": "clip-vit-base-patch32",
    "filter.policy": "top1", "filter.threshold": 0.6, "replace.rounds": 1,
}  # fmt: skip


def load(scale="paper", *overrides):
    return load_config(CONFIG, CONFIGS / f"{scale}.yaml", overrides)


def dig(tree, dotted):
    for part in dotted.split("."):
        tree = tree[part]
    return tree


@pytest.mark.parametrize("name", PUBLISHED)
def test_paper_has_the_published_value(name):
    assert dig(asdict(load()), name) == PUBLISHED[name]


def test_paper_names_every_setting():
    def names(tree, prefix=""):
        for key, value in tree.items():
            yield from names(value, f"{prefix}{key}.") if isinstance(value, dict) else [prefix + key]

    written = CONFIG.expand(yaml.safe_load((CONFIGS / "paper.yaml").read_text()), CONFIGS / "paper.yaml")
    assert set(names(written)) == set(names(asdict(load())))


@pytest.mark.parametrize("scale", SCALES[:3])
def test_no_scale_below_paper_needs_a_model_that_is_not_here(scale):
    config = load(scale)
    assert config.prompts.model == "packaged"
    assert {config.dalle_mini.model, config.dalle_mini.vqgan, config.clip.model, config.diffusion.model} == {
        "embedded-tiny"
    }


def test_smoke_is_twenty_prompts_for_each_class_of_tabletop_and_two_pictures_by_diffusion():
    config = load("smoke")
    assert (config.classes, config.num, config.prompts.source) == ("tabletop", 20, "lm")
    assert config.replace.rounds == 2 and config.clip.enabled and config.diffusion_samples == 2


@pytest.mark.parametrize("scale", SCALES)
def test_settings_survive_being_written_and_read(scale, tmp_path):
    config = load(scale)
    (tmp_path / "config.yaml").write_text(dump(config))
    assert load_config(CONFIG, tmp_path / "config.yaml") == config


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("num=0", "`num` is 0"),
        ("num_total=0", "`num_total` is 0"),
        ("classes=''", "`classes` is empty"),
        ("classes=[]", "`classes` is empty"),
        ("diffusion_samples=-1", "`diffusion_samples` is -1"),
        ("prompts.template=A photo", "`prompts.template` is 'A photo'"),
        ("clip.template='{c} and {c}'", "`clip.template` is '{c} and {c}'"),
        ("prompts.top_p=0", "`prompts.top_p` is 0"),
        ("dalle_mini.temperature=0", "`dalle_mini.temperature` is 0"),
        ("dalle_mini.condition_scale=-1", "`dalle_mini.condition_scale` is -1"),
        ("dalle_mini.text_length=1", "`dalle_mini.text_length` is 1"),
        ("diffusion.size=100", "`diffusion.size` is 100"),
        ("diffusion.eta=2", "`diffusion.eta` is 2"),
        ("images.quality=0", "`images.quality` is 0"),
        ("images.batch=0", "`images.batch` is 0"),
        ("clip.scale=0", "`clip.scale` is 0"),
        ("filter.threshold=1.1", "`filter.threshold` is 1.1"),
        ("replace.rounds=0", "`replace.rounds` is 0"),
        ("replace.max_attempts=0.5", "`replace.max_attempts` is 0.5"),
        ("replace.max_attempts=.inf", "`replace.max_attempts` is inf"),
        ("diffusion.guidance=.nan", "`diffusion.guidance` is nan"),
        ("prompts.temperature=.nan", "`prompts.temperature` is nan"),
        ("export.formats=[voc,voc]", "`export.formats` is ['voc', 'voc']"),
        ("export.split=a/b", "`export.split` is 'a/b'"),
        ("images.backend=dall-e", "`images.backend` is 'dall-e'"),
        ("filtre.threshold=0.5", "unknown key `filtre`"),
        ("compute.shard_size=0", "`compute.shard_size` is 0"),
    ],
)
def test_what_makes_no_sense_is_one_line(override, told):
    with pytest.raises(BadInput, match="paper.yaml") as refused:
        load("paper", override)
    assert told in str(refused.value)


def test_the_variables_of_make_are_overrides(monkeypatch):
    for name, value in {
        "CLASSES": "voc",
        "NUM": "20",
        "BACKEND": "stablediffusion",
        "THRESHOLD": "0.7",
        "SETTING": "wsod, isod",
        "DETECTOR": "wsddn,oicr",
    }.items():
        monkeypatch.setenv(name, value)
    config = load("paper", *own_overrides("imaginarynet"))
    assert (config.classes, config.num) == ("voc", 20)
    assert (config.images.backend, config.filter.threshold) == ("stablediffusion", 0.7)
    assert (config.setting, config.detector) == (("wsod", "isod"), ("wsddn", "oicr"))


def test_no_setting_at_all_is_typed_as_none(monkeypatch):
    monkeypatch.setenv("SETTING", "none")
    assert load("smoke", *own_overrides("imaginarynet")).setting == ()


def test_classes_may_be_named_themselves(monkeypatch):
    for name in ("NUM", "BACKEND", "THRESHOLD", "SETTING", "DETECTOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CLASSES", "traffic light,mug")
    assert load("paper", *own_overrides("imaginarynet")).classes == ("traffic light", "mug")


def test_a_number_that_is_none_is_refused(monkeypatch):
    monkeypatch.setenv("NUM", "few")
    with pytest.raises(BadInput, match="'few' is no number of pictures"):
        own_overrides("imaginarynet")
