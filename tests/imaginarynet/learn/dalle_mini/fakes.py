"""A corpus of flat pictures whose captions name their colour, and networks that learn it in seconds."""

from __future__ import annotations

import numpy as np

from experiments.imaginarynet.dallebart.config import DalleBartConfig
from experiments.imaginarynet.learn.corpus import Corpus
from experiments.imaginarynet.vqgan.config import VQGANConfig

COLOURS = {"red": (200, 30, 30), "green": (30, 160, 60), "blue": (40, 60, 200)}
VQGAN = VQGANConfig(
    ch=4, ch_mult=(1, 1), num_res_blocks=1, attn_resolutions=(), resolution=8, z_channels=4, embed_dim=4,
    n_embed=8, num_groups=2,
)  # fmt: skip
DALLEBART = DalleBartConfig(
    width=16, heads=2, encoder_layers=1, decoder_layers=1, glu_width=16, text_vocab=300, image_vocab=8,
    text_length=12, image_length=16, decoder_start=8,
)  # fmt: skip


def corpus(count: int = 24, *, side: int = 8, seed: int = 0) -> Corpus:
    """Pictures in one of three colours, with noise; every fourth is of `val`."""
    rng = np.random.default_rng(seed)
    ids = np.arange(count) % len(COLOURS)
    flat = np.array(list(COLOURS.values()))[ids][:, None, None]
    noise = rng.integers(-20, 21, (count, side, side, 3))
    return Corpus(
        pictures=np.clip(flat + noise, 0, 255).astype(np.uint8),
        captions=tuple(f"a photo of a {list(COLOURS)[i]} wall" for i in ids),
        class_ids=ids.astype(np.int64),
        class_names=tuple(COLOURS),
        split=np.where(np.arange(count) % 4 == 0, "val", "train"),
    )
