"""The settings: paper.yaml has the published values, scales overlay it; what makes no sense is one line."""

from dataclasses import asdict

import pytest
import yaml

from experiments.sample_synthesis.config import CONFIG, CONFIGS, chosen_objects
from experiments.sample_synthesis.names import ALL, FLAGS, OBJECTS, label_of
from suite.config import load_config
from suite.errors import BadInput
from suite.runs import own_overrides

SCALES = ("tiny", "smoke", "small", "paper")

# The published generators' flags and their defaults, by object (Sample synthesis, published code).
PUBLISHED = {
    "--num_samples": (10000, 10000, 10000, 10000),
    "--image_size": (320, 320, 320, 320),
    "--min_scale": (0.05, 0.05, 0.5, 0.5),
    "--max_scale": (0.8, 0.8, 0.9, 1.0),
    "--min_aspect_ratio": (0.5, 0.5, 0.5, 0.333),
    "--max_aspect_ratio": (2.0, 2.0, 2.0, 3.0),
    "--min_objects": (1, 1, 1, 1),
    "--max_objects": (10, 10, 3, 5),
    "--max_tries": (10, 10, 10, 10),
    "--voc_dir": ("data/VOCdevkit",) * 4,
    "--fake_objects_dir": (None, "data/stylegan_faces", "data/fake_birds_DMGAN", "data/stylegan_cars"),
    "--real_objects_dir": (None, "data/ffhq_thumbnails", "data/CUB_200_2011/CUB_200_2011", "data/LSUNCars"),
}


def load(scale="paper", *overrides):
    return load_config(CONFIG, CONFIGS / f"{scale}.yaml", overrides)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", OBJECTS)
def test_every_scale_has_settings_of_every_object(scale, name):
    config = load(scale, f"objects=[{name}]")
    assert config.objects == (name,)
    assert config.of(name) is getattr(config, name)


@pytest.mark.parametrize("flag", PUBLISHED)
def test_paper_has_the_published_defaults_of_the_generators(flag):
    section, key = FLAGS[flag].split(".")
    paper = load()
    assert tuple(getattr(getattr(paper.of(name), section), key) for name in OBJECTS) == PUBLISHED[flag]


def test_every_published_flag_is_tested_and_known():
    assert set(FLAGS) == set(PUBLISHED)


def test_paper_has_the_published_schedule():
    config = load()
    assert {name: config.of(name).grid.epochs_real for name in OBJECTS} == {
        "qr": 20, "face": 20, "bird": 40, "car": 20
    }  # fmt: skip
    assert {config.of(name).grid.epochs_pretrain for name in OBJECTS} == {40}
    train = config.train
    assert (train.lr, train.batch, train.steps_per_epoch, train.l2, train.runs) == (1e-4, 16, 25, 5e-4, 3)
    assert (train.selection, train.validation, train.subset_seed) == ("best", "full", 2020)
    detector = config.detector
    assert detector.archs == ("mobilenet", "resnet50")
    assert (detector.image_size, detector.init) == (300, "imagenet")
    assert (detector.loss, detector.min_confidence, detector.nms_iou) == ("focal", 0.5, 0.5)
    assert config.ablation.factors == (1, 2, 4, 8)
    assert (config.ablation.qr_images, config.ablation.images) == (50, 100)


def test_paper_has_the_published_masks():
    config = load()
    masks = [config.of(name).masks for name in OBJECTS]
    assert [section.provider for section in masks] == ["analytic", "redo", "redo", "redo"]
    assert [section.blend for section in masks] == ["soft", "soft", "binary", "soft"]
    assert [config.of(name).masks.threshold for name in ("qr", "bird", "car")] == [0.0, 0.1, 0.1]
    assert [config.of(name).source.zoom for name in OBJECTS] == [1, 1, 1, 2]


def test_no_fault_of_the_published_code_is_on_in_any_scale():
    for scale in SCALES:
        assert not any(asdict(load(scale).compat).values()), scale


def test_compat_upstream_is_short_for_all_four_switches():
    assert all(asdict(load("tiny", "compat=upstream").compat).values())
    assert not any(asdict(load("tiny", "compat=none").compat).values())
    assert load("tiny", "compat.face_box_frames=true").compat.face_box_frames


