"""Extractors of features: named after their weights, equal whatever the batch."""

import keras
import numpy as np
import pytest

from experiments.gafi.config_sections import ClassifierModel
from experiments.gafi.metrics.features import BATCH, Extractor, classifier_extractor, file_extractor
from experiments.gafi.nn.classifiers import build_classifier
from experiments.gafi.nn.state import apply, state_of
from suite.errors import BadInput


def pictures(count, channels=1, size=8):
    return np.random.default_rng(3).uniform(-1, 1, (count, size, size, channels)).astype(np.float32)


def test_the_last_batch_is_padded_and_its_padding_left_out():
    shapes = []

    def mean_and_sign(images):
        shapes.append(len(images))
        mean = images.mean(axis=(1, 2, 3))
        return np.stack([mean, mean**2], axis=1), np.stack([mean > 0, mean <= 0], axis=1)

    images = pictures(BATCH + 3)
    found = Extractor("mean", mean_and_sign)(images)
    assert shapes == [BATCH, BATCH]
    np.testing.assert_allclose(found.features[:, 0], images.mean(axis=(1, 2, 3)), rtol=1e-6)
    assert found.probabilities.sum(axis=1).tolist() == [1] * (BATCH + 3)
    assert found.features.dtype == found.probabilities.dtype == np.float64


def test_a_classifier_gives_what_its_last_layer_sees_and_its_probabilities():
    model = build_classifier(
        ClassifierModel(width=4), num_classes=3, channels=1, image_size=8, seed=1, init_sharing="own"
    )
    state = state_of(model)
    images = pictures(5)
    found = classifier_extractor("C_real features", model, state)(images)
    assert found.features.shape == (5, 16)
    logits = found.features @ np.array(state.trainable[-2]) + np.array(state.trainable[-1])
    expected, _ = apply(model, state, images, training=False)
    np.testing.assert_allclose(logits, expected, atol=1e-5)
    softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found.probabilities, softmax, atol=1e-5)


def test_a_keras_file_of_other_size_and_channels_gets_pictures_as_it_wants_them(tmp_path):
    """Of a constant picture the resized and repeated one is constant too, per channel."""
    inputs = keras.Input((12, 12, 3))
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(inputs))
    model.save(tmp_path / "mean.keras")
    extractor = file_extractor(tmp_path / "mean.keras")
    found = extractor(np.full((2, 8, 8, 1), 0.25, np.float32))
    np.testing.assert_allclose(found.features, np.full((2, 3), 0.25), rtol=1e-6)
    assert found.probabilities is None
    assert extractor.name.startswith("mean ")
    assert extractor.name.endswith(" features")


@pytest.mark.parametrize("content", [None, b"no archive"])
def test_a_file_that_is_no_network_is_one_line(tmp_path, content):
    path = tmp_path / "net.keras"
    if content:
        path.write_bytes(content)
    with pytest.raises(BadInput, match=r"net\.keras: (is no \.keras file|cannot be read)"):
        file_extractor(path)


def test_code_inside_a_keras_file_is_refused(tmp_path):
    inputs = keras.Input((8, 8, 1))
    keras.Model(inputs, keras.layers.Lambda(lambda x: x)(inputs)).save(tmp_path / "net.keras")
    with pytest.raises(BadInput, match="cannot be read"):
        file_extractor(tmp_path / "net.keras")
