from pathlib import Path

import numpy as np
import pytest

from experiments.sample_synthesis.detector.build import build_detector
from experiments.sample_synthesis.detector.convert_mobilenetv2 import NORM, convert, read_pth
from experiments.sample_synthesis.detector.mobilenetv2_blocks import blocks, torch_names
from experiments.sample_synthesis.detector.weights import read_npz
from suite.arrays import write_arrays
from suite.errors import BadInput, Missing


def torch_state(model_shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """A state dict with torchvision's names and layouts for the shapes of our network."""
    rng, state = np.random.default_rng(3), {"classifier.1.weight": np.zeros((1000, 1280), np.float32)}
    for module, layer in torch_names().items():
        kernel = model_shapes.get(f"{layer}/kernel")
        if kernel is None:
            channels = model_shapes[f"{layer}/gamma"]
            state |= {f"{module}.{kind}": rng.normal(size=channels).astype(np.float32) for kind in NORM}
            state[f"{module}.num_batches_tracked"] = np.int64(7)
        else:
            height, width, first, last = kernel
            shape = (first, last) if layer.endswith("depthwise") else (last, first)
            state[f"{module}.weight"] = rng.normal(size=(*shape, height, width)).astype(np.float32)
    return state


def test_converted_arrays_are_all_that_the_network_has_and_load(tmp_path: Path) -> None:
    model = build_detector("mobilenetv2", image_size=64, seed=1)
    shapes = {v.path: tuple(v.shape) for v in model.weights if not v.path.startswith("head")}
    state = torch_state(shapes)
    arrays = convert(state)
    assert {name: array.shape for name, array in arrays.items()} == shapes
    write_arrays(tmp_path / "ours.npz", **arrays)
    loaded = build_detector(
        "mobilenetv2", image_size=64, init="imagenet", weights=tmp_path / "ours.npz", seed=1
    )
    by_path = {v.path: v.numpy() for v in loaded.weights}
    # features[4].conv[1][0]: depth-wise; features[4].conv[2]: projection; [3]: its normalisation.
    depthwise, project = state["features.4.conv.1.0.weight"], state["features.4.conv.2.weight"]
    assert by_path["block_3_depthwise/kernel"][2, 1, 5, 0] == depthwise[5, 0, 2, 1]
    assert by_path["block_3_project/kernel"][0, 0, 7, 9] == project[9, 7, 0, 0]
    np.testing.assert_array_equal(
        by_path["block_3_project_BN/moving_variance"], state["features.4.conv.3.running_var"]
    )
    assert set(read_npz(tmp_path / "ours.npz")) == set(torch_names().values())


def test_blocks_are_the_papers_seventeen() -> None:
    assert len(blocks()) == 17
    assert [block.number for block in blocks() if block.stride == 2] == [1, 3, 6, 13]
    assert [block.number for block in blocks() if not block.adds] == [0, 1, 3, 6, 10, 13, 16]


def test_state_of_another_network_is_bad_input() -> None:
    with pytest.raises(BadInput, match="layer1.0.conv1.weight is no array of MobileNetV2"):
        convert({"layer1.0.conv1.weight": np.zeros((64, 64, 1, 1))})


def test_without_torch_or_file_the_missing_thing_is_named(tmp_path: Path) -> None:
    with pytest.raises(Missing, match=r"detectron2 environment|there is no such file"):
        read_pth(tmp_path / "mobilenet_v2-b0353104.pth")
