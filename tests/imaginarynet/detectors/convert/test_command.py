"""The command: a folder that `predict` takes, a file that settings name, and one line for what is wrong."""

import json

import pytest
import torch

pytest.importorskip("mmdet", reason="the detectors are mmdet's")

from safetensors.torch import load_file
from torchvision.models import mobilenet_v2, resnet18

from experiments.imaginarynet.cli import main
from experiments.imaginarynet.config_semi import SemiConfig
from experiments.imaginarynet.detectors.api import load_detector, read_header
from experiments.imaginarynet.detectors.convert import rcnn
from experiments.imaginarynet.detectors.semi.network import build_detector
from suite.errors import EXIT_BAD_INPUT

NAMES = "mug,chair,lemon"


def command(*words):
    return main(["import-checkpoint", *map(str, words)])


@pytest.fixture(scope="module")
def ubteacher(tmp_path_factory):
    """A file of Unbiased Teacher's form, of a narrow network and 20 classes."""
    own = build_detector(SemiConfig(width=8, fpn=8, fc=8), num_classes=20).state_dict()
    theirs = {f"modelTeacher.{detectron2_name(name)}": value for name, value in own.items()}
    path = tmp_path_factory.mktemp("theirs") / "model_0179999.pth"
    kept = {name: value for name, value in theirs.items() if not name.endswith(rcnn.COUNTER)}
    torch.save({"model": kept, "iteration": 179999, "optimizer": {"lr": 0.01}}, path)
    return path


def detectron2_name(name):
    """The inverse of the table for the names of our network."""
    words = name.replace("roi_head.bbox_head.shared_fcs.0", "roi_heads.box_head.fc1")
    words = words.replace("roi_head.bbox_head.shared_fcs.1", "roi_heads.box_head.fc2")
    words = words.replace("roi_head.bbox_head.fc_cls", "roi_heads.box_predictor.cls_score")
    words = words.replace("roi_head.bbox_head.fc_reg", "roi_heads.box_predictor.bbox_pred")
    words = words.replace("rpn_head.rpn_conv", "proposal_generator.rpn_head.conv")
    words = words.replace("rpn_head.rpn_cls", "proposal_generator.rpn_head.objectness_logits")
    words = words.replace("rpn_head.rpn_reg", "proposal_generator.rpn_head.anchor_deltas")
    for level in range(4):
        words = words.replace(f"neck.lateral_convs.{level}.conv", f"backbone.fpn_lateral{level + 2}")
        words = words.replace(f"neck.fpn_convs.{level}.conv", f"backbone.fpn_output{level + 2}")
        words = words.replace(f"backbone.layer{level + 1}", f"backbone.bottom_up.res{level + 2}")
    words = words.replace("downsample.0", "shortcut").replace("downsample.1", "shortcut.norm")
    for number in (1, 2, 3):
        words = words.replace(f"bn{number}", f"conv{number}.norm")
    return words.replace("backbone.conv1", "backbone.bottom_up.stem.conv1")


def test_a_detector_becomes_a_folder_that_loads_and_says_what_was_left(ubteacher, tmp_path, capsys):
    assert command(ubteacher, "--out", tmp_path / "ut") == 0
    told = capsys.readouterr().out
    assert "Unbiased Teacher, teacher" in told
    assert "left out optimizer: no part of the network" in told
    header = read_header(tmp_path / "ut")
    assert header["kind"] == "unbiased-teacher" and len(header["class_names"]) == 20
    assert header["extra"]["source"] == ubteacher.name
    detector = load_detector(tmp_path / "ut", "cpu")
    assert detector.class_names[0] == "aeroplane" and not detector.needs_proposals
    assert command(ubteacher, "--out", tmp_path / "ut") == 0
    assert "up to date" in capsys.readouterr().out


def test_a_detector_of_another_class_list_ends_with_2_and_one_line(ubteacher, tmp_path, capsys):
    classes = tmp_path / "three.txt"
    classes.write_text(NAMES.replace(",", "\n"))
    assert command(ubteacher, "--out", tmp_path / "ut", "--classes", classes) == EXIT_BAD_INPUT
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1 and "is a detector of 20 classes, and the class list has 3" in told[0]
    assert not (tmp_path / "ut").exists()


def test_a_folder_that_holds_something_else_is_left_alone(ubteacher, tmp_path, capsys):
    (tmp_path / "ut").mkdir()
    (tmp_path / "ut" / "mine.txt").write_text("mine")
    assert command(ubteacher, "--out", tmp_path / "ut") == EXIT_BAD_INPUT
    assert "holds something else" in capsys.readouterr().err
    assert (tmp_path / "ut" / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("make", "form", "left"),
    [(resnet18, "ResNet of ImageNet", "fc.weight"), (mobilenet_v2, "MobileNetV2", "classifier.1.weight")],
)
def test_a_backbone_becomes_a_file_with_its_names_and_without_imagenet_s_classes(
    make, form, left, tmp_path, capsys
):
    state = make(weights=None).state_dict()
    torch.save(state, tmp_path / "net.pth")
    out = tmp_path / "weights" / "net.safetensors"
    assert command(tmp_path / "net.pth", "--out", out) == 0
    told = capsys.readouterr().out
    assert form in told and f"skipped {left}" in told and "of ImageNet's classes" in told
    kept = load_file(str(out))
    assert set(state) - set(kept) == {left, left.replace("weight", "bias")}
    assert all(torch.equal(kept[name], state[name]) for name in kept)


def test_a_resnet_of_an_old_file_gets_the_counters_that_mmdet_has(tmp_path):
    whole = resnet18(weights=None).state_dict()
    old = {name: value for name, value in whole.items() if not name.endswith(rcnn.COUNTER)}
    torch.save(old, tmp_path / "old.pth")
    assert command(tmp_path / "old.pth", "--out", tmp_path / "old.safetensors") == 0
    kept = load_file(str(tmp_path / "old.safetensors"))
    assert set(kept) == set(whole) - {"fc.weight", "fc.bias"}


def test_what_goes_where_is_told_when_mixed_up(ubteacher, tmp_path, capsys):
    torch.save(resnet18(weights=None).state_dict(), tmp_path / "net.pth")
    assert command(tmp_path / "net.pth", "--out", tmp_path / "folder") == EXIT_BAD_INPUT
    assert "weights of a backbone, which are a file" in capsys.readouterr().err
    assert command(ubteacher, "--out", tmp_path / "x.safetensors") == EXIT_BAD_INPUT
    assert "a detector, which is a folder" in capsys.readouterr().err


def test_an_unknown_network_is_told_with_what_is_known(tmp_path, capsys):
    torch.save({"query_embed.weight": torch.ones(2)}, tmp_path / "detr.pth")
    assert command(tmp_path / "detr.pth", "--out", tmp_path / "x") == EXIT_BAD_INPUT
    assert "no checkpoint of a known form; its tensors are query_embed.weight" in capsys.readouterr().err


def test_the_manifest_has_the_digest_of_the_file(ubteacher, tmp_path):
    assert command(ubteacher, "--out", tmp_path / "ut") == 0
    manifest = json.loads((tmp_path / "ut" / "manifest.json").read_text())
    assert manifest["key_parts"]["file"] == read_header(tmp_path / "ut")["extra"]["source_sha256"]
