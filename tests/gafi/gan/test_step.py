"""What the networks see in a step, and what of it moves them."""

from dataclasses import replace

import numpy as np
import pytest
from keras import ops

from experiments.gafi.config_sections import GanLoss
from experiments.gafi.gan.step import GanStep, basket_size, flip, initial_state
from experiments.gafi.nn.backend import make_key, to_numpy
from tests.gafi.gan.stubs import CLASSES, LATENT, networks, pictures, script

IMAGES, LABELS = pictures(9)
BASKET = 6  # batch_size 2 x 3 updates


def keys(number=0):
    return np.stack([make_key(1, "latents", number), make_key(1, "flips", number)])


def run(settings, *, steps=1, half=False, index=None):
    """(networks, first state, last state, losses of the last step) as arrays of the host."""
    nets = networks()
    step = GanStep(nets, settings, half=half)
    state = first = initial_state(nets, settings)
    first = to_numpy(first)
    index = np.arange(basket_size(settings), dtype=np.int32) if index is None else index
    for number in range(steps):
        state, losses = step.compute(
            state, ops.convert_to_tensor(IMAGES), ops.convert_to_tensor(LABELS, "int32"),
            ops.convert_to_tensor(index), ops.convert_to_tensor(keys(number)),
        )  # fmt: skip
    return nets, first, to_numpy(state), to_numpy(losses)


def plain(**settings):
    return script(data={"horizontal_flip": False}, **settings)


def assert_equal(one, other):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


def differ(one, other):
    return any((a != b).any() for a, b in zip(one, other, strict=True))


# -- what the networks see ----------------------------------------------------------------------------


def test_three_updates_of_d_see_the_same_real_bytes_after_three_different_fakes():
    nets, *_ = run(plain())
    batches = [images for images, _ in nets.discriminator.seen[:3]]
    assert [len(images) for images in batches] == [2 * BASKET] * 3
    for images in batches:
        assert images[BASKET:].tobytes() == IMAGES[:BASKET].tobytes()
    fakes = {images[:BASKET].tobytes() for images in batches}
    latents = {z.tobytes() for z, _ in nets.generator.seen}
    assert len(fakes) == 3
    assert len(latents) == 4  # of the G update, too
    assert all(z.shape == (BASKET, LATENT) for z, _ in nets.generator.seen)


def test_fakes_have_the_labels_of_the_real_batch():
    nets, *_ = run(plain())
    for _, labels in nets.discriminator.seen[:3]:
        assert labels.tolist() == 2 * LABELS[:BASKET].tolist()
    assert all(labels.tolist() == LABELS[:BASKET].tolist() for _, labels in nets.generator.seen)


def test_the_index_says_which_pictures_are_in_the_basket():
    index = np.array([8, 0, 3, 3, 7, 1], np.int32)
    nets, *_ = run(plain(), index=index)
    np.testing.assert_array_equal(nets.discriminator.seen[0][0][BASKET:], IMAGES[index])


def test_split_baskets_give_each_update_of_d_its_own_part():
    nets, *_ = run(plain(split_batch_d_steps=True))
    for number, (images, labels) in enumerate(nets.discriminator.seen[:3]):
        part = slice(2 * number, 2 * number + 2)
        np.testing.assert_array_equal(images[2:], IMAGES[part])
        assert labels.tolist() == 2 * LABELS[part].tolist()
    assert len(nets.discriminator.seen[3][0]) == BASKET  # the G update has the whole basket


def test_random_labels_are_drawn_for_fakes_alone_and_anew_for_each_update():
    nets, *_ = run(plain(random_labels=True, batch_size=3))
    fakes = [labels[:9] for _, labels in nets.discriminator.seen[:3]]
    assert all(labels[9:].tolist() == LABELS.tolist() for _, labels in nets.discriminator.seen[:3])
    assert len({labels.tobytes() for labels in fakes}) == 3
    assert set(np.concatenate(fakes)) <= set(range(CLASSES))
    assert [labels.tolist() for _, labels in nets.generator.seen[:3]] == [f.tolist() for f in fakes]
    assert nets.generator.seen[3][1].tolist() == nets.discriminator.seen[3][1].tolist()


def test_acml_steps_make_the_basket_larger_and_nothing_else():
    assert basket_size(plain(acml_steps=2)) == 2 * basket_size(plain()) == 2 * BASKET


@pytest.mark.parametrize(("g_updates", "passes"), [(1, 4), (3, 6)])
def test_every_pass_of_a_step_moves_the_vectors_u_of_both_networks(g_updates, passes):
    _, _, state, _ = run(plain(g_updates_per_step=g_updates))
    assert float(state.generator.other[1]) == float(state.discriminator.other[0]) == passes


def test_moving_statistics_of_g_move_in_updates_of_d_too():
    nets, _, state, _ = run(plain())
    mean = np.zeros(LATENT)
    for z, _ in nets.generator.seen:
        mean = 0.9 * mean + 0.1 * z.mean(axis=0)
    np.testing.assert_allclose(state.generator.other[0], mean, rtol=1e-5)


