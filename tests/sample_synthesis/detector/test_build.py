import numpy as np
import pytest

from experiments.sample_synthesis.detector.anchors import make_anchors
from experiments.sample_synthesis.detector.archs import ARCHS
from experiments.sample_synthesis.detector.build import build_detector
from suite.errors import BadInput

# isort: split
import keras
import tensorflow as tf


def count(model: keras.Model, *, heads: bool) -> int:
    return sum(int(np.prod(v.shape)) for v in model.weights if v.path.startswith("head") == heads)


@pytest.mark.parametrize(
    ("arch", "backbone", "heads"),
    [
        ("mobilenet", 3_228_864, 497_736),  # dissertation's networks: 3.23 M and 0.50 M
        ("resnet50", 23_587_712, 1_493_100),  # 23.59 M and 1.49 M
        ("mobilenetv2", 2_257_984, 368_136),
        ("tiny", 73_088, 88_200),
    ],
)
def test_each_detector_has_its_number_of_parameters_and_anchors(arch: str, backbone: int, heads: int) -> None:
    model = build_detector(arch, image_size=300, seed=1)
    assert (count(model, heads=False), count(model, heads=True)) == (backbone, heads)
    assert model.output_shape == (None, len(make_anchors(arch, 300)), 6)


@pytest.mark.parametrize("arch", sorted(ARCHS))
@pytest.mark.parametrize("image_size", [32, 75, 97])
def test_outputs_are_as_many_as_anchors_at_odd_sizes(arch: str, image_size: int) -> None:
    model = build_detector(arch, image_size=image_size, seed=1)
    assert model.output_shape[1] == len(make_anchors(arch, image_size))


def test_outputs_stand_in_the_order_of_the_anchors() -> None:
    """A bias of its own for each level and anchor shape, kernels 0: the outputs name their anchors."""
    model = build_detector("tiny", image_size=96, seed=1)
    for level in range(1, 5):
        kernel, bias = model.get_layer(f"head{level}_box").weights
        kernel.assign(np.zeros(kernel.shape))
        bias.assign(np.repeat(10 * level + np.arange(3), 4))
    outputs = model(np.zeros((1, 96, 96, 3), np.float32)).numpy()[0, :, 2:]
    shape = [
        10 * level + np.tile(np.arange(3), side**2) for level, side in ((1, 12), (2, 12), (3, 6), (4, 6))
    ]
    np.testing.assert_array_equal(outputs, np.repeat(np.concatenate(shape)[:, None], 4, axis=1))


def test_a_pixel_moves_the_outputs_of_the_anchors_around_it() -> None:
    model = build_detector("tiny", image_size=96, seed=1)
    black = np.zeros((1, 96, 96, 3), np.float32)
    lit = black.copy()
    lit[0, 84:, :12] = 255  # bottom left
    change = np.abs(model(lit) - model(black)).max(axis=-1)[0]
    center = make_anchors("tiny", 96).centers[change.argmax()]
    assert center[0] < 32
    assert center[1] > 64


def test_first_weights_depend_on_the_seed_alone() -> None:
    first = build_detector("tiny", image_size=64, seed=7)
    keras.utils.set_random_seed(99)
    again = build_detector("tiny", image_size=96, seed=7)
    other = build_detector("tiny", image_size=64, seed=8)
    for one, same, different in zip(first.weights, again.weights, other.weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), same.numpy())
        assert one.name != "kernel" or (one.numpy() != different.numpy()).all()


def test_layers_of_one_shape_start_with_different_weights() -> None:
    model = build_detector("tiny", image_size=64, seed=7)
    third, fourth = (model.get_layer(f"conv_dw_{number}").weights[0].numpy() for number in (4, 5))
    assert third.shape == fourth.shape
    assert (third != fourth).all()


def test_variables_have_unique_paths() -> None:
    for arch in ARCHS:
        paths = [v.path for v in build_detector(arch, image_size=64, seed=1).weights]
        assert len(set(paths)) == len(paths)


def test_heads_start_glorot_uniform_with_zero_bias() -> None:
    kernel, bias = build_detector("mobilenet", image_size=96, seed=1).get_layer("head4_class").weights
    limit = np.sqrt(6 / (9 * 1024 + 9 * 6))
    assert limit * 0.99 < np.abs(kernel.numpy()).max() <= limit
    assert not bias.numpy().any()


def test_training_moves_the_statistics_towards_the_batch_and_inference_uses_them() -> None:
    model = build_detector("tiny", image_size=64, seed=1)
    norm = model.get_layer("conv1_bn")
    images = np.random.default_rng(0).uniform(0, 255, (4, 64, 64, 3)).astype(np.float32)
    before = model(images, training=False).numpy()
    inner = keras.Model(model.input, norm.input)(images).numpy().reshape(-1, norm.gamma.shape[0])
    model(images, training=True)
    np.testing.assert_allclose(norm.moving_mean.numpy(), 0.1 * inner.mean(axis=0), rtol=1e-3, atol=1e-5)
    expected = 0.9 + 0.1 * inner.var(axis=0, ddof=1)
    np.testing.assert_allclose(norm.moving_variance.numpy(), expected, rtol=1e-4)
    assert np.abs(model(images, training=False).numpy() - before).max() > 1e-3


def test_gradients_reach_every_trainable_weight() -> None:
    model = build_detector("tiny", image_size=64, seed=1)
    images = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)).astype(np.float32)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(tf.square(model(images, training=True)))
    for gradient, variable in zip(
        tape.gradient(total, model.trainable_variables), model.trainable_variables, strict=True
    ):
        assert np.abs(gradient).max() > 0, variable.path


def test_unknown_detector_is_bad_input() -> None:
    with pytest.raises(BadInput, match="there is no detector 'vgg16'"):
        build_detector("vgg16", image_size=96, seed=1)
