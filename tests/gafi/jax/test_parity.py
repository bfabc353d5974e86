"""The networks and both training steps compute on JAX what they compute on TensorFlow (tox -e jax).

TensorFlow's half runs in its own environment, in a process of its own; arrays.py says what is computed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("jax", reason="runs in the jax environment: tox -e jax")
if os.environ.get("KERAS_BACKEND") != "jax":
    pytest.skip("needs KERAS_BACKEND=jax: tox -e jax", allow_module_level=True)

from experiments.gafi.nn.state import load_arrays, save_arrays
from suite.provenance import ROOT
from tests.gafi.jax import arrays

TENSORFLOW = ROOT / ".tox/tensorflow/bin/python"
TOLERANCE = 2e-5  # of the largest value of an array; float32 has 24 bits, sums here a thousand terms
# Gradients: long sums of terms that cancel, added up in the order of the CPU's vector instructions. Over
# SSE4, AVX2 and AVX-512, with and without oneDNN, they differed by up to 6e-4 of the largest; a wrong term
# differs by all of it.
GRADIENT_TOLERANCE = 2e-3
SMALL = 1e-6  # arrays whose largest value is below it are rounding errors of a zero
MAX_GRADIENT_NOISE = 1e-5  # first moments below it are rounding, see the test

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def of_tensorflow(tmp_path_factory) -> dict[str, np.ndarray]:
    """What TensorFlow computes."""
    if not TENSORFLOW.exists():
        pytest.skip("no .tox/tensorflow (python3 workflow/bootstrap.py tensorflow)")
    path = tmp_path_factory.mktemp("parity") / "reference.npz"
    env = os.environ | {"KERAS_BACKEND": "tensorflow", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [TENSORFLOW, "-m", "tests.gafi.jax.arrays", path], cwd=ROOT, env=env, text=True, capture_output=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return load_arrays(path)


@pytest.fixture(scope="module")
def of_jax() -> dict[str, np.ndarray]:
    """What this process computes."""
    assert "tensorflow" not in sys.modules
    return arrays.compute()


def below(prefix: str, found: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: value for name, value in found.items() if name.startswith(prefix)}


def assert_close(found: dict[str, np.ndarray], expected: dict[str, np.ndarray], tolerance: float) -> None:
    """Every array, relative to its own largest value."""
    assert found.keys() == expected.keys() and found
    for name, value in expected.items():
        assert found[name].dtype == value.dtype and found[name].shape == value.shape, name
        largest = max(float(np.abs(value.astype(np.float64)).max(initial=0)), SMALL)
        error = float(np.abs(found[name].astype(np.float64) - value).max(initial=0))
        assert error <= tolerance * largest, f"{name}: {error:.2e} of {largest:.2e}"


def test_both_backends_name_the_same_arrays(of_jax, of_tensorflow):
    assert of_jax.keys() == of_tensorflow.keys()
    assert all(np.isfinite(value).all() for value in of_jax.values())


@pytest.mark.parametrize("network", ["generator", "discriminator", "classifier", "simple"])
def test_initial_weights_are_equal_bit_by_bit(of_jax, of_tensorflow, network):
    found, expected = (below(f"{network}/initial/", half) for half in (of_jax, of_tensorflow))
    assert found.keys() == expected.keys() and len(found) > 5
    assert all(np.array_equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("network", ["generator", "discriminator", "classifier", "simple"])
def test_a_network_answers_the_same(of_jax, of_tensorflow, network):
    for what in ("inference", "training", "features", "moved"):
        expected = below(f"{network}/{what}", of_tensorflow)
        if expected:
            assert_close(below(f"{network}/{what}", of_jax), expected, TOLERANCE)
    assert np.ptp(of_jax[f"{network}/inference"]) > 0.1  # not all the same


@pytest.mark.parametrize("kind", ["flip", "zoom", "crop", "erasing", "angle", "all"])
def test_given_draws_make_the_same_picture(of_jax, of_tensorflow, kind):
    name = f"augment/{kind}"
    assert_close({name: of_jax[name]}, {name: of_tensorflow[name]}, TOLERANCE)
    assert not np.array_equal(of_jax[name], arrays.pictures(8))


def test_a_step_of_the_classifier_is_the_same(of_jax, of_tensorflow):
    prefix = "classifier step/"
    for part, tolerance in (("loss", TOLERANCE), ("hits", TOLERANCE), ("other", TOLERANCE * 5)):
        assert_close(below(prefix + part, of_jax), below(prefix + part, of_tensorflow), tolerance)
    # The velocity holds the rate; the weights move by up to twice of it: relative to the largest of all.
    found, expected = (below(prefix + "slots", half) for half in (of_jax, of_tensorflow))
    allowed = GRADIENT_TOLERANCE * max(np.abs(value).max(initial=0) for value in expected.values())
    assert allowed > GRADIENT_TOLERANCE * 1e-3
    for part, most in (("slots", allowed), ("weights", 2 * allowed)):
        for name, value in below(prefix + part, of_tensorflow).items():
            assert np.abs(of_jax[name] - value).max(initial=0) <= most, name


def test_the_losses_of_three_gan_steps_are_the_same(of_jax, of_tensorflow):
    for number in range(arrays.STEPS):
        name = f"gan step/losses/{number}"
        assert_close({name: of_jax[name]}, {name: of_tensorflow[name]}, TOLERANCE)
    assert len({of_jax[f"gan step/losses/{number}"].tobytes() for number in range(arrays.STEPS)}) == 3


def test_a_gan_step_moves_statistics_and_power_vectors_the_same(of_jax, of_tensorflow):
    for part in ("step/step", "step/generator/other", "step/discriminator/other"):
        assert_close(below(f"gan {part}", of_jax), below(f"gan {part}", of_tensorflow), TOLERANCE)


@pytest.mark.parametrize(("network", "slots"), [("generator", "g_slots"), ("discriminator", "d_slots")])
def test_a_gan_step_moves_weights_the_same_where_they_have_a_gradient(of_jax, of_tensorflow, network, slots):
    """A bias in front of a batch norm has none: what is left is rounding, which Adam makes as large as a
    step.
    """
    names = list(below(f"gan step/{network}/weights/", of_tensorflow))
    moments = [f"gan step/{slots}/{1 + place}" for place in range(len(names))]
    largest = max(np.abs(of_tensorflow[moment]).max() for moment in moments)
    rate = getattr(arrays.settings().gan.OPTIMIZATION, f"{slots[0]}_lr")
    with_gradient = 0
    for name, moment in zip(names, moments, strict=True):
        assert np.abs(of_jax[moment] - of_tensorflow[moment]).max() <= GRADIENT_TOLERANCE * largest, moment
        if np.abs(of_tensorflow[moment]).max() > MAX_GRADIENT_NOISE:
            with_gradient += 1
            assert np.abs(of_jax[name] - of_tensorflow[name]).max() <= rate / 4, name
    assert with_gradient > len(names) / 2


def test_a_checkpoint_of_tensorflow_draws_the_same_pictures_here(of_tensorflow, tmp_path):
    prefixes = ("gan step/generator/weights/", "gan step/generator/other/")
    weights = {
        name.removeprefix(prefix): value
        for prefix in prefixes
        for name, value in below(prefix, of_tensorflow).items()
    }
    save_arrays(tmp_path / "generator.npz", weights)
    found = {"inference": arrays.of_checkpoint(Path(tmp_path / "generator.npz"))}
    assert_close(found, {"inference": of_tensorflow["gan step/inference"]}, TOLERANCE)