def test_flips_turn_half_of_the_pictures_and_the_basket_keeps_them_for_all_updates():
    nets, *_ = run(script())
    batches = [images[BASKET:] for images, _ in nets.discriminator.seen[:3]]
    assert batches[0].tobytes() == batches[1].tobytes() == batches[2].tobytes()
    turned = [not np.array_equal(a, b) for a, b in zip(batches[0], IMAGES, strict=False)]
    for image, source, is_turned in zip(batches[0], IMAGES, turned, strict=False):
        np.testing.assert_array_equal(image, source[:, ::-1] if is_turned else source)
    many = np.tile(np.float32([[[0.0], [1.0]]]), (4000, 1, 1, 1))
    found = np.asarray(flip(ops.convert_to_tensor(many), ops.convert_to_tensor(keys()[1])))
    assert abs((found[:, 0, 0, 0] == 1).mean() - 0.5) < 0.03


# -- what moves ---------------------------------------------------------------------------------------


def test_the_generators_gradient_moves_no_weight_of_d():
    settings = plain()
    frozen = replace(settings, OPTIMIZATION=replace(settings.OPTIMIZATION, d_lr=0.0))
    _, first, state, _ = run(frozen)
    assert_equal(first.discriminator.trainable, state.discriminator.trainable)
    assert differ(first.generator.trainable, state.generator.trainable)


def test_updates_of_d_move_no_weight_of_g():
    settings = plain()
    frozen = replace(settings, OPTIMIZATION=replace(settings.OPTIMIZATION, g_lr=0.0))
    _, first, state, _ = run(frozen)
    assert_equal(first.generator.trainable, state.generator.trainable)
    assert differ(first.discriminator.trainable, state.discriminator.trainable)


def test_the_losses_are_those_of_the_last_update():
    settings = plain(d_updates_per_step=1, batch_size=BASKET)
    nets, first, _, losses = run(settings)
    images, _ = nets.discriminator.seen[0]
    logits = images.reshape(2 * BASKET, -1) @ first.discriminator.trainable[0]
    assert losses[0] == pytest.approx(np.maximum(0, 1 - logits[BASKET:]).mean(), rel=1e-5)
    assert losses[1] == pytest.approx(np.maximum(0, 1 + logits[:BASKET]).mean(), rel=1e-5)


def test_adam_counts_three_updates_of_d_and_one_of_g_per_step():
    _, _, state, _ = run(plain(), steps=2)
    assert (float(state.d_slots[0]), float(state.g_slots[0]), int(state.step)) == (6, 2, 2)


def test_r1_adds_the_kernels_square_to_the_loss_of_a_linear_d():
    nets = networks()
    settings = replace(plain(), LOSS=GanLoss(grad_penalty_type="r1", grad_penalty_cost=10.0))
    state = initial_state(nets, settings)
    labels = ops.convert_to_tensor(LABELS, "int32")
    loss, ((on_real, on_fake), _) = GanStep(nets, settings)._d_loss(
        state.discriminator.trainable, state.discriminator.other, ops.convert_to_tensor(-IMAGES), labels,
        ops.convert_to_tensor(IMAGES), labels,
    )  # fmt: skip
    square = float((np.asarray(nets.discriminator.kernel.value) ** 2).sum())
    assert float(loss - on_real - on_fake) == pytest.approx(10 * square, rel=1e-4)


def test_r1_shrinks_the_discriminator_through_its_second_derivative():
    strong = replace(plain(), LOSS=GanLoss(grad_penalty_type="r1", grad_penalty_cost=1e4))
    _, first, state, _ = run(strong, steps=3)
    assert (
        np.square(state.discriminator.trainable[0]).sum() < np.square(first.discriminator.trainable[0]).sum()
    )


def test_the_non_saturating_loss_is_another_step():
    other = replace(plain(), LOSS=GanLoss(type="non-saturating"))
    assert differ([run(plain())[3]], [run(other)[3]])


def test_the_average_is_the_generator_up_to_the_start_and_follows_it_then():
    settings = plain()  # g_ema_start 2, decay 0.9
    states = [run(settings, steps=n)[2] for n in (2, 3)]
    for part in ("trainable", "other"):
        assert_equal(getattr(states[0].ema, part), getattr(states[0].generator, part))
        for found, old, new in zip(
            getattr(states[1].ema, part), getattr(states[0].ema, part), getattr(states[1].generator, part),
            strict=True,
        ):  # fmt: skip
            np.testing.assert_allclose(found, 0.9 * old + 0.1 * new, atol=1e-6)


def test_without_an_average_the_generator_is_what_is_drawn_from():
    _, _, state, _ = run(plain(apply_g_ema=False), steps=3)
    assert state.ema.trainable == []
    assert_equal(state.sampler.trainable, state.generator.trainable)
    _, _, averaged, _ = run(plain(), steps=3)
    assert_equal(averaged.sampler.trainable, averaged.ema.trainable)
    assert differ(averaged.ema.trainable, averaged.generator.trainable)


def test_a_step_is_a_function_of_state_pictures_and_keys():
    one, other = run(script(), steps=2), run(script(), steps=2)
    assert_equal([*one[2].generator.trainable, one[3]], [*other[2].generator.trainable, other[3]])


def test_scaled_losses_of_half_precision_give_the_same_step():
    """The scale is a power of two: float32 networks must not notice it."""
    one, other = run(plain(), steps=2), run(plain(), steps=2, half=True)
    assert_equal(one[2].generator.trainable, other[2].generator.trainable)
    assert_equal(one[2].discriminator.trainable, other[2].discriminator.trainable)
