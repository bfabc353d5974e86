"""The compiled step of a real BigGAN-deep against the same operations one by one, in float32."""

import numpy as np
import pytest
from keras import ops

from experiments.gafi.config_ours import ComputeSection
from experiments.gafi.gan.step import basket_size
from experiments.gafi.gan.train import GanTrainer
from tests.gafi.gan.stubs import script

STEPS, SIZE = 5, 16
TOLERANCE = 1e-4  # of the losses, relative (float32, sums in another order)


@pytest.fixture(scope="module")
def trainers():
    settings = script(g_depth=1, d_depth=1, data={"image_size": SIZE}, lr=2e-4)
    return [
        GanTrainer(settings, ComputeSection(xla_gan=xla), num_classes=3, channels=1, seed=5)
        for xla in (False, True)
    ]


@pytest.fixture(scope="module")
def eager(trainers):
    return losses_of(trainers[0], trainers[0].step.compute)


def losses_of(trainer, step):
    rng = np.random.default_rng(0)
    images = ops.convert_to_tensor(rng.uniform(-1, 1, (30, SIZE, SIZE, 1)), "float32")
    labels = ops.convert_to_tensor(rng.integers(0, 3, 30), "int32")
    state, found, basket = trainer.initial(), [], basket_size(trainer.script)
    for number in range(STEPS):
        index = np.arange(number * basket, (number + 1) * basket, dtype=np.int32)
        state, losses = step(
            state, images, labels, ops.convert_to_tensor(index), trainer.keys(number, number)
        )
        found.append(np.asarray(losses))
    return np.array(found)


@pytest.mark.slow
@pytest.mark.parametrize("xla", [False, True])
def test_five_compiled_steps_have_the_losses_of_eager_ones(trainers, eager, xla):
    trainer = trainers[xla]
    np.testing.assert_allclose(losses_of(trainer, trainer.step), eager, rtol=TOLERANCE, atol=TOLERANCE)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_steps_are_finite_keep_float32_weights_and_come_close(eager, precision):
    settings = script(g_depth=1, d_depth=1, data={"image_size": SIZE}, lr=2e-4)
    trainer = GanTrainer(settings, ComputeSection(precision=precision), num_classes=3, channels=1, seed=5)
    state = trainer.initial()
    found = losses_of(trainer, trainer.step.compute)
    assert all(ops.dtype(value) == "float32" for value in (*state.generator.trainable, *state.ema.other))
    assert (found[0] != eager[0]).any()
    # bfloat16 keeps 8 bits of a number, and losses are of the size of 10.
    np.testing.assert_allclose(found[0], eager[0], rtol=0.05, atol=0.1)


def test_trainers_of_two_seeds_begin_from_other_weights_and_one_seed_from_the_same():
    settings = script(g_depth=1, d_depth=1, data={"image_size": SIZE})
    one, again, other = (
        GanTrainer(settings, ComputeSection(), num_classes=3, channels=1, seed=seed).initial()
        for seed in (1, 1, 2)
    )
    kernels = [np.concatenate([np.ravel(v) for v in s.generator.trainable]) for s in (one, again, other)]
    np.testing.assert_array_equal(kernels[0], kernels[1])
    assert (kernels[0] != kernels[2]).any()
