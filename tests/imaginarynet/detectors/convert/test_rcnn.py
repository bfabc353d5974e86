"""Faster R-CNN of detectron2, Unbiased Teacher and torchvision: imported, it finds what theirs finds."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip("mmdet", reason="the detectors are mmdet's")

from experiments.imaginarynet.config_semi import SemiConfig
from experiments.imaginarynet.detectors.convert import rcnn
from experiments.imaginarynet.detectors.convert.checkpoint import Checkpoint
from experiments.imaginarynet.detectors.semi.infer import SemiDetector
from experiments.imaginarynet.detectors.semi.network import build_detector
from suite.config import build
from suite.errors import BadInput
from suite.metrics.iou import box_iou

NAMES = ("mug", "chair", "lemon")


def given(state):
    return Checkpoint(Path("model_final.pth"), state)


def spread_out(model):
    """Weights that make logits differ: as they are drawn, every box is as good as the next."""
    draw = torch.Generator().manual_seed(0)
    for name, parameter in model.named_parameters():
        if ("rpn" in name or "roi_heads" in name) and name.endswith("weight"):
            # No empty boxes, and no scores that round to 1: of equal ones either library keeps another.
            share = 0.02 if "bbox_pred" in name or "anchor_deltas" in name else 1.0
            share = 0.1 if "cls_score" in name or "objectness" in name else share
            nn.init.normal_(parameter, std=share * parameter[0].numel() ** -0.5, generator=draw)
    for name, buffer in model.named_buffers():
        if name.endswith("running_var"):
            buffer.uniform_(0.8, 1.2, generator=draw)
    return model.eval()


def network_of(imported, **changes):
    settings = replace(build(SemiConfig, imported.settings, where="header"), **changes)
    network = build_detector(settings, num_classes=len(imported.class_names))
    network.load_state_dict(imported.state)
    return network, settings


@pytest.fixture(scope="module")
def detectron2_model():
    """A narrow Faster R-CNN with ResNet-50 and FPN, as their config builds it."""
    import suite.compat.detectron2  # noqa: F401

    # isort: split
    from detectron2 import model_zoo
    from detectron2.config import get_cfg
    from detectron2.modeling import build_model

    cfg = get_cfg()
    cfg.merge_from_file(model_zoo.get_config_file("COCO-Detection/faster_rcnn_R_50_FPN_1x.yaml"))
    cfg.MODEL.DEVICE, cfg.MODEL.WEIGHTS, cfg.MODEL.ROI_HEADS.NUM_CLASSES = "cpu", "", len(NAMES)
    cfg.MODEL.RESNETS.STEM_OUT_CHANNELS = cfg.MODEL.RESNETS.WIDTH_PER_GROUP = 8
    cfg.MODEL.RESNETS.RES2_OUT_CHANNELS = 32
    cfg.MODEL.FPN.OUT_CHANNELS, cfg.MODEL.ROI_BOX_HEAD.FC_DIM = 16, 32
    cfg.MODEL.PIXEL_STD = [57.0, 57.0, 57.0]  # random weights and frozen norms: of 1, activations explode
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return spread_out(build_model(cfg))


@pytest.fixture(scope="module")
def ubteacher(detectron2_model):
    """Their file's tensors: the model as the teacher, zeros as the student."""
    state = detectron2_model.state_dict()
    teacher = {f"modelTeacher.{name}": value for name, value in state.items()}
    return {**teacher, **{f"modelStudent.{name}": torch.zeros_like(value) for name, value in state.items()}}


