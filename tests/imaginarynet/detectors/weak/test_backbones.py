"""Backbones: torchvision's networks with another stride, frozen norms, and stages that do not learn."""

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import mobilenet_v2, resnet50

from experiments.imaginarynet.detectors.weak.backbones import VGG16, MobileNetV2, ResNet50, run_bottlenecks
from experiments.imaginarynet.detectors.weak.heads import FcHead, Res5Head
from experiments.imaginarynet.detectors.weak.weights import load_named, load_pretrained, read_weights
from suite.errors import BadInput, Missing
from tests.imaginarynet.detectors.weak.small import settings


def with_statistics(network):
    """Random statistics and factors for its norms, so that they are not the identity."""
    generator = torch.Generator().manual_seed(0)
    for name, buffer in network.state_dict().items():
        if name.endswith(("running_mean", "running_var")) or (buffer.ndim == 1 and "num" not in name):
            buffer.copy_(torch.rand(buffer.shape, generator=generator) * 0.5 + 0.5)
    return network.eval()


@pytest.fixture(scope="module")
def mobilenet():
    return with_statistics(mobilenet_v2())


def test_mobilenetv2_equals_torchvisions_up_to_where_the_strides_are_the_same(mobilenet):
    ours, images = MobileNetV2(stride=16, depth=13), torch.rand(2, 3, 48, 64)
    load_named(ours, mobilenet.state_dict(), where="torchvision")
    with torch.no_grad():
        wanted = mobilenet.features[:14](images)
        found = ours(images)
    assert found.shape == wanted.shape == (2, ours.out_channels, 3, 4)
    assert torch.allclose(found, wanted, rtol=1e-3, atol=1e-3 * wanted.abs().max())


@pytest.mark.parametrize(("stride", "depth"), [(8, 4), (8, 18), (16, 8), (16, 18)])
def test_dilation_keeps_the_features_at_the_stride(stride, depth):
    ours = MobileNetV2(stride=stride, depth=depth)
    with torch.no_grad():
        assert ours(torch.rand(1, 3, 64, 96)).shape == (1, ours.out_channels, 64 // stride, 96 // stride)


def test_a_dilated_block_sees_the_cells_that_the_strided_one_saw(mobilenet):
    fine, coarse = MobileNetV2(stride=8, depth=10), MobileNetV2(stride=16, depth=10)
    images = torch.rand(1, 3, 64, 64)
    for network in (fine, coarse):
        load_named(network, mobilenet.state_dict(), where="torchvision")
    with torch.no_grad():
        wanted = coarse(images)
        assert torch.allclose(fine(images)[:, :, ::2, ::2], wanted, atol=1e-3 * wanted.abs().max())


def test_vgg16_has_stride_8_or_16_and_torchvisions_names():
    for stride in (8, 16):
        ours = VGG16(stride=stride)
        with torch.no_grad():
            assert ours(torch.rand(1, 3, 32, 48)).shape == (1, 512, 32 // stride, 48 // stride)
    names = {name for name in ours.state_dict() if name.endswith("weight")}
    places = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
    assert names == {f"features.{place}.weight" for place in places}


def test_resnet50_equals_torchvisions_where_its_last_stage_is_in_the_head():
    network, images = with_statistics(resnet50()), torch.rand(1, 3, 64, 64)
    ours, head = ResNet50(stride=16, with_res5=False), Res5Head()
    for module in (ours, head):
        load_named(module, network.state_dict(), where="torchvision")
    with torch.no_grad():
        stem = network.maxpool(network.relu(network.bn1(network.conv1(images))))
        wanted = network.layer4(network.layer3(network.layer2(network.layer1(stem))))
        found = run_bottlenecks(head.layer4, ours(images))
        assert torch.allclose(head(ours(images)), found.mean((2, 3)))
    assert torch.allclose(found, wanted, rtol=1e-3, atol=1e-4 * wanted.abs().max())


@pytest.mark.parametrize(("stride", "size"), [(8, (8, 8)), (16, (4, 4))])
def test_a_whole_resnet50_is_dilated_to_its_stride(stride, size):
    with torch.no_grad():
        assert ResNet50(stride=stride)(torch.rand(1, 3, 64, 64)).shape == (1, 2048, *size)


def test_frozen_stages_have_no_gradient_and_the_others_have():
    ours = MobileNetV2(depth=4, freeze=2)
    ours(torch.rand(1, 3, 32, 32)).sum().backward()
    has = [any(p.grad is not None for p in stage.parameters()) for stage in ours.stages()]
    assert has == [False, False, True, True, True]
    assert all(p.requires_grad == (p.grad is not None) for p in ours.parameters())


def test_a_wholly_frozen_backbone_builds_no_graph():
    assert not MobileNetV2(depth=4, freeze=5)(torch.rand(1, 3, 32, 32)).requires_grad


def test_the_packaged_weights_are_imagenets():
    ours = MobileNetV2(depth=4)
    before = {name: value.clone() for name, value in ours.state_dict().items()}
    load_pretrained(ours, torch.nn.Identity(), settings(weights="packaged"), None)
    assert all(not torch.equal(before[name], value) for name, value in ours.state_dict().items())


def test_fully_connected_layers_take_vgg16s_weights_where_they_fit(tmp_path):
    config = settings(backbone="vgg16", depth=0, weights="vgg.safetensors", fc=(6, 5), pool_size=1)
    backbone, head = VGG16(), FcHead(512, config)
    state = {name: value.clone() for name, value in backbone.state_dict().items()}
    state |= {"classifier.0.weight": torch.full((6, 512), 2.0), "classifier.0.bias": torch.zeros(6)}
    state |= {"classifier.3.weight": torch.zeros(9, 6), "classifier.3.bias": torch.zeros(9)}
    save_file(state, str(tmp_path / "vgg.safetensors"))
    assert load_pretrained(backbone, head, config, tmp_path) == ["layers.0.bias", "layers.0.weight"]
    assert (head.layers[0].weight == 2).all() and head.layers[1].weight.any()


def test_weights_that_are_missing_damaged_or_of_another_network_are_refused_by_name(tmp_path):
    with pytest.raises(Missing, match="import-checkpoint"):
        read_weights(tmp_path / "none.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"no tensors")
    with pytest.raises(BadInput, match="safetensors"):
        read_weights(tmp_path / "bad.safetensors")
    with pytest.raises(BadInput, match=r"here: has no tensor features\.0"):
        load_named(MobileNetV2(depth=4), {}, where="here")
    wrong = {name: torch.zeros(1) for name in MobileNetV2(depth=4).state_dict()}
    with pytest.raises(BadInput, match=r"features\.0\.0\.weight has shape \(1,\)"):
        load_named(MobileNetV2(depth=4), wrong, where="here")
