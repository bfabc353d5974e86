"""Drawing pictures' codes: super-conditioning, top-k and top-p, one code after the other.

    codes = sample(params, config, ids, mask, seeds, condition_scale=10.0, top_k=50)

Source: published code of DALL-E mini (`generate`). What differs: the text's keys and values are computed
once and not at every step; conditional and unconditional rows go through the network together; only codes
can be drawn, where the published code may draw a special id, which its image tokenizer turns into NaN; and
each picture has a random key of its own, so that it does not depend on its neighbours in the batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from experiments.imaginarynet.dallebart import model
from experiments.imaginarynet.dallebart.config import DalleBartConfig
from experiments.imaginarynet.dallebart.text import unconditional

Array = jax.Array


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How a code is chosen. Defaults are the published setting, where "None" comes to top-k 50."""

    condition_scale: float = 10.0  # 1: the text alone, without the second pass; 0: no text
    top_k: int = 50  # 0: all codes
    top_p: float = 1.0
    temperature: float = 1.0


def sample(
    params: model.Tree, config: DalleBartConfig, text_ids: np.ndarray, mask: np.ndarray, seeds: np.ndarray, *,
    condition_scale: float = 10.0, top_k: int = 50, top_p: float = 1.0, temperature: float = 1.0,
) -> Array:  # fmt: skip
    """Codes of one picture per text, int32 (B, S), each in 0..codebook-1; -1 where a logit is not finite.

    text_ids, mask: int32 (B, T); seeds: uint64 (B,), one per picture. A row depends on its own text and
    seed alone; another batch size may round differently. Compiled once per shape and setting.
    """
    sampling = Sampling(condition_scale=condition_scale, top_k=top_k, top_p=top_p, temperature=temperature)
    ids, mask = jnp.asarray(text_ids, jnp.int32), jnp.asarray(mask, jnp.int32)
    return _compiled(params, ids, mask, split_seeds(seeds), config=config, sampling=sampling)


def split_seeds(seeds: np.ndarray) -> np.ndarray:
    """Seeds of 64 bits (B,) -> uint32 (B, 2), high word first: the data of a random key each."""
    seeds = np.asarray(seeds, np.uint64)
    words = np.stack([seeds >> np.uint64(32), seeds & np.uint64(0xFFFFFFFF)], axis=-1)
    return words.astype(np.uint32)


def draw(
    params: model.Tree, ids: Array, mask: Array, words: Array, *, config: DalleBartConfig, sampling: Sampling
) -> Array:
    """`sample` to be used inside a compiled function; words: `split_seeds(seeds)`."""
    keys = jax.random.wrap_key_data(words, impl="threefry2x32")
    batch = ids.shape[0]
    guided = sampling.condition_scale != 1.0
    if guided:
        empty_ids, empty_mask = unconditional(batch, ids.shape[1])
        ids, mask = jnp.concatenate([ids, empty_ids]), jnp.concatenate([mask, empty_mask])
    # Sliced outside of the loop: special ids are not even computed.
    params = {**params, "head": params["head"][:, : config.codebook]}
    crossed = model.crossed_memories(params, config, model.encode(params, config, ids, mask))
    hidden = model.hide_text(mask)

    def step(carry: tuple[Array, list[model.Memory]], position: Array) -> tuple[tuple, Array]:
        token, past = carry
        rows = jnp.concatenate([token, token]) if guided else token
        out, past = model.decode_step(
            params, config, rows, position, past=past, crossed=crossed, hidden=hidden
        )
        scores = model.head(params, out)
        if guided:
            scores = mix(scores[:batch], scores[batch:], sampling.condition_scale)
        at = jax.vmap(jax.random.fold_in, (0, None))(keys, position)
        token = choose(scores, at, sampling)
        return (token, past), jnp.where(jnp.isfinite(scores).all(-1), token, -1)

    past = model.empty_past(config, ids.shape[0], params["head"].dtype)
    start = jnp.full((batch,), config.decoder_start, jnp.int32)
    _, codes = jax.lax.scan(step, (start, past), jnp.arange(config.image_length))
    return codes.T


_compiled = partial(jax.jit, static_argnames=("config", "sampling"))(draw)


def mix(conditional: Array, unconditional: Array, scale: float) -> Array:
    """Super-conditioning of logits: away from the empty text, by `scale`; 1 gives `conditional`."""
    return unconditional + scale * (conditional - unconditional)


def choose(scores: Array, keys: Array, sampling: Sampling) -> Array:
    """One id per row: int32 (B,) for logits (B, V) and random keys (B,).

    Temperature, then the `top_k` highest, then of these the fewest that have `top_p` of the probability
    (the first always): the order of the published code.
    """
    scores, ids = scores / sampling.temperature, None
    kept = min(sampling.top_k or scores.shape[-1], scores.shape[-1])
    if kept < scores.shape[-1] or sampling.top_p < 1.0:
        scores, ids = jax.lax.top_k(scores, kept)
    if sampling.top_p < 1.0:
        shares = jax.nn.softmax(scores, axis=-1)
        before = jnp.cumsum(shares, axis=-1) - shares
        scores = jnp.where(before < sampling.top_p, scores, -jnp.inf).at[:, 0].set(scores[:, 0])
    noise = jax.vmap(lambda key: jax.random.gumbel(key, scores.shape[-1:], jnp.float32))(keys)
    best = jnp.argmax(scores + noise, axis=-1)
    if ids is not None:
        best = jnp.take_along_axis(ids, best[:, None], axis=-1)[:, 0]
    return best.astype(jnp.int32)
