"""What a user may get wrong about detectors' data is one line and exit code 2, or is left out and counted."""

import json

import numpy as np
import pytest
from PIL import Image

from experiments.imaginarynet.cli import main
from experiments.imaginarynet.config import CONFIGS
from experiments.imaginarynet.detectors.proposals.book import ProposalBook
from suite.manifest import read_manifest
from tests.imaginarynet.detectors.painted import coco_set, paint, sets, write

pytest.importorskip("cv2", reason="the search is OpenCV's")
TINY = str(CONFIGS / "tiny.yaml")
SHORT = "oicr={iterations: 1, scales: [32], test_scales: [32]}"


def words(overrides):
    return [word for text in overrides for word in ("-o", text)]


def search(root, *overrides):
    """The stage `proposals` on the sets below `root`; its exit code."""
    command = ["proposals", "--config", TINY, "--out", str(root / "proposals")]
    return main([*command, *words((*overrides, "proposals.shards=1"))])


def train(root, *overrides, arm="isod-oicr"):
    """The training of an arm in the same folder; its exit code."""
    proposals = ["--proposals", str(root / "proposals")] if arm.endswith("oicr") else []
    command = [f"train-{arm}", "--config", TINY, "--out", str(root / f"train-{arm}"), *proposals]
    return main([*command, *words((*overrides, SHORT, "unbiased_teacher={steps: 1, burn_in: 0}"))])


def error(capsys):
    """The only line on stderr that is an error."""
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, lines
    return lines[0]


def test_a_picture_in_which_nothing_is_found_is_left_out_and_counted(tmp_path):
    pytest.importorskip("torch")
    overrides = (*sets(tmp_path), "proposals.min_side=30")
    tree = coco_set(tmp_path / "imaginary", "train", range(31, 37), level="image")
    tree["images"][1] |= {"width": 24, "height": 24}  # no box in it is long enough
    Image.new("RGB", (24, 24)).save(tmp_path / "imaginary/train/32.png")
    write(tmp_path / "imaginary", "train", tree)
    assert search(tmp_path, *overrides) == 0
    assert read_manifest(tmp_path / "proposals")["counts"]["pictures without proposals"] == 1
    assert train(tmp_path, *overrides) == 0
    summary = json.loads((tmp_path / "train-isod-oicr/summary.json").read_text())
    assert summary["pictures"] == 5
    assert "1 pictures without a proposal left out" in summary["notes"]


def test_a_picture_that_was_not_searched_is_one_line(tmp_path, capsys):
    pytest.importorskip("torch")
    overrides = sets(tmp_path)
    assert search(tmp_path, *overrides) == 0
    paint(tmp_path / "imaginary/train/33.png", 99, 0)
    capsys.readouterr()
    assert train(tmp_path, *overrides) == 2
    assert "proposals: has no proposals for the picture" in error(capsys)


def test_a_class_that_the_list_does_not_hold_is_one_line(tmp_path, capsys):
    overrides = sets(tmp_path)
    tree = coco_set(tmp_path / "imaginary", "train", range(31, 37), level="image")
    tree["categories"][1]["name"] = "sofa"
    write(tmp_path / "imaginary", "train", tree)
    assert search(tmp_path, *overrides) == 2
    assert "instances_train.json: class 'sofa' is not in the class list (mug, lemon, cone)" in error(capsys)
    assert not (tmp_path / "proposals").exists()


def test_a_class_that_the_target_does_not_have_is_one_line(tmp_path, capsys):
    overrides = sets(tmp_path)
    assert search(tmp_path, *overrides, "classes=[mug, lemon, sofa]") == 2
    assert "instances_test.json: has no class 'sofa', which `classes` names" in error(capsys)


@pytest.mark.parametrize("split", ["target/test", "target/train", "imaginary/train"])
def test_a_duplicate_image_id_is_one_line(tmp_path, capsys, split):
    overrides = sets(tmp_path)
    root, name = tmp_path / split.partition("/")[0], split.partition("/")[2]
    path = root / "annotations" / f"instances_{name}.json"
    tree = json.loads(path.read_text())
    tree["images"].append(tree["images"][0])
    write(root, name, tree)
    assert search(tmp_path, *overrides) == 2
    told = error(capsys)
    assert str(path) in told and f"image {tree['images'][0]['id']}: the id occurs twice" in told


def test_given_proposals_outside_of_the_picture_are_left_out_and_counted(tmp_path):
    overrides = sets(tmp_path)
    boxes = np.array([[5, 5, 30, 30], [60, 60, 90, 90], [-9, -9, 20, 20]], np.float32)
    given = {"names": np.array([b"31.png"]), "offsets": np.array([0, 3]), "boxes": boxes}
    np.savez(tmp_path / "given.npz", **given, scores=np.array([3, 2, 1], np.float32))
    assert search(tmp_path, *overrides, f"proposals.files=[{tmp_path / 'given.npz'}]") == 0
    assert read_manifest(tmp_path / "proposals")["counts"]["proposals outside of the picture"] == 1
    book = ProposalBook.open(tmp_path / "proposals")
    assert [[5, 5, 30, 30], [0, 0, 20, 20]] in [book[digest].boxes.tolist() for digest in book]


def test_an_empty_unlabelled_set_is_one_line(tmp_path, capsys):
    pytest.importorskip("mmdet")
    overrides = (*sets(tmp_path), "setting=[ssod-real]", "target.boxed=12")
    assert train(tmp_path, *overrides, arm="ssod-real-unbiased-teacher") == 2
    assert "no picture in real-unlabelled; set target.unlabelled, lower target.boxed" in error(capsys)


def test_more_pictures_with_boxes_than_there_are_is_one_line(tmp_path, capsys):
    pytest.importorskip("mmdet")
    overrides = (*sets(tmp_path), "setting=[ssod-real]", "target.boxed=13")
    assert train(tmp_path, *overrides, arm="ssod-real-unbiased-teacher") == 2
    assert "target.boxed is 13, there are 12 pictures" in error(capsys)


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["setting=[wsodd]"], "`setting` names 'wsodd'; `settings` has isod, "),
        (["setting=[ssod]", "detector=[oicr]"], "no detector of oicr fits the setting 'ssod'"),
    ],
)
def test_a_setting_or_a_detector_that_makes_no_sense_leaves_no_folder(tmp_path, capsys, overrides, told):
    assert search(tmp_path, *overrides) == 2
    assert told in error(capsys)
    assert not [*tmp_path.iterdir()]


def test_a_stage_of_another_arm_says_which_there_are(tmp_path, capsys):
    assert train(tmp_path, "setting=[isod]", arm="wsod-oicr") == 2
    told = error(capsys)
    assert "these settings need no stage train-wsod-oicr" in told and "train-isod-oicr" in told
