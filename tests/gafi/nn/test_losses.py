"""Losses against values worked out by hand."""

import numpy as np
import pytest
from keras import ops

from experiments.gafi.nn.losses import discriminator_loss, generator_loss, r1_penalty
from suite.errors import BadInput

REAL, FAKE = np.float32([[0.5], [2.0], [-1.0]]), np.float32([[-2.0], [0.5], [0.0]])


def softplus(x):
    return np.log1p(np.exp(x))


def test_hinge_of_the_discriminator_counts_logits_inside_the_margin():
    on_real, on_fake = discriminator_loss("hinge", REAL, FAKE)
    assert float(on_real) == pytest.approx((0.5 + 0 + 2.0) / 3)
    assert float(on_fake) == pytest.approx((0 + 1.5 + 1.0) / 3)


def test_hinge_of_the_generator_is_the_mean_logit_with_its_sign_turned():
    assert float(generator_loss("hinge", FAKE)) == pytest.approx(0.5)


def test_non_saturating_losses_are_softplus_of_the_logits():
    on_real, on_fake = discriminator_loss("non-saturating", REAL, FAKE)
    assert float(on_real) == pytest.approx(softplus(-REAL).mean(), rel=1e-6)
    assert float(on_fake) == pytest.approx(softplus(FAKE).mean(), rel=1e-6)
    assert float(generator_loss("non-saturating", FAKE)) == pytest.approx(softplus(-FAKE).mean(), rel=1e-6)


@pytest.mark.parametrize("kind", ["hinge", "non-saturating"])
def test_losses_of_half_precision_logits_are_float32(kind):
    half = ops.convert_to_tensor(FAKE, "float16")
    for loss in (*discriminator_loss(kind, half, half), generator_loss(kind, half)):
        assert ops.dtype(loss) == "float32"


@pytest.mark.parametrize(
    "call", [lambda: discriminator_loss("wgan", REAL, FAKE), lambda: generator_loss("", FAKE)]
)
def test_an_unknown_loss_is_bad_input_that_names_the_known_ones(call):
    with pytest.raises(BadInput, match="hinge, non-saturating"):
        call()


def test_r1_of_a_linear_discriminator_is_the_square_of_its_kernel():
    kernel = np.random.default_rng(0).normal(size=(12, 1)).astype(np.float32)

    def logits(x):
        return ops.matmul(ops.reshape(x, (-1, 12)), kernel)

    images = np.random.default_rng(1).normal(size=(5, 2, 2, 3)).astype(np.float32)
    assert float(r1_penalty(logits, ops.convert_to_tensor(images))) == pytest.approx(
        float((kernel**2).sum()), rel=1e-5
    )


def test_r1_averages_each_images_own_gradient():
    """D(x) = |x|^2 has the gradient 2x."""
    images = np.random.default_rng(1).normal(size=(4, 3, 3, 1)).astype(np.float32)
    expected = 4 * (images**2).sum(axis=(1, 2, 3)).mean()
    found = r1_penalty(
        lambda x: ops.sum(ops.square(x), axis=(1, 2, 3))[:, None], ops.convert_to_tensor(images)
    )
    assert float(found) == pytest.approx(float(expected), rel=1e-5)
