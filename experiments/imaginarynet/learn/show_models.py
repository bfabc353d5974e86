"""What trained networks make of held-out pictures and words, for the sheets of show.py.

JAX for `vqgan` and `dallebart`, PyTorch for `clip` and `diffusion`; each is imported where it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments.imaginarynet.config_sections import CLASS_PLACE, ClipConfig, DalleMiniConfig, DiffusionConfig
from experiments.imaginarynet.learn.corpus import Corpus
from experiments.imaginarynet.store.seeds import sample_seed

STREAM = "show"  # in place of a backend, so that no picture here is one of a run


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How samples are drawn."""

    per_class: int = 10
    seed: int = 0
    template: str = "A photo of {c}"
    batch: int = 10  # pictures of one call
    threads: int = 2
    condition_scale: float = DalleMiniConfig.condition_scale
    guidance: float = DiffusionConfig.guidance
    steps: int = DiffusionConfig.steps


def reconstructions(folder: Path, pictures: np.ndarray, *, threads: int) -> np.ndarray:
    """Pictures uint8 (n, H, W, 3) through the codes of a VQGAN and back, uint8 of the same shape."""
    from experiments.imaginarynet.images.devices import setup

    setup(threads=threads, device="cpu")
    import jax

    from experiments.imaginarynet.learn.vqgan import check_pictures, encode_all
    from experiments.imaginarynet.vqgan import checkpoint
    from experiments.imaginarynet.vqgan.model import decode_codes

    config, params = checkpoint.load(folder)
    check_pictures(pictures, config)
    decode = jax.jit(lambda codes: decode_codes(params, config, codes))
    pixels = decode(encode_all(params, config, pictures))
    return np.rint(np.asarray(pixels) * 255).astype(np.uint8)


def dallebart_samples(
    folders: Mapping[str, Path], names: Sequence[str], sampling: Sampling
) -> dict[str, list[np.ndarray]]:
    """Prompt -> pictures uint8 (H, W, 3). folders: of `dallebart`, `vqgan` and `tokenizer`."""
    from experiments.imaginarynet.images.devices import setup

    devices = setup(threads=sampling.threads, device="cpu")
    from experiments.imaginarynet.images.dalle_mini import DalleMini

    settings = DalleMiniConfig(
        model=str(folders["dallebart"]), vqgan=str(folders["vqgan"]), tokenizer=str(folders["tokenizer"]),
        condition_scale=sampling.condition_scale,
    )  # fmt: skip
    painter = DalleMini.load(settings, batch=sampling.batch, devices=devices[:1])
    return _draw(painter.draw, names, sampling)


def diffusion_samples(folder: Path, names: Sequence[str], sampling: Sampling) -> dict[str, list[np.ndarray]]:
    """Prompt -> pictures uint8 (H, W, 3), at the size that the UNet was made for."""
    import torch

    from experiments.imaginarynet.diffusion.pipeline import Diffusion

    torch.set_num_threads(sampling.threads)
    settings = DiffusionConfig(
        model=str(folder), guidance=sampling.guidance, steps=sampling.steps, size=_native_size(folder)
    )
    painter = Diffusion.load(settings, batch=sampling.batch, device="cpu")
    return _draw(painter.draw, names, sampling)


def clip_scores(folder: Path, corpus: Corpus, *, threads: int) -> np.ndarray:
    """Probabilities float32 (n, C) of the corpus' classes for its pictures, as the filter has them."""
    import torch

    from experiments.imaginarynet.clip.scorer import ClipScorer

    torch.set_num_threads(threads)
    return ClipScorer.load(folder, corpus.class_names, ClipConfig(), device="cpu").scores(corpus.pictures)


def _native_size(folder: Path) -> int:
    """Pixels a side that the pipeline was trained at; the settings' own where its files do not tell."""
    from suite.manifest import read_json

    unet, vae = (read_json(folder / part / "config.json") or {} for part in ("unet", "vae"))
    side, levels = unet.get("sample_size"), vae.get("block_out_channels")
    return side * 2 ** (len(levels) - 1) if isinstance(side, int) and levels else DiffusionConfig.size


def _draw(
    draw: Callable[[Sequence[str], Sequence[int]], Any], names: Sequence[str], sampling: Sampling
) -> dict[str, list[np.ndarray]]:
    """All samples in full batches, by prompt."""
    wanted = [
        (
            sampling.template.replace(CLASS_PLACE, name),
            sample_seed(sampling.seed, STREAM, name, prompt_id=number),
        )
        for name in names
        for number in range(sampling.per_class)
    ]
    drawn: dict[str, list[np.ndarray]] = {}
    for begin in range(0, len(wanted), sampling.batch):
        part = wanted[begin : begin + sampling.batch]
        pictures = draw([prompt for prompt, _ in part], [seed for _, seed in part]).pictures
        for (prompt, _), picture in zip(part, pictures, strict=True):
            drawn.setdefault(prompt, []).append(picture)
    return drawn
