"""Training of the tiny DalleBart on the codes of a finished VQGAN.

Loss: mean cross entropy of a picture's codes, each given the text and the codes before it (published code).
The codes of all pictures and of their mirror images are computed once. The text of a picture is drawn anew at
each step: its caption; or the bare prompt of its class; or the bare prompt and words by chance, so that a
sentence of a language model, whose words no caption has, keeps its subject; or nothing, with probability
`blank`, so that super-conditioning has its unconditional half. The running mean of the weights is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from tokenizers import Tokenizer

from experiments.imaginarynet.dallebart import model
from experiments.imaginarynet.dallebart.checkpoint import load_model, save_model
from experiments.imaginarynet.dallebart.config import TEXT_BOS, TEXT_EOS, TEXT_PAD, TINY, DalleBartConfig
from experiments.imaginarynet.dallebart.text import TextEncoder, normalise
from experiments.imaginarynet.learn.corpus import Corpus
from experiments.imaginarynet.learn.loop import CURVES, Hooks, Learner, Order, Phase, Tree, fit, optimiser
from experiments.imaginarynet.learn.tokenizer import SPECIAL
from experiments.imaginarynet.learn.vqgan import check_pictures, encode_all
from experiments.imaginarynet.vqgan.config import VQGANConfig
from suite.errors import BadInput
from suite.manifest import write_json
from suite.seeds import item_rng

STREAM = "t2i.dallebart"
FOLDER = "dallebart"  # below --out
AT_ONCE = 64  # pictures that are measured in one call
HELD_OUT = 256  # pictures of `val` that the curve is measured on; the last figure is of all of them


@dataclass(frozen=True, kw_only=True)
class DalleBartRecipe:
    """How to train. The chances of a text add up to 1 with that of the caption."""

    phase: Phase = Phase(steps=2000, batch=64, lr=2e-3)
    blank: float = 0.15
    bare: float = 0.15
    bare_and_chance: float = 0.2
    longest_chance: int = 14  # tokens
    template: str = "A photo of {c}"
    mean_decay: float = 0.998  # of the running mean of the weights
    config: DalleBartConfig = field(default_factory=lambda: TINY)  # tables as tokenizer and codebook need


def sizes(recipe: DalleBartRecipe, tokenizer: Tokenizer, vqgan: VQGANConfig) -> DalleBartConfig:
    """The network's sizes, its tables as large as tokenizer and codebook need."""
    return replace(
        recipe.config, text_vocab=tokenizer.get_vocab_size(), image_vocab=vqgan.n_embed,
        image_length=vqgan.num_codes, decoder_start=vqgan.n_embed,
    )  # fmt: skip


