"""Boxes for imaginary pictures: the trained detector's, of the picture's own class, never the export's."""

import json

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("cv2")

from PIL import Image

from experiments.compare import boxed
from experiments.compare.arms import imaginarynet_run
from experiments.compare.coco_files import read_arm
from experiments.compare.config import CONFIG
from experiments.compare.cost import arm_cost
from experiments.compare.stages import stages_of
from experiments.imaginarynet.config import CONFIG as IMAGINARYNET
from experiments.imaginarynet.detectors.detect_all import Many
from experiments.imaginarynet.stages import stages_of as imaginarynet_stages
from suite.config import load_config
from suite.datasets import read_coco
from suite.errors import BadInput, Missing
from suite.provenance import ROOT
from suite.stage import Job
from tests.imaginarynet.detectors.painted import CLASSES, SIDE, coco_set, sets


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """RUNS_DIR with a trained isod-oicr at tiny."""
    root = tmp_path_factory.mktemp("runs")
    overrides = (*sets(root / "sets"), "setting=[isod]")
    config = load_config(IMAGINARYNET, ROOT / "experiments/imaginarynet/configs/tiny.yaml", overrides)
    stages, folder = imaginarynet_stages(config), root / "imaginarynet/tiny/seed0"
    for name in ("proposals", "train-isod-oicr"):
        inputs = {other: folder / other for other in stages[name].inputs}
        Job(stage=stages[name], config=config, seed=0, device="cpu", inputs=inputs, out=folder / name).run()
    return root


@pytest.fixture
def job(runs, tmp_path, monkeypatch):
    monkeypatch.setenv("RUNS_DIR", str(runs))

    def make(*overrides):
        config = load_config(CONFIG, ROOT / "experiments/compare/configs/tiny.yaml", overrides)
        stage = stages_of(config)["boxed-imaginary"]
        out = tmp_path / "boxed-imaginary"
        return Job(stage=stage, config=config, seed=0, device="cpu", inputs={}, out=out)

    return make


def test_each_picture_gets_the_surest_box_of_its_own_class(job, runs, monkeypatch):
    found = []
    detect = boxed.detect_all

    def kept(*args, **words):
        found.append(detect(*args, **words))
        return found[-1]

    monkeypatch.setattr(boxed, "detect_all", kept)
    made = job()
    made.run()
    coco, pictures = read_arm(made.out)
    assert [image.width for image in coco.images] == [SIDE] * 6 and len(coco.annotations) == 6
    assert coco.categories == read_coco(ROOT / "assets/tabletop/train.json", masks=False).categories
    for place, (image, one) in enumerate(zip(coco.images, coco.annotations, strict=True)):
        label = (31 + place) % len(CLASSES)
        assert coco.category_by_id[one.category_id].name == CLASSES[label]
        row = np.flatnonzero((found[0].image_ids == place) & (found[0].labels == label))
        x1, y1, x2, y2 = found[0].boxes[row[0]].tolist()
        assert one.box_xywh == pytest.approx((x1, y1, x2 - x1, y2 - y1))
        assert one.extra["box_by"] == "detector" and one.segmentation is None
        assert np.array(Image.open(pictures / image.file_name)).shape == (SIDE, SIDE, 3)


def test_the_boxes_of_the_export_are_never_read(job, runs):
    """Another whole-picture box in the imaginary set changes nothing but the digest of that file."""
    made = job()
    made.run()
    first = (made.out / "coco/annotations.json").read_bytes()
    file = runs / "sets/imaginary/annotations/instances_train.json"
    kept = file.read_text()
    tree = json.loads(kept)
    for row in tree["annotations"]:
        row["bbox"] = [1, 2, 3, 4]
    file.write_text(json.dumps(tree))
    try:
        (made.out / "manifest.json").unlink()
        job().run()
    finally:
        file.write_text(kept)
    assert (made.out / "coco/annotations.json").read_bytes() == first


def test_the_cost_has_the_runs_stages_and_says_what_it_leaves_out(job):
    made = job()
    made.run()
    parts = {part.name: part for part in arm_cost(made.out).parts}
    assert parts["imaginarynet: train-isod-oicr"].cpu_seconds > 0
    assert (
        parts["imaginarynet: proposals"].cpu_seconds > 0 and parts["compare: boxed-imaginary"].cpu_seconds > 0
    )
    assert "not counted" in parts["imaginary pictures"].note


def test_the_same_number_of_each_class_is_kept_in_the_order_of_the_set(job):
    made = job("boxed.limit=3")
    made.run()
    coco, _ = read_arm(made.out)
    assert sorted(coco.category_by_id[one.category_id].name for one in coco.annotations) == sorted(CLASSES)


def test_pictures_without_a_sure_box_are_left_out_and_told(job, capsys):
    with pytest.raises(BadInput, match="boxed.min_score"):
        job("boxed.min_score=2").run()
    assert "6 of 6 imaginary pictures with unsure boxes only" in capsys.readouterr().err


def test_a_picture_that_nothing_was_found_in_has_no_box():
    from experiments.imaginarynet.detectors.data.records import ImageLabelled

    many = Many(np.array([0, 0]), np.zeros((2, 4)), np.array([0.5, 0.4]), np.array([0, 1]))
    picture = ImageLabelled(1, None, SIDE, SIDE, "imaginary", frozenset({0}))
    assert len(boxed.boxes_of(picture, many)) == 0


@pytest.mark.parametrize(
    ("arm", "words"),
    [
        ("isod-oicr", "SETTING=isod DETECTOR=oicr"),
        ("ssod-both-unbiased-teacher", "SETTING=ssod-both DETECTOR=unbiased-teacher"),
    ],
)
def test_a_run_without_the_detector_says_how_it_is_made(job, arm, words):
    with pytest.raises(Missing) as caught:
        job("imaginarynet_run=imaginarynet/tiny/seed7", f"boxed.detector={arm}").run()
    assert f"make reproduce-imaginarynet SCALE=tiny SEED=7 {words}" in str(caught.value)


def test_a_class_that_the_target_does_not_have_is_refused(job, tmp_path):
    tree = coco_set(tmp_path / "mine", "train", range(1, 4))
    for row, name in zip(tree["categories"], ("cup", "lemon", "cone"), strict=True):
        row["name"] = name
    file = tmp_path / "mine/train.json"
    file.write_text(json.dumps(tree))
    names = ("train_json", "test_json"), ("train_images", "test_images")
    target = [f"target.{name}={file}" for name in names[0]]
    target += [f"target.{name}={tmp_path / 'mine/train'}" for name in names[1]]
    with pytest.raises(BadInput, match="no class 'mug'"):
        job("arms=[imaginary]", *target, "target.source=coco").run()


def test_the_run_is_the_one_that_the_settings_name(job, runs):
    assert imaginarynet_run(job().config).folder == runs / "imaginarynet/tiny/seed0"
