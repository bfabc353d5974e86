from pathlib import Path

import h5py
import numpy as np
import pytest

from experiments.sample_synthesis.detector import weights
from experiments.sample_synthesis.detector.build import build_detector
from suite.errors import BadInput, Missing

# isort: split
import keras

TAPS = {
    "mobilenet": [f"conv_pw_{number}_relu" for number in (10, 11, 12, 13)],
    "resnet50": [*(f"conv4_block{n}_out" for n in (4, 5, 6)), *(f"conv5_block{n}_out" for n in (1, 2, 3))],
}
RELATIVE = 1e-4  # float32 sums in another order, some 30 to 50 layers deep


def keras_network(arch: str, image_size: int) -> keras.Model:
    """Keras's own network with weights and statistics that are all different."""
    build = {"mobilenet": keras.applications.MobileNet, "resnet50": keras.applications.ResNet50}[arch]
    network = build(weights=None, include_top=False, input_shape=(image_size, image_size, 3))
    rng = np.random.default_rng(11)
    for variable in network.weights:
        if variable.name in ("gamma", "moving_variance"):
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
        elif variable.name in ("beta", "moving_mean", "bias"):
            variable.assign(rng.normal(0, 0.2, variable.shape))
    return network


def write_h5(path: Path, network: keras.Model) -> Path:
    """As the published files are: Keras 2's layout and names."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.name.encode() for layer in network.layers]
        for layer in network.layers:
            group = file.create_group(layer.name)
            depthwise = "depthwise_" if isinstance(layer, keras.layers.DepthwiseConv2D) else ""
            names = [
                f"{layer.name}/{depthwise if v.name == 'kernel' else ''}{v.name}:0" for v in layer.weights
            ]
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name, variable in zip(names, layer.weights, strict=True):
                group[name] = variable.numpy()
    return path


@pytest.mark.parametrize("arch", ["mobilenet", "resnet50"])
def test_published_file_gives_the_features_of_keras_own_network(tmp_path: Path, arch: str) -> None:
    size = 75  # odd on the way down
    network = keras_network(arch, size)
    images = np.random.default_rng(2).uniform(0, 255, (2, size, size, 3)).astype(np.float32)
    prepare = getattr(keras.applications, arch).preprocess_input
    theirs = keras.Model(network.input, [network.get_layer(name).output for name in TAPS[arch]])(
        prepare(images.copy()), training=False
    )
    file = write_h5(tmp_path / weights.FILES[arch], network)
    model = build_detector(arch, image_size=size, init="imagenet", weights=file, seed=1)
    taps = [model.get_layer(f"head{number}_class").input for number in range(1, len(TAPS[arch]) + 1)]
    ours = keras.Model(model.input, taps)(images, training=False)
    for one, other in zip(ours, theirs, strict=True):
        assert one.shape == other.shape
        worst = np.abs(one.numpy() - other.numpy()).max() / np.abs(other.numpy()).max()
        assert worst < RELATIVE


def test_heads_keep_their_first_weights(tmp_path: Path) -> None:
    file = write_h5(tmp_path / "any.h5", keras_network("mobilenet", 64))
    loaded = build_detector("mobilenet", image_size=64, init="imagenet", weights=file, seed=5)
    fresh = build_detector("mobilenet", image_size=64, seed=5)
    for one, other in zip(loaded.weights, fresh.weights, strict=True):
        same = np.array_equal(one.numpy(), other.numpy())
        assert same == one.path.startswith("head"), one.path


def test_weights_of_another_architecture_are_bad_input_and_change_nothing(tmp_path: Path) -> None:
    file = write_h5(tmp_path / "any.h5", keras_network("mobilenet", 64))
    model = build_detector("resnet50", image_size=64, seed=1)
    before = model.get_layer("conv1_bn").gamma.numpy().copy()
    with pytest.raises(
        BadInput, match="weights of another architecture than resnet50; give resnet50"
    ) as error:
        weights.load_backbone(model, "resnet50", file)
    assert error.value.exit_code == 2
    assert str(error.value).startswith(f"{file}: ")
    assert "\n" not in str(error.value)
    np.testing.assert_array_equal(model.get_layer("conv1_bn").gamma.numpy(), before)


def test_weights_of_another_width_are_bad_input(tmp_path: Path) -> None:
    narrow = keras.applications.MobileNet(weights=None, include_top=False, alpha=0.5, input_shape=(64, 64, 3))
    file = write_h5(tmp_path / "narrow.h5", narrow)
    with pytest.raises(BadInput, match=r"conv1/kernel has shape \(3, 3, 3, 16\), not \(3, 3, 3, 32\)"):
        build_detector("mobilenet", image_size=64, init="imagenet", weights=file, seed=1)


def test_weights_with_a_top_are_bad_input(tmp_path: Path) -> None:
    network = keras_network("mobilenet", 64)
    with_top = keras.Model(
        network.input,
        keras.layers.Conv2D(5, 1, name="conv_preds")(network.output),
    )
    file = write_h5(tmp_path / "top.h5", with_top)
    with pytest.raises(BadInput, match="conv_preds/kernel does not belong"):
        build_detector("mobilenet", image_size=64, init="imagenet", weights=file, seed=1)


def test_file_in_a_folder_must_have_the_published_digest(tmp_path: Path) -> None:
    (tmp_path / weights.FILES["resnet50"]).write_bytes(b"cut off")
    with pytest.raises(BadInput, match="MD5 digest is [0-9a-f]{32}, the published file's 4d473c1d"):
        weights.find_weights("resnet50", tmp_path)
    (tmp_path / weights.FILES["mobilenet"]).write_bytes(b"cut off")
    assert weights.find_weights("mobilenet", tmp_path).name == "mobilenet_1_0_224_tf_no_top.h5"


@pytest.mark.parametrize("name", ["broken.h5", "broken.npz"])
def test_file_that_cannot_be_read_is_bad_input(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"not what it says")
    with pytest.raises(BadInput, match=rf"{name}: (is no Keras|cannot be read as .npz)"):
        build_detector("mobilenet", image_size=64, init="imagenet", weights=tmp_path / name, seed=1)


def test_h5_without_layer_names_is_bad_input(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["numbers"] = np.arange(3)
    with pytest.raises(BadInput, match="is no Keras weights file"):
        weights.read_keras_h5(tmp_path / "other.h5")


def test_pickled_objects_are_never_loaded(tmp_path: Path) -> None:
    np.savez(tmp_path / "objects.npz", **{"conv1/kernel": np.array([{}], dtype=object)})
    with pytest.raises(BadInput, match="cannot be read as .npz"):
        weights.read_npz(tmp_path / "objects.npz")


@pytest.mark.parametrize("arch", sorted(weights.FILES))
def test_weights_that_are_not_there_are_missing(tmp_path: Path, arch: str) -> None:
    with pytest.raises(Missing, match=f"{weights.FILES[arch]}: there is no such file") as error:
        weights.find_weights(arch, tmp_path)
    assert error.value.exit_code == 3
    with pytest.raises(Missing, match=f"name one that has {weights.FILES[arch]}"):
        weights.find_weights(arch, None)


def test_tiny_has_no_imagenet_weights() -> None:
    with pytest.raises(BadInput, match="no ImageNet weights for tiny; use init: random"):
        build_detector("tiny", image_size=64, init="imagenet", seed=1)