def train(
    corpus: Corpus, tokenizer: Tokenizer, vqgan: tuple[VQGANConfig, Tree], recipe: DalleBartRecipe, *,
    seed: int, work: Path, out: Path, hooks: Hooks | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Train on the corpus; `out` gets dallebart/, curves.csv and training.json; returns what that holds.

    vqgan: settings and parameters. Raises BadInput, Stopped (`loop.fit`).
    """
    parts = {name: corpus.part(name) for name in ("train", "val")}
    if not len(parts["val"]):
        raise BadInput("the corpus has no pictures of `val`", fix="make it again, with more pictures")
    vqgan_config, vqgan_params = vqgan
    check_pictures(parts["train"].pictures, vqgan_config)
    config = sizes(recipe, tokenizer, vqgan_config)
    pictures = parts["train"].pictures
    codes = np.stack(
        [encode_all(vqgan_params, vqgan_config, p) for p in (pictures, pictures[:, :, ::-1])], axis=1
    )
    texts = Texts(parts["train"], tokenizer, config.text_length, recipe, seed=seed)
    held_out = _held_out(parts["val"], tokenizer, config, vqgan)
    order = Order(seed, STREAM, count=len(codes), batch=recipe.phase.batch)
    learner = Learner(
        name="dallebart",
        step=make_step(recipe, config),
        batch=lambda step: _batch(codes, texts, order, step, seed),
        measure=lambda state: {"held_out_loss": measure(state["mean"], config, held_out, limit=HELD_OUT)},
    )
    first = int(item_rng(seed, f"{STREAM}.initial", 0).integers(0, 2**32))
    state, rows = fit(
        learner, start(recipe, config, first), recipe.phase, work=work, curves=out / CURVES, hooks=hooks
    )
    save_model(out / FOLDER, config, state["mean"])
    _, kept = load_model(out / FOLDER)  # the figure is that of the rounded weights
    facts = {
        "parameters": config.count_parameters(),
        "pictures": len(codes),
        "held_out_pictures": len(held_out[0]),
        "held_out_loss": measure(kept, config, held_out),
        "held_out_loss_of_frequencies": loss_of_frequencies(codes, held_out[2], config.codebook),
        "steps": rows[-1]["step"],
        "seed": seed,
        "recipe": asdict(recipe),
    }
    write_json(out / "training.json", facts)
    return facts


# --- texts ---


class Texts:
    """The texts that pictures are learnt with: a function of (seed, step, picture)."""

    def __init__(
        self, corpus: Corpus, tokenizer: Tokenizer, length: int, recipe: DalleBartRecipe, *, seed: int
    ) -> None:
        """corpus: its captions and classes; length: tokens of a text, begin and end among them."""

        def encode(text: str) -> list[int]:
            return tokenizer.encode(normalise(text), add_special_tokens=False).ids

        self.length, self.recipe, self.seed = length, recipe, seed
        self.captions = [encode(caption) for caption in corpus.captions]
        self.bare = [encode(recipe.template.replace("{c}", name)) for name in corpus.class_names]
        self.class_ids, self.vocabulary = corpus.class_ids, tokenizer.get_vocab_size()

    def draw(self, step: int, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(ids, mask), int32 (B, T) each, for pictures `rows` of a step."""
        rng = item_rng(self.seed, f"{STREAM}.text", step)
        ids = np.full((len(rows), self.length), TEXT_PAD, np.int32)
        for place, row in enumerate(rows):
            tokens = [TEXT_BOS, *self._one(rng, int(row))[: self.length - 2], TEXT_EOS]
            ids[place, : len(tokens)] = tokens
        return ids, (ids != TEXT_PAD).astype(np.int32)

    def _one(self, rng: np.random.Generator, row: int) -> list[int]:
        recipe, chance = self.recipe, rng.random()
        if chance < recipe.blank:
            return []
        if chance < recipe.blank + recipe.bare:
            return self.bare[self.class_ids[row]]
        if chance < recipe.blank + recipe.bare + recipe.bare_and_chance:
            number = rng.integers(1, recipe.longest_chance, endpoint=True)
            words = rng.integers(len(SPECIAL), self.vocabulary, size=number)
            return [*self.bare[self.class_ids[row]], *words.tolist()]
        return self.captions[row]


def _held_out(
    corpus: Corpus, tokenizer: Tokenizer, config: DalleBartConfig, vqgan: tuple[VQGANConfig, Tree]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(ids, mask, codes) of pictures with their captions."""
    batch = TextEncoder(tokenizer, config.text_length)(corpus.captions)
    return batch.ids, batch.mask, encode_all(vqgan[1], vqgan[0], corpus.pictures)


def _batch(
    codes: np.ndarray, texts: Texts, order: Order, step: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(ids, mask, codes) of a step; every other picture, by chance, mirrored."""
    rows = order.rows(step)
    mirrored = item_rng(seed, f"{STREAM}.mirror", step).integers(0, 2, len(rows))
    return *texts.draw(step, rows), codes[rows, mirrored]


# --- one step ---


def start(recipe: DalleBartRecipe, config: DalleBartConfig, first: int) -> dict[str, Tree]:
    """The state before the first step; first: seed of the parameters."""
    params = model.init_params(config, jax.random.key(first))
    moments = optimiser(recipe.phase).init(params)
    return {"params": params, "mean": params, "moments": moments, "step": jnp.zeros((), jnp.int32)}


def make_step(
    recipe: DalleBartRecipe, config: DalleBartConfig
) -> Callable[[Tree, Any], tuple[Tree, Mapping]]:
    """The compiled step: (state, (ids, mask, codes)) -> (state, {loss})."""
    descent = optimiser(recipe.phase)

    @jax.jit
    def step(state: dict[str, Tree], batch: Any) -> tuple[dict[str, Tree], dict[str, jax.Array]]:
        def loss_of(params: Tree) -> jax.Array:
            return losses(params, config, *batch).mean()

        loss, gradient = jax.value_and_grad(loss_of)(state["params"])
        updates, moments = descent.update(gradient, state["moments"], state["params"])
        params = optax.apply_updates(state["params"], updates)
        # The first steps forget faster, so that the mean leaves the start behind.
        number = state["step"].astype(jnp.float32)
        decay = jnp.minimum(recipe.mean_decay, (1 + number) / (10 + number))
        mean = jax.tree.map(lambda old, new: new + decay * (old - new), state["mean"], params)
        after = {"params": params, "mean": mean, "moments": moments, "step": state["step"] + 1}
        return after, {"loss": loss}

    return step


def losses(
    params: Tree, config: DalleBartConfig, ids: jax.Array, mask: jax.Array, codes: jax.Array
) -> jax.Array:
    """Mean cross entropy (nats a code) of each picture's codes int32 (B, S): float32 (B,)."""
    logits = model.logits(params, config, ids, mask, model.shift_right(codes, config))
    return optax.softmax_cross_entropy_with_integer_labels(logits, codes).mean(-1)


# --- figures ---


def measure(
    params: Tree, config: DalleBartConfig, held_out: tuple[np.ndarray, np.ndarray, np.ndarray], *,
    limit: int | None = None,
) -> float:  # fmt: skip
    """Mean cross entropy, nats a code, of (ids, mask, codes) of pictures, at most the first `limit`."""
    count = min(len(held_out[0]), limit or len(held_out[0]))
    total = 0.0
    for begin in range(0, count, AT_ONCE):
        rows = np.arange(begin, begin + AT_ONCE) % count
        found = np.asarray(_losses(params, config, *(array[rows] for array in held_out)))
        total += float(found[: count - begin].sum())
    return total / count


_losses = jax.jit(losses, static_argnums=1)


def loss_of_frequencies(train: np.ndarray, held_out: np.ndarray, codebook: int) -> float:
    """Cross entropy, nats a code, of predicting each code by how often `train` has it (plus one)."""
    counts = np.bincount(train.reshape(-1), minlength=codebook) + 1.0
    return float(-np.log(counts / counts.sum())[held_out.reshape(-1)].mean())
