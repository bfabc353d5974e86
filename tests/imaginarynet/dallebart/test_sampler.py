from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.imaginarynet.dallebart import model
from experiments.imaginarynet.dallebart.sampler import Sampling, choose, mix, sample, split_seeds
from experiments.imaginarynet.dallebart.text import unconditional
from tests.imaginarynet.tiny_models import CONFIG, params, seeds, text

PARAMS = params()
SETTING = {"condition_scale": 3.0, "top_k": 20, "top_p": 1.0, "temperature": 1.0}


def drawn(ids, mask, numbers, **changes):
    return np.asarray(sample(PARAMS, CONFIG, ids, mask, numbers, **{**SETTING, **changes}))


def keys(count, *, seed=0):
    return jax.random.wrap_key_data(split_seeds(seeds(count, seed=seed)), impl="threefry2x32")


LOGITS = jax.jit(
    lambda ids, mask, codes: model.logits(PARAMS, CONFIG, ids, mask, model.shift_right(codes, CONFIG))
)


def logits_of(ids, mask, codes):
    return np.asarray(LOGITS(ids, mask, jnp.asarray(codes, jnp.int32)))[..., : CONFIG.codebook]


# --- a picture depends on its own text and seed alone ---


def test_codes_do_not_depend_on_the_order_of_the_batch():
    (ids, mask), numbers = text(8), seeds(8)
    order = np.random.default_rng(1).permutation(8)
    np.testing.assert_array_equal(
        drawn(ids[order], mask[order], numbers[order]), drawn(ids, mask, numbers)[order]
    )


def test_codes_do_not_depend_on_what_fills_the_batch():
    (ids, mask), numbers = text(8), seeds(8)
    whole = drawn(ids, mask, numbers)
    ids[5:], mask[5:], numbers[5:] = ids[4], mask[4], numbers[4]
    np.testing.assert_array_equal(drawn(ids, mask, numbers)[:5], whole[:5])


def test_another_batch_size_leaves_at_least_99_percent_of_the_sequences():
    (ids, mask), numbers = text(200), seeds(200)
    whole = drawn(ids, mask, numbers)
    for size in (8, 40):
        parts = [
            drawn(ids[i : i + size], mask[i : i + size], numbers[i : i + size]) for i in range(0, 200, size)
        ]
        assert (np.concatenate(parts) == whole).all(1).mean() >= 0.99


def test_another_seed_gives_another_picture_of_the_same_text():
    ids, mask = (np.repeat(each[:1], 16, axis=0) for each in text(1))
    assert len({row.tobytes() for row in drawn(ids, mask, seeds(16))}) == 16


def test_all_64_bits_of_a_seed_matter():
    ids, mask = (np.repeat(each[:1], 3, axis=0) for each in text(1))
    rows = drawn(ids, mask, np.array([5, 5 + 2**40, 6], np.uint64))
    assert len({row.tobytes() for row in rows}) == 3


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=5))
def test_a_seed_is_split_into_its_two_words(numbers):
    words = split_seeds(np.array(numbers, np.uint64))
    assert words.dtype == np.uint32
    assert [(int(high) << 32) + int(low) for high, low in words] == numbers


# --- super-conditioning ---


@given(st.floats(-20, 20), st.integers(0, 2**32 - 1))
def test_mixed_logits_are_linear_in_the_scale(scale, seed):
    c, u = np.random.default_rng(seed).normal(size=(2, 3, 7)).astype(np.float32)
    by_hand = (1 - scale) * u.astype(np.float64) + scale * c.astype(np.float64)
    np.testing.assert_allclose(mix(c, u, np.float32(scale)), by_hand, atol=1e-5 * max(1.0, abs(scale)))
    np.testing.assert_array_equal(mix(c, u, 0.0), u)
    np.testing.assert_allclose(mix(c, u, 1.0), c, atol=1e-5)


def test_scale_1_draws_from_the_text_alone():
    (ids, mask), numbers = text(8), seeds(8)
    exactly, nearly = (
        drawn(ids, mask, numbers, condition_scale=1.0),
        drawn(ids, mask, numbers, condition_scale=1 + 1e-6),
    )
    assert (exactly == nearly).all(1).mean() >= 0.8  # the second goes through both passes


def test_scale_0_does_not_look_at_the_text():
    (ids, mask), numbers = text(8), seeds(8)
    empty, empty_mask = unconditional(8, ids.shape[1])
    of_text = drawn(ids, mask, numbers, condition_scale=0.0)
    np.testing.assert_array_equal(of_text, drawn(empty, empty_mask, numbers, condition_scale=0.0))