def test_unbiased_teacher_s_features_and_boxes_are_those_of_detectron2(detectron2_model, ubteacher):
    imported = rcnn.convert(given(ubteacher), NAMES)
    assert imported.kind == "unbiased-teacher"
    network, settings = network_of(imported, test_side=96, test_score=0.3)
    pixels = torch.rand(1, 3, 96, 128, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        theirs, ours = detectron2_model.backbone(pixels), network.extract_feat(pixels)
        for level, one in enumerate(ours):
            torch.testing.assert_close(one, theirs[f"p{level + 2}"])
    picture = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    bgr = torch.from_numpy(np.ascontiguousarray(picture[..., ::-1].transpose(2, 0, 1)))
    detector = SemiDetector(network, settings, NAMES, "cpu")
    detector.pixels.std.fill_(57.0)
    found = detector.detect(picture)
    detectron2_model.roi_heads.box_predictor.test_score_thresh = 0.3
    with torch.no_grad():
        wanted = detectron2_model([{"image": bgr, "height": 96, "width": 128}])[0]["instances"]
    # The surer half has a twin each; which boxes are the last of 100 hangs on the last bit of a score.
    theirs = wanted[: len(wanted) // 2]
    assert len(theirs) > 4
    overlap = box_iou(theirs.pred_boxes.tensor.numpy().astype(float), found.boxes.astype(float))
    overlap[theirs.pred_classes.numpy()[:, None] != found.labels] = 0
    assert overlap.max(axis=1).min() > 0.99
    twins = found.scores[overlap.argmax(axis=1)]
    np.testing.assert_allclose(twins, theirs.scores.numpy(), atol=1e-3)


def test_every_tensor_is_taken_or_listed(ubteacher):
    imported = rcnn.convert(given(ubteacher), NAMES)
    counters = sum(name.endswith(rcnn.COUNTER) for name in imported.state)
    assert len(imported.state) - counters + len(imported.skipped) == len(ubteacher)
    other = [line for line in imported.skipped if line.endswith("of the other network")]
    assert len(other) == len(ubteacher) // 2


def test_the_student_is_taken_where_it_is_asked_for(ubteacher):
    imported = rcnn.convert(given(ubteacher), NAMES, part="student")
    assert imported.form == "Unbiased Teacher, student"
    assert not imported.state["neck.fpn_convs.0.conv.weight"].any()


def test_a_plain_detectron2_model_is_a_faster_rcnn(detectron2_model):
    imported = rcnn.convert(given(detectron2_model.state_dict()), NAMES)
    assert (imported.kind, imported.settings["test_side"]) == ("faster-rcnn", 800)


@pytest.mark.parametrize(("num_classes", "side"), [(20, 600), (80, 800)])
def test_unbiased_teacher_is_tested_at_the_size_of_its_voc_or_coco_config(ubteacher, num_classes, side):
    tensors = dict(ubteacher)
    for name, rows in (("cls_score", num_classes + 1), ("bbox_pred", 4 * num_classes)):
        for kind in ("weight", "bias"):
            key = f"modelTeacher.roi_heads.box_predictor.{name}.{kind}"
            tensors[key] = torch.zeros(rows, *tensors[key].shape[1:])
    imported = rcnn.convert(given(tensors), [f"class {number}" for number in range(num_classes)])
    assert imported.settings["test_side"] == side


def test_another_class_list_is_one_line(ubteacher):
    with pytest.raises(BadInput, match="detector of 3 classes, and the class list has 4"):
        rcnn.convert(given(ubteacher), (*NAMES, "bowl"))


@pytest.mark.parametrize(
    "name",
    [
        "backbone.bottom_up.res3.1.conv2.weight",
        "backbone.fpn_lateral4.bias",
        "roi_heads.box_predictor.cls_score.bias",
        "backbone.bottom_up.res2.0.conv3.weight",
    ],
)
def test_a_missing_tensor_is_one_line(detectron2_model, name):
    state = {key: value for key, value in detectron2_model.state_dict().items() if key != name}
    with pytest.raises(BadInput, match="has nothing for|has no |is no ResNet-50"):
        rcnn.convert(given(state), NAMES)


@pytest.fixture(scope="module")
def torchvision_model():
    from torchvision.models.detection import fasterrcnn_resnet50_fpn

    with torch.random.fork_rng():
        torch.manual_seed(0)
        return spread_out(fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=4))


def test_torchvision_s_features_and_heads_are_the_same_with_the_background_moved(torchvision_model):
    imported = rcnn.convert(given(torchvision_model.state_dict()), NAMES)
    assert imported.kind == "faster-rcnn" and imported.skipped == ()
    network, _ = network_of(imported)
    pixels = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    pooled = torch.rand(5, 256, 7, 7, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        theirs, ours = list(torchvision_model.backbone(pixels).values()), network.extract_feat(pixels)
        for one, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)
        pairs = zip(network.rpn_head(theirs), torchvision_model.rpn.head(theirs), strict=True)
        for one, other in ((a, b) for ours_, theirs_ in pairs for a, b in zip(ours_, theirs_, strict=True)):
            torch.testing.assert_close(one, other)
        heads = torchvision_model.roi_heads
        logits, offsets = heads.box_predictor(heads.box_head(pooled))
        own_logits, own_offsets = network.roi_head.bbox_head(pooled)
    torch.testing.assert_close(own_logits, logits[:, [1, 2, 3, 0]])
    torch.testing.assert_close(own_offsets, offsets[:, 4:])


def test_older_torchvision_names_are_the_same_network(torchvision_model):
    new = torchvision_model.state_dict()
    old = {
        name.replace(".0.weight", ".weight").replace(".0.bias", ".bias").replace("conv.0.", "conv.")
        if "fpn" in name or "rpn.head.conv" in name
        else name: value
        for name, value in new.items()
    }
    assert set(old) != set(new)
    one, other = (rcnn.convert(given(state), NAMES).state for state in (new, old))
    assert all(torch.equal(one[name], other[name]) for name in one) and set(one) == set(other)


def test_of_91_classes_those_that_coco_uses_are_kept_in_its_order():
    assert len(rcnn.COCO_IDS) == 80
    rows = torch.arange(91.0)
    kept = rows[torch.tensor([0, *rcnn.COCO_IDS])]
    assert kept[1] == 1 and kept[12] == 13 and kept[80] == 90  # person, stop sign, toothbrush
