"""The Faster R-CNN that the settings describe."""

import pytest
import torch
from torchvision.models import resnet50
from torchvision.models.detection import fasterrcnn_resnet50_fpn

from experiments.imaginarynet.config_semi import SemiConfig
from experiments.imaginarynet.detectors.semi import network
from experiments.imaginarynet.detectors.semi.weights import load_backbone
from suite.errors import BadInput, Missing
from tests.imaginarynet.detectors.semi import tiny


def test_the_published_network_has_torchvisions_number_of_parameters_and_its_names():
    with torch.device("meta"):
        mine = network.build_detector(SemiConfig(), num_classes=20)
        theirs = fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=21)
        names = {name for name in resnet50(weights=None).state_dict() if not name.startswith("fc.")}
    # torchvision regresses boxes of the background class, too.
    excess = 4 * (1024 + 1)
    assert sum(p.numel() for p in mine.parameters()) == sum(p.numel() for p in theirs.parameters()) - excess
    assert set(mine.backbone.state_dict()) == names


def test_the_small_network_is_the_same_classes_with_other_numbers():
    small, published = (
        network.build_detector(settings, num_classes=3) for settings in (tiny.SETTINGS, SemiConfig(fc=32))
    )
    assert type(small) is type(published)
    assert type(small.roi_head.bbox_head) is type(published.roi_head.bbox_head)
    assert small.roi_head.bbox_head.fc_cls.out_features == 4


def test_weights_are_a_function_of_the_seed_and_both_networks_begin_alike():
    one, other, third = (
        network.build_model("unbiased-teacher", tiny.SETTINGS, num_classes=3, seed=seed) for seed in (0, 0, 1)
    )
    assert tiny.same(tiny.state(one), tiny.state(other))
    assert not tiny.same(tiny.state(one), tiny.state(third))
    assert tiny.same(tiny.state(one.student), tiny.state(one.teacher))


def test_drawing_weights_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    network.build_model("soft-teacher", tiny.SETTINGS, num_classes=3, seed=0)
    assert (torch.get_rng_state() == before).all()


@pytest.mark.parametrize("compiled", [False, True])
def test_a_compiled_mmcv_is_used_where_there_is_one(monkeypatch, compiled):
    monkeypatch.setattr(network, "uses_compiled_mmcv", lambda: compiled)
    layer = network.detector_config(tiny.SETTINGS, 3)["roi_head"]["bbox_roi_extractor"]["roi_layer"]
    assert layer.get("use_torchvision", False) is not compiled


def test_a_stand_in_is_not_taken_for_a_compiled_mmcv(monkeypatch):
    import sys
    from types import SimpleNamespace

    assert network.uses_compiled_mmcv() is hasattr(sys.modules["mmcv._ext"], "__file__")
    monkeypatch.setitem(sys.modules, "mmcv._ext", SimpleNamespace(__file__="_ext.so"))
    assert network.uses_compiled_mmcv()


def test_caffe_pixels_are_bgr_without_division():
    pixels = torch.zeros(3, 32, 32, dtype=torch.uint8)
    pixels[0] = 200  # red
    settings = tiny.settings(pixels="caffe-bgr")
    found = network.build_pixels(settings)({"inputs": [pixels], "data_samples": None})["inputs"][0]
    assert found[:, 0, 0].tolist() == pytest.approx([-103.53, -116.28, 200 - 123.675], abs=1e-3)


def test_weights_of_a_backbone_reach_student_and_teacher(tmp_path, monkeypatch):
    from safetensors.torch import save_file

    model = network.build_model("faster-rcnn", tiny.SETTINGS, num_classes=3, seed=0)
    given = {name: tensor + 1 for name, tensor in model.student.backbone.state_dict().items()}
    (tmp_path / "weights").mkdir()
    save_file(given, tmp_path / "weights" / "resnet.safetensors")
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    load_backbone(model, "resnet.safetensors")
    assert tiny.same(tiny.state(model.student.backbone), given)
    assert tiny.same(tiny.state(model.teacher.backbone), given)


def test_weights_that_are_missing_or_of_another_network_are_told(tmp_path, monkeypatch):
    from safetensors.torch import save_file

    model = network.build_model("faster-rcnn", tiny.SETTINGS, num_classes=3, seed=0)
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    with pytest.raises(Missing, match="absent.safetensors"):
        load_backbone(model, "absent.safetensors")
    (tmp_path / "weights").mkdir()
    save_file({"conv1.weight": torch.zeros(64, 3, 7, 7)}, tmp_path / "weights" / "wide.safetensors")
    with pytest.raises(BadInput, match=r"wide.safetensors: conv1.weight has shape \(64, 3, 7, 7\)"):
        load_backbone(model, "wide.safetensors")
