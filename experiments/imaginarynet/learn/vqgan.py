"""Training of the tiny VQGAN: pictures through the codebook and back.

Loss: L1 + 0.5 L2 between pixels in [0, 1], + 0.25 commitment (mean square of the encoder's vectors to their
entries). Gradients go past the quantiser to the encoder. The codebook has no gradient: each entry is the
running mean of the vectors that chose it (exponential moving averages of counts and sums), which takes the
place of the codebook term; an entry that is hardly chosen any more becomes a vector of the batch at hand. For
`free_steps` the decoder gets the latents as they are, then all entries begin as such vectors. Published code
has no training; there is neither a perceptual nor an adversarial term, whose networks would have to be
trained as well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.imaginarynet.learn.corpus import Corpus
from experiments.imaginarynet.learn.loop import CURVES, Hooks, Learner, Order, Phase, Tree, fit, optimiser
from experiments.imaginarynet.vqgan import checkpoint, model
from experiments.imaginarynet.vqgan.config import EMBEDDED, VQGANConfig, count_parameters
from experiments.imaginarynet.vqgan.params import init
from suite.errors import BadInput
from suite.manifest import write_json
from suite.seeds import item_rng

STREAM = "t2i.vqgan"
FOLDER = "vqgan"  # below --out
AT_ONCE = 32  # pictures that are measured in one call
HELD_OUT = 256  # pictures of `val` that the curve is measured on; the last figures are of all of them


@dataclass(frozen=True, kw_only=True)
class VQGANRecipe:
    """How to train."""

    phase: Phase = Phase(steps=2000, batch=16, lr=1e-3, weight_decay=1e-4)
    l2: float = 0.5
    commitment: float = 0.25
    free_steps: int = 300  # before the codebook comes in: it is filled when the latents tell pictures apart
    decay: float = 0.98  # of the codebook's running means
    dead_below: float = 0.1  # of an even share of the batch's vectors
    config: VQGANConfig = field(default_factory=lambda: EMBEDDED)


def train(
    corpus: Corpus, recipe: VQGANRecipe, *, seed: int, work: Path, out: Path, hooks: Hooks | None = None
) -> dict[str, Any]:
    """Train on the corpus' pictures and their mirror images; `out` gets vqgan/, curves.csv, training.json.

    Returns what training.json holds. Raises BadInput, Stopped (`loop.fit`).
    """
    pictures, held_out = corpus.part("train").pictures, corpus.part("val").pictures
    check_pictures(pictures, recipe.config)
    if not len(held_out):
        raise BadInput("the corpus has no pictures of `val`", fix="make it again, with more pictures")
    first = int(item_rng(seed, f"{STREAM}.initial", 0).integers(0, 2**32))
    order = Order(seed, STREAM, count=len(pictures), batch=recipe.phase.batch)
    learner = Learner(
        name="vqgan",
        step=make_step(recipe, first),
        batch=lambda step: _batch(pictures, order, step, seed),
        measure=lambda state: measure(state["params"], recipe.config, held_out[:HELD_OUT]),
    )
    state, rows = fit(
        learner, start(recipe, first), recipe.phase, work=work, curves=out / CURVES, hooks=hooks
    )
    checkpoint.save(out / FOLDER, recipe.config, state["params"])
    _, kept = checkpoint.load(out / FOLDER)  # the figures are those of the rounded weights
    mean = pictures.mean(0) / 255
    facts = {
        "parameters": count_parameters(recipe.config),
        "pictures": len(pictures),
        "held_out_pictures": len(held_out),
        **{f"held_out_{name}": value for name, value in measure(kept, recipe.config, held_out).items()},
        "held_out_psnr_of_mean_picture": psnr(np.square(held_out / 255 - mean).mean()),
        "steps": rows[-1]["step"],
        "seed": seed,
        "recipe": asdict(recipe),
    }
    write_json(out / "training.json", facts)
    return facts


def check_pictures(pictures: np.ndarray, config: VQGANConfig) -> None:
    """Raise BadInput for a corpus without pictures, or of another size than the network's."""
    if not len(pictures):
        raise BadInput("the corpus has no pictures of `train`", fix="make it again, with more pictures")
    if pictures.shape[1] != config.resolution:
        have, want = pictures.shape[1], config.resolution
        what = f"the corpus has pictures of {have} pixels, the network is for {want}"
        raise BadInput(what, fix="make the corpus again with that side")


def _batch(pictures: np.ndarray, order: Order, step: int, seed: int) -> np.ndarray:
    """uint8 (B, H, W, 3); every other picture, by chance, mirrored."""
    found = pictures[order.rows(step)]
    mirrored = item_rng(seed, f"{STREAM}.mirror", step).random(len(found)) < 0.5
    return np.where(mirrored[:, None, None, None], found[:, :, ::-1], found)


# --- one step ---


def start(recipe: VQGANRecipe, first: int) -> dict[str, Tree]:
    """The state before the first step; first: seed of the parameters."""
    params = init(recipe.config, jax.random.key(first))
    codebook = params["quantize"]["embedding"]["embedding"]
    return {
        "params": params,
        "moments": optimiser(recipe.phase).init(params),
        "counts": jnp.zeros(len(codebook)),
        "sums": jnp.zeros_like(codebook),
        "step": jnp.zeros((), jnp.int32),
    }


