"""Training of the tiny latent diffusion pipeline: the autoencoder, then UNet and text encoder on latents.

Autoencoder: L1 + 0.5 L2 + kl_weight * KL per latent number, on pictures and their mirror images; then its
latents are given mean 0 and deviation 1 per channel. UNet: the noise is predicted, squared error weighted by
min(SNR, snr_limit) / SNR, captions left out with probability `caption_dropout`, so that guidance has its
unconditional half. Both phases go on from their last state after a kill.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn
from transformers import CLIPTokenizer

from experiments.imaginarynet.learn.clip_model import train_tokenizer
from experiments.imaginarynet.learn.corpus import Corpus
from experiments.imaginarynet.learn.diffusion_model import (
    TRAIN_TIMESTEPS,
    DiffusionSize,
    build_autoencoder,
    build_text_encoder,
    build_unet,
    num_parameters,
    quicken,
    scheduler,
    standardise,
    write_folder,
)
from experiments.imaginarynet.learn.torch_loop import Hooks, Learner, Phase, fit
from suite.errors import BadInput
from suite.manifest import write_json
from suite.seeds import item_rng

HELD_OUT = 256  # pictures of `val` that are measured on
ENCODED_AT_ONCE = 64


@dataclass(frozen=True, kw_only=True)
class DiffusionRecipe:
    """How to train."""

    autoencoder: Phase = Phase(steps=3200, batch=16, lr=1e-3)
    unet: Phase = Phase(steps=4000, batch=48, lr=1e-3, mean_decay=0.999)
    kl_weight: float = 1e-4  # against the mean absolute difference of pixels in [-1, 1]
    snr_limit: float = 5.0
    caption_dropout: float = 0.1
    bf16: bool = True  # forward passes under autocast; weights and sums stay float32
    size: DiffusionSize = field(default_factory=DiffusionSize)


class _Parts(nn.Module):
    """UNet and text encoder as one network to be trained."""

    def __init__(self, unet: nn.Module, text_encoder: nn.Module) -> None:
        super().__init__()
        self.unet, self.text_encoder = unet, text_encoder


class AutoencoderLearner(Learner):
    """Pictures through the bottleneck and back."""

    losses = ("loss", "l1", "l2", "kl")

    def __init__(
        self, train: np.ndarray, held_out: np.ndarray, recipe: DiffusionRecipe, *, seed: int, device: str
    ) -> None:
        """train, held_out: uint8 (n, side, side, 3)."""
        name = "diffusion.autoencoder"
        first = int(item_rng(seed, f"{name}.initial", 0).integers(0, 2**63 - 1))
        model = build_autoencoder(recipe.size, seed=first).to(device, memory_format=torch.channels_last)
        super().__init__(model, recipe.autoencoder, count=len(train), name=name, seed=seed)
        quicken(self.model)
        self.train, self.held_out, self.recipe, self.device = train, held_out[:HELD_OUT], recipe, device

    def compute(self, rows: np.ndarray, generator: torch.Generator) -> tuple[Tensor, ...]:
        """(total, L1, L2, KL) of a batch, each of its pictures mirrored with probability 1/2."""
        pictures = to_signed(self.train[rows])
        mirrored = torch.rand(len(rows), generator=generator) < 0.5
        pictures = torch.where(mirrored[:, None, None, None], pictures.flip(-1), pictures).to(self.device)
        pictures = pictures.contiguous(memory_format=torch.channels_last)
        with autocast(self.recipe, self.device):
            posterior = self.model.encode(pictures).latent_dist
            mean, log_variance = posterior.mean.float(), posterior.logvar.float()
            noise = torch.randn(mean.shape, generator=generator).to(self.device)
            made = self.model.decode(mean + (0.5 * log_variance).exp() * noise).sample.float()
        l1, l2 = (made - pictures).abs().mean(), (made - pictures).square().mean()
        kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
        return l1 + 0.5 * l2 + self.recipe.kl_weight * kl, l1, l2, kl

    def measure(self) -> dict[str, float]:
        """Peak signal-to-noise ratio in dB on held-out pictures, over all their pixels."""
        errors = []
        with torch.inference_mode():
            for part in in_parts(self.held_out):
                pictures = to_signed(part).to(self.device)
                made = self.mean.decode(self.mean.encode(pictures).latent_dist.mode()).sample.clamp(-1, 1)
                errors.append((made - pictures).square().mean((1, 2, 3)).cpu())
        error = float(torch.cat(errors).mean()) / 4  # pixels in [0, 1]
        return {"held_out_psnr": -10 * float(np.log10(max(error, 1e-12)))}


class UNetLearner(Learner):
    """Noise from noisy latents and captions."""

    def __init__(
        self, train: _Latents, held_out: _Latents, tokenizer: CLIPTokenizer, recipe: DiffusionRecipe, *,
        seed: int, device: str,
    ) -> None:  # fmt: skip
        name = "diffusion.unet"
        first = int(item_rng(seed, f"{name}.initial", 0).integers(0, 2**63 - 1))
        parts = _Parts(
            build_unet(recipe.size, seed=first), build_text_encoder(recipe.size, tokenizer, seed=first)
        ).to(device)
        parts.unet.to(memory_format=torch.channels_last)
        super().__init__(parts, recipe.unet, count=len(train.captions), name=name, seed=seed)
        quicken(self.model)
        self.train, self.held_out, self.recipe, self.device = train, held_out, recipe, device
        self._texts = {  # once: the same captions come in every epoch
            part: pad_captions(tokenizer, [*part.captions, ""], length=recipe.size.text_length)
            for part in (train, held_out)
        }
        self.alphas = scheduler().alphas_cumprod.to(device)

    def compute(self, rows: np.ndarray, generator: torch.Generator) -> tuple[Tensor, ...]:
        """The weighted squared error of a batch."""
        return (self._loss(self.model, self.train, rows, generator, self.recipe.caption_dropout),)

    def measure(self) -> dict[str, float]:
        """The same with the same noise every time, on held-out pictures with their captions."""
        losses = []
        with torch.inference_mode():
            for number, rows in enumerate(in_parts(np.arange(len(self.held_out.captions)))):
                generator = torch.Generator().manual_seed(self.number("held_out", number))
                losses += [float(self._loss(self.mean, self.held_out, rows, generator, 0.0))] * len(rows)
        return {"held_out_loss": float(np.mean(losses))}

    def _loss(
        self, parts: nn.Module, latents: _Latents, rows: np.ndarray, generator: torch.Generator,
        dropout: float,
    ) -> Tensor:  # fmt: skip
        count = len(rows)
        mirrored = torch.rand(count, generator=generator) < 0.5
        clean = torch.where(mirrored[:, None, None, None], latents.mirrored[rows], latents.plain[rows])
        times = torch.randint(0, TRAIN_TIMESTEPS, (count,), generator=generator).to(self.device)
        noise = torch.randn(clean.shape, generator=generator).to(self.device)
        chosen = torch.from_numpy(rows).clone()
        chosen[torch.rand(count, generator=generator) < dropout] = len(latents.captions)  # the empty one
        alpha = self.alphas[times][:, None, None, None]
        noisy = alpha.sqrt() * clean.to(self.device) + (1 - alpha).sqrt() * noise
        noisy = noisy.contiguous(memory_format=torch.channels_last)
        with autocast(self.recipe, self.device):
            texts = parts.text_encoder(self._texts[latents][chosen].to(self.device)).last_hidden_state
            found = parts.unet(noisy, times, encoder_hidden_states=texts).sample.float()
        snr = (alpha / (1 - alpha)).flatten()
        weight = snr.clamp(max=self.recipe.snr_limit) / snr
        return (weight * (found - noise).square().mean((1, 2, 3))).mean()


@dataclass(frozen=True, eq=False)
class _Latents:
    """Standardised latents float32 (n, channels, side, side) of pictures and of their mirror images."""

    plain: Tensor
    mirrored: Tensor
    captions: tuple[str, ...]


def train(
    corpus: Corpus, recipe: DiffusionRecipe, *, seed: int, work: Path, out: Path, device: str = "cpu",
    hooks: Hooks | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Train both phases, or go on from their states in `work`; writes the pipeline's folder and its figures.

    out: gets `diffusion/` (the pipeline), autoencoder.csv, unet.csv, training.json. Returns what the last
    says. Raises Stopped when the state is on the disk; BadInput for a corpus of another size or without both
    splits.
    """
    part, val = _parts_of(corpus, recipe)
    first = AutoencoderLearner(part.pictures, val.pictures, recipe, seed=seed, device=device)
    rows = fit(first, path=work / "autoencoder.pt", hooks=hooks)
    vae = first.mean.eval()
    mean, std = _moments(vae, part.pictures, device)
    standardise(vae, mean, std)
    tokenizer = train_tokenizer([*part.captions], merges=recipe.size.merges)
    latents = [_encode(vae, one, device) for one in (part, _head(val, HELD_OUT))]
    second = UNetLearner(*latents, tokenizer, recipe, seed=seed, device=device)
    more = fit(second, path=work / "unet.pt", hooks=hooks)
    unet, text_encoder = second.mean.unet.eval(), second.mean.text_encoder.eval()
    counts = {name: num_parameters(m) for name, m in
              (("vae", vae), ("unet", unet), ("text_encoder", text_encoder))}  # fmt: skip
    write_folder(
        out / "diffusion", vae=vae.cpu(), unet=unet.cpu(), text_encoder=text_encoder.cpu(),
        tokenizer=tokenizer,
    )  # fmt: skip
    _write_curve(out / "autoencoder.csv", rows)
    _write_curve(out / "unet.csv", more)
    facts = {
        "recipe": asdict(recipe), "seed": seed, "pictures": {"train": len(part), "val": len(val)},
        "parameters": counts, "autoencoder": rows[-1], "unet": more[-1],
        "latents": {"mean": mean.tolist(), "std": std.tolist()},
    }  # fmt: skip
    write_json(out / "training.json", facts)
    return facts