def test_both_passes_in_one_batch_give_the_logits_of_two():
    ids, mask = text(8)
    empty, empty_mask = unconditional(8, ids.shape[1])
    codes = np.random.default_rng(0).integers(0, CONFIG.codebook, (8, CONFIG.image_length))
    both = logits_of(np.concatenate([ids, empty]), np.concatenate([mask, empty_mask]), np.tile(codes, (2, 1)))
    two = np.concatenate([logits_of(ids, mask, codes), logits_of(empty, empty_mask, codes)])
    np.testing.assert_allclose(both, two, atol=1e-5)


def test_the_greedy_sequence_is_the_best_code_of_each_mixed_logit():
    (ids, mask), numbers = text(8), seeds(8)
    codes = drawn(ids, mask, numbers, top_k=1, condition_scale=3.0)
    empty, empty_mask = unconditional(8, ids.shape[1])
    mixed = mix(logits_of(ids, mask, codes), logits_of(empty, empty_mask, codes), 3.0)
    taken = np.take_along_axis(mixed, codes[..., None], -1)[..., 0]
    np.testing.assert_allclose(taken, mixed.max(-1), atol=1e-3)


def test_the_scale_pulls_codes_towards_the_text():
    (ids, mask), numbers = text(8), seeds(8)
    empty, empty_mask = unconditional(8, ids.shape[1])

    def lead(scale):
        codes = drawn(ids, mask, numbers, condition_scale=scale, top_k=0)
        c, u = logits_of(ids, mask, codes), logits_of(empty, empty_mask, codes)
        return np.take_along_axis(c - u, codes[..., None], -1).mean()

    assert lead(0.0) < lead(1.0) < lead(4.0)


# --- choosing a code ---


def test_ten_thousand_draws_of_random_weights_are_codes():
    special = replace(CONFIG, image_vocab=CONFIG.image_vocab + 5)  # ids above the codes, as in mega
    tree = params(special)
    tree["head"] = tree["head"].at[:, special.codebook :].set(100.0)  # they would always win
    ids, mask = text(640)
    codes = np.asarray(sample(tree, special, ids, mask, seeds(640), condition_scale=10.0, top_k=50))
    assert codes.size >= 10_000 and codes.min() >= 0 and codes.max() < special.codebook


def test_top_k_draws_from_exactly_the_k_best():
    scores = np.random.default_rng(0).permutation(401).astype(np.float32) / 100
    found = choose(jnp.tile(scores, (4000, 1)), keys(4000), Sampling(top_k=50))
    assert set(np.asarray(found)) == set(np.argsort(scores)[-50:])


def test_frequencies_follow_the_softmax():
    scores = np.array([0.0, 1.0, 2.0, -1.0, 0.5], np.float32)
    found = np.asarray(
        choose(jnp.tile(scores, (20_000, 1)), keys(20_000), Sampling(top_k=0, temperature=1.5))
    )
    shares = np.exp(scores / 1.5) / np.exp(scores / 1.5).sum()
    deviation = np.sqrt(shares * (1 - shares) / 20_000)
    assert (np.abs(np.bincount(found, minlength=5) / 20_000 - shares) < 4.5 * deviation).all()


@settings(deadline=None, max_examples=20)
@given(st.floats(0.05, 0.99), st.integers(0, 2**32 - 1))
def test_top_p_draws_from_the_fewest_that_have_p(top_p, seed):
    scores = np.random.default_rng(seed).normal(size=12).astype(np.float32) * 2
    order = np.argsort(-scores)
    shares = np.exp(scores[order]) / np.exp(scores).sum()
    before = np.concatenate([[0], np.cumsum(shares)[:-1]])
    if np.abs(before - top_p).min() < 1e-5:
        return  # rounding decides there
    allowed = set(order[before < top_p])
    found = choose(jnp.tile(scores, (400, 1)), keys(400), Sampling(top_k=0, top_p=top_p))
    assert set(np.asarray(found)) <= allowed
    assert order[0] in allowed


def test_logits_that_are_no_numbers_are_told_and_not_drawn():
    broken = {**PARAMS, "head": PARAMS["head"] * jnp.inf}
    (ids, mask), numbers = text(2), seeds(2)
    assert (np.asarray(sample(broken, CONFIG, ids, mask, numbers)) == -1).all()