def make_step(recipe: VQGANRecipe, first: int) -> Callable[[Tree, np.ndarray], tuple[Tree, Mapping]]:
    """The compiled step; `first` also seeds which vectors take the place of dead entries."""
    descent = optimiser(recipe.phase)

    @jax.jit
    def step(state: dict[str, Tree], pictures: jax.Array) -> tuple[dict[str, Tree], dict[str, jax.Array]]:
        pixels = pictures.astype(jnp.float32) / 255
        quantised = state["step"] >= recipe.free_steps
        descend = jax.value_and_grad(losses_of, has_aux=True)
        found = descend(state["params"], recipe, pixels, quantised=quantised)
        (_, (losses, vectors, codes)), gradient = found
        updates, moments = descent.update(gradient, state["moments"], state["params"])
        params = optax.apply_updates(state["params"], updates)
        counts, sums = follow(state["counts"], state["sums"], vectors, codes, decay=recipe.decay)
        counts *= quantised  # until then all are dead, so that the first that count are fresh
        key = jax.random.fold_in(jax.random.key(first), state["step"])
        counts, sums, revived = revive(counts, sums, vectors, key, dead_below=recipe.dead_below)
        params["quantize"] = {"embedding": {"embedding": sums / counts[:, None]}}
        after = {"params": params, "moments": moments, "counts": counts, "sums": sums}
        return after | {"step": state["step"] + 1}, losses | {"revived": revived}

    return step


def losses_of(
    params: Tree, recipe: VQGANRecipe, pixels: jax.Array, *, quantised: jax.Array | bool = True
) -> tuple[jax.Array, tuple]:
    """(loss, ({its parts}, vectors (B*h*w, embed_dim), codes (B*h*w,))) of pixels in [0, 1].

    Not quantised: the decoder gets the latents themselves, and nothing draws them to the codebook.
    """
    vectors = model.latents(params, recipe.config, pixels)
    codes, entries = model.quantise(params, jax.lax.stop_gradient(vectors))
    entries = jax.lax.stop_gradient(entries)
    moved = vectors + quantised * jax.lax.stop_gradient(entries - vectors)
    found = model.decode(params, recipe.config, moved)
    l1, l2 = jnp.abs(found - pixels).mean(), jnp.square(found - pixels).mean()
    commitment = jnp.square(vectors - entries).mean()
    loss = l1 + recipe.l2 * l2 + quantised * recipe.commitment * commitment
    parts = {"loss": loss, "l1": l1, "l2": l2, "commitment": commitment}
    return loss, (parts, vectors.reshape(-1, vectors.shape[-1]), codes.reshape(-1))


def follow(
    counts: jax.Array, sums: jax.Array, vectors: jax.Array, codes: jax.Array, *, decay: float
) -> tuple[jax.Array, jax.Array]:
    """Running means, per entry, of how often it was chosen (K,) and of the sum of what chose it (K, D).

    vectors (M, D) chose codes (M,). The entry itself is sums / counts.
    """
    chosen = jax.nn.one_hot(codes, len(counts), dtype=vectors.dtype)
    counts = decay * counts + (1 - decay) * chosen.sum(0)
    return counts, decay * sums + (1 - decay) * chosen.T @ vectors


def revive(
    counts: jax.Array, sums: jax.Array, vectors: jax.Array, key: jax.Array, *, dead_below: float
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Give entries chosen less than `dead_below` of an even share a vector of the batch, and that share.

    Returns counts, sums and how many entries it were (float scalar).
    """
    share = len(vectors) / len(counts)
    dead = counts < dead_below * share
    order = jax.random.permutation(key, len(vectors))
    fresh = vectors[order[jnp.arange(len(counts)) % len(vectors)]]
    counts = jnp.where(dead, share, counts)
    return counts, jnp.where(dead[:, None], share * fresh, sums), dead.sum().astype(jnp.float32)


# --- figures ---


def psnr(mean_square: float) -> float:
    """Decibels for a mean squared difference of pixels in [0, 1]."""
    return float(-10 * np.log10(mean_square))


def measure(params: Tree, config: VQGANConfig, pictures: np.ndarray) -> dict[str, float]:
    """PSNR (dB) of reconstructions, perplexity of the codes, codes in use; pictures uint8 (n, H, W, 3)."""
    codes = encode_all(params, config, pictures)
    square, padded = 0.0, -(-len(codes) // AT_ONCE) * AT_ONCE
    for begin in range(0, padded, AT_ONCE):
        rows = np.arange(begin, begin + AT_ONCE) % len(codes)
        number = min(AT_ONCE, len(codes) - begin)
        found = np.asarray(_decode(params, config, codes[rows]))[:number]
        square += float(np.square(found - pictures[rows[:number]] / 255).sum())
    share = np.bincount(codes.reshape(-1), minlength=config.n_embed) / codes.size
    used = share[share > 0]
    return {
        "psnr": psnr(square / pictures.size),
        "perplexity": float(np.exp(-(used * np.log(used)).sum())),
        "codes_in_use": float(len(used)),
    }


def encode_all(params: Tree, config: VQGANConfig, pictures: np.ndarray) -> np.ndarray:
    """Codes int32 (n, h*w) of pictures uint8 (n, H, W, 3), a fixed number at once."""
    found = []
    for begin in range(0, len(pictures), AT_ONCE):
        rows = np.arange(begin, begin + AT_ONCE) % len(pictures)
        codes = np.asarray(_encode(params, config, pictures[rows]))
        found.append(codes[: len(pictures) - begin])
    return np.concatenate(found)


@jax.jit(static_argnums=1)
def _encode(params: Tree, config: VQGANConfig, pictures: jax.Array) -> jax.Array:
    return model.encode(params, config, pictures.astype(jnp.float32) / 255)


@jax.jit(static_argnums=1)
def _decode(params: Tree, config: VQGANConfig, codes: jax.Array) -> jax.Array:
    return model.decode_codes(params, config, codes)
