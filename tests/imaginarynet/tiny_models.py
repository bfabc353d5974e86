"""Models of DALL-E mini with random weights, small enough for tests, in the layout of embedded-tiny."""

import jax
import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from experiments.imaginarynet.dallebart import checkpoint, model
from experiments.imaginarynet.dallebart.config import DalleBartConfig
from experiments.imaginarynet.vqgan import checkpoint as vqgan_checkpoint
from experiments.imaginarynet.vqgan import params as vqgan_params
from experiments.imaginarynet.vqgan.config import VQGANConfig

CAPTIONS = ("a photo of a red mug", "a photo of a lemon on a wooden floor", "A photo of a traffic light")
CONFIG = DalleBartConfig(
    width=32, heads=4, encoder_layers=2, decoder_layers=2, glu_width=48, text_vocab=300, image_vocab=64,
    text_length=16, image_length=16, decoder_start=64, init_std=0.2,
)  # fmt: skip
VQGAN = VQGANConfig(
    ch=8, ch_mult=(1, 1, 2), num_res_blocks=1, attn_resolutions=(), resolution=16, z_channels=8, embed_dim=8,
    n_embed=64, num_groups=4,
)  # fmt: skip


def params(config=CONFIG, *, seed=0):
    """Random parameters whose norms are random as well, so that no scale or bias can be left out unseen."""
    tree = model.init_params(config, jax.random.key(seed))
    leaves, form = jax.tree.flatten(tree)
    rng = np.random.default_rng(seed)
    moved = [leaf + 0.2 * rng.normal(size=leaf.shape).astype(np.float32) if leaf.ndim == 1 else leaf
             for leaf in leaves]  # fmt: skip
    return jax.tree.unflatten(form, moved)


def text(batch, *, length=16, seed=0, config=CONFIG):
    """(ids, mask) of random texts of random length, int32 (B, length): begin, tokens, end, padding."""
    rng = np.random.default_rng(seed)
    ids, mask = np.ones((batch, length), np.int32), np.zeros((batch, length), np.int32)
    for row in range(batch):
        count = int(rng.integers(1, min(length, 9) - 1))
        ids[row, : count + 2] = [0, *rng.integers(3, config.text_vocab, count), 2]
        mask[row, : count + 2] = 1
    return ids, mask


def seeds(batch, *, seed=0):
    """uint64 (B,)."""
    return np.random.default_rng(seed).integers(0, 2**64, batch, dtype=np.uint64)


def tokenizer():
    """A byte-level BPE of a few captions with the special tokens 0, 1 and 2."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=CONFIG.text_vocab, special_tokens=["<s>", "<pad>", "</s>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    made.train_from_iterator(CAPTIONS, trainer)
    return made


def write_models(folder):
    """The three models below `folder`: dallebart with the tokenizer, vqgan."""
    checkpoint.save_model(folder / "dallebart", CONFIG, params(), dtype="float32")
    tokenizer().save(str(folder / "dallebart" / "tokenizer.json"))
    weights = vqgan_params.init(VQGAN, jax.random.key(1))
    weights["quantize"]["embedding"]["embedding"] *= VQGAN.n_embed
    vqgan_checkpoint.save(folder / "vqgan", VQGAN, weights, dtype=np.float32)