def _parts_of(corpus: Corpus, recipe: DiffusionRecipe) -> tuple[Corpus, Corpus]:
    side = corpus.pictures.shape[1]
    if side != recipe.size.side:
        raise BadInput(f"the corpus has pictures of {side} pixels, the pipeline {recipe.size.side}")
    part, val = corpus.part("train"), corpus.part("val")
    if not len(part) or not len(val):
        raise BadInput("a corpus needs pictures of both splits, train and val")
    return part, val


def _head(corpus: Corpus, count: int) -> Corpus:
    return replace(corpus, pictures=corpus.pictures[:count], captions=corpus.captions[:count])


def _encode(vae: AutoencoderKL, corpus: Corpus, device: str) -> _Latents:
    both = [encode(vae, pictures, device) for pictures in (corpus.pictures, corpus.pictures[:, :, ::-1])]
    return _Latents(*both, corpus.captions)


def encode(vae: AutoencoderKL, pictures: np.ndarray, device: str) -> Tensor:
    """Means of the latents, float32 (n, channels, side, side), of uint8 pictures (n, S, S, 3)."""
    with torch.inference_mode():
        parts = [vae.encode(to_signed(part).to(device)).latent_dist.mode() for part in in_parts(pictures)]
    return torch.cat([part.cpu() for part in parts]).clone()


