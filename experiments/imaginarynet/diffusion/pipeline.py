"""A latent diffusion pipeline of the v1 class: prompts and seeds -> pictures, in batches of one fixed shape.

    painter = Diffusion.load(settings, batch=4, device="cpu")
    drawn = painter.draw(prompts, seeds)  # at most `batch` of them
    drawn.pictures  # uint8 (n, H, W, 3)

All noise of a picture comes from a generator of its own on the CPU, and every call computes `batch` rows: no
picture depends on its neighbours, on the fill or on the order. The published code draws one at a time, on
CUDA alone, and writes 512 pixels down as 256 (ImaginaryNet, published code).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from torch import Tensor

from experiments.imaginarynet.config_sections import DiffusionConfig
from experiments.imaginarynet.diffusion.folder import Parts, has_checker, read_parts
from experiments.imaginarynet.diffusion.samplers import make_sampler
from experiments.imaginarynet.models import find_model, model_digest
from suite.errors import BadInput, Missing

DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}
SHARE = 0.5  # of the device's memory, above which `slicing: auto` takes pictures and heads one by one


@dataclass(frozen=True, eq=False)
class Drawn:
    """The pictures of one call."""

    pictures: np.ndarray  # uint8 (n, H, W, 3)
    is_good: np.ndarray  # bool (n,): False where numbers overflowed, so that the picture means nothing
    is_held_back: np.ndarray  # bool (n,): by the safety checker; such a picture is black
    cut: int  # prompts that were longer than the text length


class Diffusion:
    """A loaded pipeline with its sampling settings."""

    def __init__(
        self, parts: Parts, settings: DiffusionConfig, *, batch: int, device: str,
        digests: dict[str, str] | None = None,
    ) -> None:  # fmt: skip
        """Raises BadInput for a size or a number of steps that the parts cannot take."""
        if settings.size % parts.factor:
            what = f"diffusion.size is {settings.size}; the model makes multiples of {parts.factor}"
            raise BadInput(what, fix="change it")
        self.settings, self.batch, self.device = settings, batch, device
        self.digests, self.parts = digests or {}, parts
        self.pipeline = StableDiffusionPipeline(
            vae=parts.vae, unet=parts.unet, text_encoder=parts.text_encoder, tokenizer=parts.tokenizer,
            scheduler=make_sampler(settings.scheduler, parts.schedule, steps=settings.steps),
            safety_checker=parts.checker, feature_extractor=parts.extractor,
            requires_safety_checker=parts.checker is not None,
        ).to(device)  # fmt: skip
        self.pipeline.set_progress_bar_config(disable=True)
        self.is_sliced = settings.slicing == "on" or (
            settings.slicing == "auto" and peak_bytes(parts, settings, batch) > SHARE * memory_bytes(device)
        )
        if self.is_sliced:
            self.pipeline.enable_attention_slicing()
            self.pipeline.vae.enable_slicing()
        self._negative = self._texts([settings.negative_prompt])

    @classmethod
    def load(cls, settings: DiffusionConfig, *, batch: int, device: str) -> Diffusion:
        """Read the folder that the settings name. Raises Missing or BadInput naming the file."""
        folder = find_model("diffusion", settings.model)
        prepare(device)
        checker = settings.safety == "on" or (settings.safety == "auto" and has_checker(folder))
        parts = read_parts(folder, dtype=DTYPES[settings.dtype], checker=checker)
        return cls(parts, settings, batch=batch, device=device, digests={"diffusion": model_digest(folder)})

    @property
    def facts(self) -> dict[str, Any]:
        """What decides a picture besides weights, prompts and seed."""
        names = ("scheduler", "steps", "eta", "guidance", "size", "dtype")
        return {
            **{name: getattr(self.settings, name) for name in names},
            "safety_checker": self.parts.checker is not None, "sliced": self.is_sliced,
            "text_length": self.parts.text_length, "batch": self.batch,
        }  # fmt: skip

    def remarks(self) -> list[str]:
        """What a user should hear before the first picture."""
        found = []
        if self.parts.checker is None and self.settings.safety == "auto":
            found.append("the model comes without a safety checker; no picture is checked")
        native = self.parts.native_size
        if native is not None and native != self.settings.size:
            found.append(f"the model was made for {native} pixels, diffusion.size is {self.settings.size}")
        return found

    @torch.inference_mode()
    def draw(self, prompts: Sequence[str], seeds: Sequence[int]) -> Drawn:
        """The pictures of 1 to `batch` prompts; seeds: unsigned, 64 bits, one each.

        What is missing for a full batch is filled up with the last prompt and thrown away.
        """
        count, settings = len(prompts), self.settings
        if not 1 <= count <= self.batch or len(seeds) != count:
            raise ValueError(f"{count} prompts and {len(seeds)} seeds for a batch of {self.batch}")
        fill = self.batch - count
        generators = [torch.Generator().manual_seed(seed) for seed in [*seeds, *[seeds[-1]] * fill]]
        result = self.pipeline(
            prompt_embeds=self._texts([*prompts, *[prompts[-1]] * fill]),
            negative_prompt_embeds=self._negative.expand(self.batch, -1, -1),
            height=settings.size, width=settings.size, num_inference_steps=settings.steps,
            guidance_scale=settings.guidance, eta=settings.eta, generator=generators,
            latents=self._noise(generators), output_type="np",
        )  # fmt: skip
        pixels = result.images[:count]
        flags = result.nsfw_content_detected or [False] * count
        is_good = np.isfinite(pixels).all((1, 2, 3))
        # Cut, not rounded, as published; what is not finite becomes black and is not kept.
        pictures = (np.nan_to_num(pixels).clip(0, 1) * 255).astype(np.uint8)
        return Drawn(pictures, is_good, np.array(flags[:count], dtype=bool), self._num_cut(prompts))

    def _noise(self, generators: Sequence[torch.Generator]) -> Tensor:
        """The first latents, drawn as float32 so that they are the same for every dtype and device."""
        side = self.settings.size // self.parts.factor
        shape = (self.parts.unet.config.in_channels, side, side)
        drawn = torch.stack([torch.randn(shape, generator=generator) for generator in generators])
        return drawn.to(self.device, self.parts.unet.dtype)

    def _texts(self, texts: Sequence[str]) -> Tensor:
        """Features of texts (n, tokens, width), cut and filled up to the model's length."""
        ids = self.parts.tokenizer(
            list(texts), padding="max_length", truncation=True, max_length=self.parts.text_length,
            return_tensors="pt",
        ).input_ids  # fmt: skip
        with torch.inference_mode():
            return self.parts.text_encoder(ids.to(self.device))[0]

    def _num_cut(self, texts: Sequence[str]) -> int:
        lengths = (len(ids) for ids in self.parts.tokenizer(list(texts), verbose=False).input_ids)
        return sum(length > self.parts.text_length for length in lengths)


def prepare(device: str) -> None:
    """The same sums every time on a GPU. Raises Missing where the promised one is not there."""
    if device == "cpu":
        return
    if not torch.cuda.is_available():
        raise Missing("PyTorch sees no GPU", fix="run with DEVICE=cpu, or see docs/gpu.md")
    torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = False, True
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False


def peak_bytes(parts: Parts, settings: DiffusionConfig, batch: int) -> int:
    """An estimate of the memory that one call needs beside the weights.

    The larger of: the last level of the decoder, three maps of its two widest layers; the attention scores of
    the UNet's first level, twice, conditional and unconditional.
    """
    number = DTYPES[settings.dtype].itemsize
    widths = parts.vae.config.block_out_channels
    decoder = 3 * settings.size**2 * widths[min(1, len(widths) - 1)] * number
    positions = (settings.size // parts.factor) ** 2
    heads = parts.unet.config.attention_head_dim
    heads = heads if isinstance(heads, int) else heads[0]
    scores = 2 * 2 * heads * positions**2 * number
    return batch * max(decoder, scores)


def memory_bytes(device: str) -> int:
    """All memory of the device, free or not, so that a run does not depend on what runs beside it."""
    if device == "cpu":
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return torch.cuda.get_device_properties(device).total_memory
