import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.imaginarynet.dallebart import model
from experiments.imaginarynet.dallebart.text import unconditional
from tests.imaginarynet.tiny_models import CONFIG, params, text

PARAMS = params()
LOGITS = jax.jit(model.logits, static_argnums=1)
RNG = np.random.default_rng(3)
CODES = RNG.integers(0, CONFIG.codebook, (3, CONFIG.image_length)).astype(np.int32)


def decode_cached(ids, mask, codes_in):
    """Logits (B, S, V), one position after the other, as the sampler computes them."""
    crossed = model.crossed_memories(PARAMS, CONFIG, model.encode(PARAMS, CONFIG, ids, mask))
    past, hidden, rows = model.empty_past(CONFIG, len(ids), jnp.float32), model.hide_text(mask), []
    step = jax.jit(
        lambda token, position, past: model.decode_step(
            PARAMS, CONFIG, token, position, past=past, crossed=crossed, hidden=hidden
        )
    )
    for position in range(codes_in.shape[1]):
        out, past = step(codes_in[:, position], jnp.int32(position), past)
        rows.append(model.head(PARAMS, out))
    return np.stack(rows, axis=1)


def test_decoding_with_the_cache_equals_a_full_recomputation():
    ids, mask = map(jnp.asarray, text(3))
    codes_in = model.shift_right(jnp.asarray(CODES), CONFIG)
    full = np.asarray(LOGITS(PARAMS, CONFIG, ids, mask, codes_in))
    assert full.std() > 0.1  # else anything would agree
    np.testing.assert_allclose(decode_cached(ids, mask, codes_in), full, atol=1e-4)


def test_a_trimmed_text_gives_the_logits_of_a_padded_one():
    ids, mask = text(3)
    real = int(mask.sum(1).max())
    assert real < ids.shape[1]
    codes_in = model.shift_right(jnp.asarray(CODES), CONFIG)
    padded = LOGITS(PARAMS, CONFIG, ids, mask, codes_in)
    trimmed = LOGITS(PARAMS, CONFIG, ids[:, :real], mask[:, :real], codes_in)
    np.testing.assert_allclose(trimmed, padded, atol=1e-5)


def test_what_is_padding_does_not_matter():
    ids, mask = text(3)
    other = np.where(mask == 1, ids, 7)
    first, second = (model.encode(PARAMS, CONFIG, each, mask) for each in (ids, other))
    np.testing.assert_array_equal(np.asarray(first)[mask == 1], np.asarray(second)[mask == 1])


def test_no_position_sees_a_later_code():
    ids, mask = text(3)
    codes_in = np.array(model.shift_right(jnp.asarray(CODES), CONFIG))
    changed = codes_in.copy()
    changed[:, 9:] = (changed[:, 9:] + 1) % CONFIG.codebook
    first, second = (np.asarray(LOGITS(PARAMS, CONFIG, ids, mask, x)) for x in (codes_in, changed))
    np.testing.assert_array_equal(first[:, :9], second[:, :9])
    assert np.abs(first[:, 9:] - second[:, 9:]).min(-1).max() > 0


def test_the_empty_text_and_even_no_text_at_all_give_numbers():
    ids, mask = unconditional(2, CONFIG.text_length)
    assert mask.sum() == 4
    for each in (mask, np.zeros_like(mask)):
        out = LOGITS(PARAMS, CONFIG, ids, each, model.shift_right(jnp.asarray(CODES[:2]), CONFIG))
        assert np.isfinite(out).all()


def test_the_start_id_comes_first_and_the_last_code_is_not_read():
    shifted = np.asarray(model.shift_right(jnp.asarray(CODES), CONFIG))
    assert (shifted[:, 0] == CONFIG.decoder_start).all()
    np.testing.assert_array_equal(shifted[:, 1:], CODES[:, :-1])


def test_every_parameter_has_a_gradient():
    ids, mask = text(3, length=CONFIG.text_length)
    ids[:, :] = RNG.integers(0, CONFIG.text_vocab, ids.shape)
    mask[:] = 1

    def loss(tree):
        out = model.logits(tree, CONFIG, ids, mask, model.shift_right(jnp.asarray(CODES), CONFIG))
        return -jnp.take_along_axis(jax.nn.log_softmax(out), CODES[..., None], -1).mean()

    for path, leaf in jax.tree_util.tree_flatten_with_path(jax.jit(jax.grad(loss))(PARAMS))[0]:
        assert np.abs(leaf).max() > 0, jax.tree_util.keystr(path)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_stays_near_float32_and_gives_float32_logits(dtype):
    ids, mask = text(3)
    codes_in = model.shift_right(jnp.asarray(CODES), CONFIG)
    full = np.asarray(LOGITS(PARAMS, CONFIG, ids, mask, codes_in))
    half = LOGITS(model.cast(PARAMS, dtype), CONFIG, ids, mask, codes_in)
    assert half.dtype == jnp.float32
    assert np.abs(np.asarray(half) - full).max() < {"float16": 0.02, "bfloat16": 0.2}[dtype] * full.std()


def test_a_norm_is_that_of_the_definition():
    x = RNG.normal(size=(4, 8)).astype(np.float32) * 3 + 1
    tree = {"scale": RNG.normal(size=8), "bias": RNG.normal(size=8)}
    by_hand = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(
        model.norm(tree, jnp.asarray(x)), by_hand * tree["scale"] + tree["bias"], atol=1e-5
    )
