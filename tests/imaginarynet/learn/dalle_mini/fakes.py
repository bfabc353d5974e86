"""A corpus of dark pictures whose captions say where the bright band is, and networks that learn it fast.

Bands lie across, so that a mirrored picture keeps its caption. They have edges: the norms of the network take
the level out of a flat picture.
"""

from __future__ import annotations

import numpy as np

from experiments.imaginarynet.dallebart.config import DalleBartConfig
from experiments.imaginarynet.learn.corpus import Corpus
from experiments.imaginarynet.vqgan.config import VQGANConfig

BANDS = {"top": (0, 4), "bottom": (4, 8), "middle": (2, 6)}  # eighths of the height
VQGAN = VQGANConfig(
    ch=4, ch_mult=(1, 1), num_res_blocks=1, attn_resolutions=(), resolution=8, z_channels=4, embed_dim=4,
    n_embed=8, num_groups=2,
)  # fmt: skip
DALLEBART = DalleBartConfig(
    width=16, heads=2, encoder_layers=1, decoder_layers=1, glu_width=16, text_vocab=300, image_vocab=8,
    text_length=12, image_length=16, decoder_start=8,
)  # fmt: skip


def corpus(count: int = 24, *, side: int = 8, seed: int = 0) -> Corpus:
    """Pictures with one of three bands, and noise; every fourth is of `val`."""
    rng = np.random.default_rng(seed)
    ids = np.arange(count) % len(BANDS)
    levels = np.full((count, side, side, 3), 40)
    for picture, (first, last) in zip(levels, np.array(list(BANDS.values()))[ids], strict=True):
        picture[first * side // 8 : last * side // 8] = 210
    return Corpus(
        pictures=(levels + rng.integers(-20, 21, levels.shape)).astype(np.uint8),
        captions=tuple(f"a photo of a {list(BANDS)[i]} band" for i in ids),
        class_ids=ids.astype(np.int64),
        class_names=tuple(BANDS),
        split=np.where(np.arange(count) % 4 == 0, "val", "train"),
    )
