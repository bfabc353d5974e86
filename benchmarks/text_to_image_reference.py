"""The procedure of the published code of DALL-E mini, for text_to_image.py: one prompt at a time.

Two passes of batch 1 a step, on the text and on the empty text, each with a cache of self attention; the
text's keys and values are computed at every step from the encoded text, which the loop carries along; the
logits are masked to the top k and a code is drawn over the whole vocabulary. XLA may move out of the loop
what it finds constant, here as there.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.imaginarynet.dallebart import model
from experiments.imaginarynet.dallebart.config import DalleBartConfig
from experiments.imaginarynet.dallebart.text import unconditional

Array = jax.Array


@partial(jax.jit, static_argnames=("config", "scale", "top_k"))
def sample_one(
    params: model.Tree,
    ids: Array,
    mask: Array,
    key: Array,
    *,
    config: DalleBartConfig,
    scale: float,
    top_k: int,
) -> Array:
    """Codes int32 (1, S) of one text (1, T). Special ids can be drawn, as published."""
    passes = ((ids, mask), tuple(map(jnp.asarray, unconditional(1, ids.shape[1]))))
    dtype = params["head"].dtype
    state = tuple(
        (model.encode(params, config, i, m), m, model.empty_past(config, 1, dtype)) for i, m in passes
    )

    def step(carry: tuple[Any, ...], position: Array) -> tuple[tuple[Any, ...], Array]:
        token, key, state = carry
        key, own = jax.random.split(key)
        logits, after = [], []
        for encoded, seen, past in state:
            out, past = model.decode_step(
                params, config, token, position, past=past, hidden=model.hide_text(seen),
                crossed=model.crossed_memories(params, config, encoded),
            )  # fmt: skip
            logits.append(model.head(params, out))
            after.append((encoded, seen, past))
        mixed = logits[1] + scale * (logits[0] - logits[1])
        token = jax.random.categorical(own, _only_top(mixed, top_k), axis=-1).astype(jnp.int32)
        return (token, key, tuple(after)), token

    start = jnp.full((1,), config.decoder_start, jnp.int32)
    _, codes = jax.lax.scan(step, (start, key, state), jnp.arange(config.image_length))
    return codes.T


def sample_all(
    params: model.Tree,
    config: DalleBartConfig,
    ids: np.ndarray,
    mask: np.ndarray,
    *,
    scale: float,
    top_k: int,
) -> np.ndarray:
    """Codes int32 (B, S), text after text; each is waited for before the next, as published."""
    draw = partial(sample_one, params, config=config, scale=scale, top_k=top_k)
    rows = [np.asarray(draw(ids[i : i + 1], mask[i : i + 1], jax.random.key(i))) for i in range(len(ids))]
    return np.concatenate(rows)


def _only_top(logits: Array, count: int) -> Array:
    values, places = jax.lax.top_k(logits, count)
    return jnp.full_like(logits, -jnp.inf).at[jnp.arange(len(logits))[:, None], places].set(values)