def _moments(vae: AutoencoderKL, pictures: np.ndarray, device: str) -> tuple[Tensor, Tensor]:
    """Mean and deviation per channel of the latents; a few pictures tell them well enough."""
    latents = encode(vae, pictures[: 4 * HELD_OUT], device)
    return latents.mean((0, 2, 3)).to(device), latents.std((0, 2, 3)).clamp(min=1e-3).to(device)


def to_signed(pictures: np.ndarray) -> Tensor:
    """float32 (n, 3, S, S) in [-1, 1] from uint8 (n, S, S, 3)."""
    return torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1


def in_parts(array: np.ndarray) -> list[np.ndarray]:
    """Consecutive parts of at most ENCODED_AT_ONCE rows."""
    return [array[i : i + ENCODED_AT_ONCE] for i in range(0, len(array), ENCODED_AT_ONCE)]


def pad_captions(tokenizer: CLIPTokenizer, captions: Sequence[str], *, length: int) -> Tensor:
    """int64 (n, length) token ids, cut or filled up as the pipeline does it."""
    options = {"padding": "max_length", "truncation": True, "max_length": length, "return_tensors": "pt"}
    return tokenizer(list(captions), **options).input_ids


def autocast(recipe: DiffusionRecipe, device: str) -> torch.autocast:
    """The context of a forward pass."""
    return torch.autocast(torch.device(device).type, torch.bfloat16, enabled=recipe.bf16)


def _write_curve(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({name: f"{value:.6g}" for name, value in row.items()})