@pytest.mark.parametrize("scale", ["tiny", "smoke", "small"])
def test_the_small_scales_need_no_data_set(scale):
    config = load(scale)
    for name in OBJECTS:
        settings = config.of(name)
        kinds = (settings.source.kind, settings.nogan.kind, settings.backgrounds.kind, settings.real.kind)
        assert set(kinds) <= {"library", "standin", "photos"}, name
        assert settings.masks.provider != "redo"


def test_the_published_layout_of_data_is_below_data():
    tree = yaml.safe_load((CONFIGS / "paper.yaml").read_text())
    sections = [section for name in OBJECTS for section in tree[name].values()]
    folders = [section["folder"] for section in sections if "folder" in section]
    assert len(folders) >= 14
    assert all(folder.startswith("data/") for folder in folders)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("objects=[]", "`objects` is empty"),
        ("objects=[qr,qr]", "name each once"),
        ("objects=[cat]", "choose one of qr, face, bird, car"),
        ("compat=published", "write upstream, none, or its switches"),
        ("qr.grid.sizes=[10,5]", "upward"),
        ("qr.grid.sizes=[]", "at least one number of real images"),
        ("qr.grid.epochs_real=0", "`grid.epochs_real` is 0, must be at least 1"),
        ("qr.synthesis.min_scale=0.9", "need 0 < min_scale <= max_scale"),
        ("qr.synthesis.min_objects=0", "`synthesis.min_objects` is 0, must be at least 1"),
        ("qr.synthesis.jpeg_quality=101", "must be in 1..100"),
        ("qr.synthesis.image_size=2", "leave no size in pixels"),
        ("qr.synthesis.module_px=0", "must be at least 1"),
        ("qr.masks.provider=grabcut", "a QR symbol's is `analytic`"),
        ("qr.source.kind=standin", "QR symbols come from `library`"),
        ("face.source.kind=library", "`library` draws QR symbols"),
        ("face.source.kind=stylegan", "needs `source.folder`"),
        ("face.source.zoom=3", "choose 1 or 2"),
        ("face.masks.threshold=1.5", "must be in [0, 1)"),
        ("detector.archs=[]", "name one or more"),
        ("detector.nms_iou=0", "must be in (0, 1)"),
        ("train.lr=0", "`train.lr` is 0, must be above 0"),
        ("ablation.factors=[0]", "whole numbers from 1 on"),
        ("redo.nf=6", "must be a multiple of 4"),
        ("train.learning_rate=1", "unknown key `train.learning_rate`"),
        ("face={masks: {provider: redo}, source: {size: 64}}", "the mask network sees pictures of one size"),
    ],
)
def test_settings_that_make_no_sense_are_one_line(override, words):
    with pytest.raises(BadInput) as caught:
        load("tiny", override)
    assert words in str(caught.value)
    assert "tiny.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_object_chooses_objects_for_this_system_alone(monkeypatch):
    assert chosen_objects("bird") == "objects=[bird]"
    assert chosen_objects("all") == "objects=[qr,face,bird,car]"
    assert chosen_objects("qr,car") == "objects=[qr,car]"
    with pytest.raises(BadInput, match="did you mean face"):
        chosen_objects("fase")
    monkeypatch.setenv("OBJECT", "car")
    assert own_overrides("sample-synthesis") == ("objects=[car]",)
    assert own_overrides("solid") == ()
    monkeypatch.setenv("OBJECT", "")
    assert own_overrides("sample-synthesis") == ()


def test_names_are_the_published_ones():
    assert {name: label_of(name) for name in OBJECTS} == {
        "qr": "qr_code", "face": "face", "bird": "bird", "car": "car"
    }  # fmt: skip
    assert [ALL[name].csv for name in OBJECTS] == [
        "qr_codes_fake.csv", "faces_fake.csv", "birds_fake.csv", "cars_fake.csv"
    ]  # fmt: skip
    assert ALL["face"].output_dir("naive") == "faces_fake_naive"
    assert ALL["qr"].variants == ("masked",)
