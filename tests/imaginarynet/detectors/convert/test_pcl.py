"""pcl.pytorch's OICR: imported, it scores proposals as its network does, written plainly here."""

from pathlib import Path

import pytest
import torch
from torch.nn import functional
from torchvision.ops import roi_pool

from experiments.imaginarynet.config_weak import WeakConfig
from experiments.imaginarynet.detectors.convert import pcl
from experiments.imaginarynet.detectors.convert.checkpoint import Checkpoint
from experiments.imaginarynet.detectors.weak.heads import pool
from experiments.imaginarynet.detectors.weak.model import WeakDetector
from suite.config import build
from suite.errors import BadInput

NAMES = ("mug", "chair", "lemon")
WIDTHS = {1: (64, 64), 2: (128, 128), 3: (256,) * 3, 4: (512,) * 3, 5: (512,) * 3}
FC = 16


@pytest.fixture(scope="module")
def theirs():
    """Tensors by the names of pcl.pytorch; 3 classes, layers of 16 units in place of 4096."""
    draw = torch.Generator().manual_seed(0)
    state, channels = {}, 3
    shapes = {}
    for block, widths in WIDTHS.items():
        for place, width in enumerate(widths):
            shapes[f"Conv_Body.conv{block}.{2 * place}"] = (width, channels, 3, 3)
            channels = width
    shapes |= {"Box_Head.fc1": (FC, pcl.POOLED), "Box_Head.fc2": (FC, FC)}
    shapes |= {f"Box_MIL_Outs.mil_score{k}": (3, FC) for k in (0, 1)}
    shapes |= {f"Box_Refine_Outs.refine_score.{k}": (4, FC) for k in range(3)}
    shapes |= {"Box_Outs.cls_score": (4, FC), "Box_Outs.bbox_pred": (16, FC)}
    for name, shape in shapes.items():
        fan_in = torch.tensor(shape[1:]).prod()
        state[f"{name}.weight"] = torch.randn(shape, generator=draw) * (2 / fan_in) ** 0.5
        state[f"{name}.bias"] = torch.randn(shape[0], generator=draw) * 0.1
    return state


def given(state):
    return Checkpoint(Path("model_step.pth"), state)


def logits_of(state, image, boxes):
    """Of their network: (3, 32, 32) BGR without its mean, boxes (R, 4) whose last pixel is inside."""
    features = image[None]
    for block, widths in WIDTHS.items():
        for place in range(len(widths)):
            name, dilation = f"Conv_Body.conv{block}.{2 * place}", 2 if block == 5 else 1
            kernel, bias = state[f"{name}.weight"], state[f"{name}.bias"]
            features = functional.conv2d(features, kernel, bias, padding=dilation, dilation=dilation).relu()
        features = functional.max_pool2d(features, 2) if block <= 3 else features

    def linear(name, values):
        return functional.linear(values, state[f"{name}.weight"], state[f"{name}.bias"])

    hidden = roi_pool(features, [boxes], 7, 1 / 8).flatten(1)
    for name in ("Box_Head.fc1", "Box_Head.fc2"):
        hidden = linear(name, hidden).relu()
    return lambda name: linear(name, hidden)


def test_the_imported_network_has_the_logits_of_theirs(theirs):
    imported = pcl.convert(given(theirs), NAMES)
    assert imported.kind == "oicr" and imported.skipped == ()
    model = WeakDetector(build(WeakConfig, imported.settings, where="header"), 3).eval()
    model.load_state_dict(imported.state)
    draw = torch.Generator().manual_seed(1)
    image = torch.randn(3, 48, 64, generator=draw) * 50
    boxes = torch.tensor([[0.0, 0, 64, 48], [8, 8, 40, 32], [20, 3, 61, 44]])
    last = torch.tensor([0.0, 0, 1, 1])
    of = logits_of(theirs, image, boxes - last)
    with torch.no_grad():
        features = model.backbone(image[None])
        ours = model.branches(model.head(pool(features, [boxes], model.settings)))
    close = {"rtol": 1e-4, "atol": 1e-4}
    torch.testing.assert_close(ours.proposals, of("Box_MIL_Outs.mil_score0"), **close)
    torch.testing.assert_close(ours.classes, of("Box_MIL_Outs.mil_score1"), **close)
    for k in range(3):
        torch.testing.assert_close(ours.refinements[k], of(f"Box_Refine_Outs.refine_score.{k}"), **close)
    torch.testing.assert_close(ours.fast_rcnn, of("Box_Outs.cls_score"), **close)
    torch.testing.assert_close(ours.offsets.flatten(1), of("Box_Outs.bbox_pred"), **close)


def test_settings_are_the_published_ones_with_the_checkpoint_s_widths(theirs):
    settings = build(WeakConfig, pcl.convert(given(theirs), NAMES).settings, where="header")
    assert (settings.backbone, settings.stride, settings.fc) == ("vgg16", 8, (FC, FC))
    assert (settings.variant, settings.score_rule) == ("oicr-pytorch", "refine-mean-frcn")


def test_without_the_fast_rcnn_head_the_refinements_score_and_a_note_says_so(theirs):
    old = {name: value for name, value in theirs.items() if not name.startswith("Box_Outs.")}
    imported = pcl.convert(given(old), NAMES)
    assert imported.settings["score_rule"] == "refine-sum"
    assert "no Fast R-CNN head" in imported.notes[0]


def test_what_has_no_place_is_listed(theirs):
    imported = pcl.convert(given({**theirs, "Mask_Head.conv.weight": torch.ones(2, 3)}), NAMES)
    assert imported.skipped == ("Mask_Head.conv.weight (2, 3): no such tensor in our network",)


def test_another_class_list_is_one_line(theirs):
    with pytest.raises(BadInput, match="detector of 3 classes, and the class list has 2; name its own"):
        pcl.convert(given(theirs), NAMES[:2])


@pytest.mark.parametrize("name", ["Conv_Body.conv3.2.bias", "Box_Head.fc2.weight", "Box_Outs.bbox_pred.bias"])
def test_a_missing_tensor_is_one_line(theirs, name):
    part = {key: value for key, value in theirs.items() if key != name}
    with pytest.raises(BadInput, match="has nothing for|has no "):
        pcl.convert(given(part), NAMES)


def test_another_backbone_is_one_line(theirs):
    with pytest.raises(BadInput, match="not the 25088 of VGG16"):
        pcl.convert(given({**theirs, "Box_Head.fc1.weight": torch.ones(FC, 100)}), NAMES)
