"""DALL-E mini: prompts and seeds -> pictures, in batches of one fixed shape on every device.

    painter = DalleMini.load(settings, batch=16, devices=jax.local_devices())
    drawn = painter.draw(prompts, seeds)  # at most painter.capacity of them
    drawn.pictures  # uint8 (n, H, W, 3)

Codes and pixels come from one compiled program. Each device always computes `batch` rows, so that no picture
depends on how many devices there are, on its neighbours, or on how full the last batch is. The published code
draws one picture per device for one prompt at a time (ImaginaryNet, published code).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from experiments.imaginarynet.config_sections import DalleMiniConfig
from experiments.imaginarynet.dallebart import sampler
from experiments.imaginarynet.dallebart.checkpoint import load_model
from experiments.imaginarynet.dallebart.config import DalleBartConfig
from experiments.imaginarynet.dallebart.text import TextEncoder, read_tokenizer, tokenizer_digest
from experiments.imaginarynet.models import find_model, model_digest
from experiments.imaginarynet.vqgan import checkpoint as vqgan_checkpoint
from experiments.imaginarynet.vqgan.config import VQGANConfig
from experiments.imaginarynet.vqgan.model import decode_codes
from suite.errors import BadInput

AXIS = "devices"


@dataclass
class Drawn:
    """Pictures that a device may still be at work on: they are waited for when they are looked at."""

    count: int
    cut: int  # prompts that were longer than the text length
    _pictures: jax.Array
    _is_good: jax.Array

    @property
    def pictures(self) -> np.ndarray:
        """uint8 (n, H, W, 3)."""
        return np.asarray(self._pictures)[: self.count]

    @property
    def is_good(self) -> np.ndarray:
        """bool (n,): False where the network overflowed, so that the picture means nothing."""
        return np.asarray(self._is_good)[: self.count]


@dataclass
class DalleMini:
    """The transformer, its tokenizer and the image tokenizer, on the devices."""

    config: DalleBartConfig
    params: Any
    vqgan_config: VQGANConfig
    vqgan_params: Any
    texts: TextEncoder
    sampling: sampler.Sampling
    batch: int  # rows per call and device
    devices: Sequence[jax.Device]
    digests: dict[str, str] = field(default_factory=dict)  # role -> SHA-256

    def __post_init__(self) -> None:
        have, want = (self.vqgan_config.num_codes, self.vqgan_config.n_embed), (
            self.config.image_length, self.config.codebook,
        )  # fmt: skip
        if have != want:
            raise BadInput(
                f"the image tokenizer has {have[0]} codes a picture out of {have[1]}, the transformer draws "
                f"{want[0]} out of {want[1]}",
                fix="set dalle_mini.model and dalle_mini.vqgan to models that belong together",
            )
        mesh = Mesh(np.asarray(self.devices), (AXIS,))
        self._rows, everywhere = NamedSharding(mesh, P(AXIS)), NamedSharding(mesh, P())
        self._weights = jax.device_put((self.params, self.vqgan_params), everywhere)
        each = jax.shard_map(
            self._paint, mesh=mesh, in_specs=(P(), P(AXIS), P(AXIS), P(AXIS)), out_specs=P(AXIS),
            check_vma=False,
        )  # fmt: skip
        self._program = jax.jit(each)

    @classmethod
    def load(cls, settings: DalleMiniConfig, *, batch: int, devices: Sequence[jax.Device]) -> DalleMini:
        """Read the models that the settings name. Raises Missing or BadInput naming the file."""
        folders = {
            "dallebart": find_model("dallebart", settings.model),
            "vqgan": find_model("vqgan", settings.vqgan),
            "tokenizer": find_model("tokenizer", settings.tokenizer or settings.model),
        }
        config, params = load_model(folders["dallebart"], settings.dtype)
        vqgan_config, vqgan_params = vqgan_checkpoint.load(folders["vqgan"])
        return cls(
            config, params, vqgan_config, vqgan_params,
            texts=_text_encoder(settings, config, folders["tokenizer"]),
            sampling=sampler.Sampling(
                condition_scale=settings.condition_scale, top_k=settings.top_k, top_p=settings.top_p,
                temperature=settings.temperature,
            ),
            batch=batch, devices=devices,
            digests={
                **{role: model_digest(folders[role]) for role in ("dallebart", "vqgan")},
                "tokenizer": tokenizer_digest(folders["tokenizer"]),
            },
        )  # fmt: skip

    @property
    def capacity(self) -> int:
        """Pictures of one call."""
        return self.batch * len(self.devices)

    @property
    def facts(self) -> dict[str, Any]:
        """What decides a picture besides weights, prompt and seed."""
        side = self.vqgan_config.resolution
        return {
            **vars(self.sampling), "dtype": str(self.params["head"].dtype), "text_length": self.texts.length,
            "normalize_text": self.texts.normalise, "size": side,
        }  # fmt: skip

    def draw(self, prompts: Sequence[str], seeds: Sequence[int]) -> Drawn:
        """Begin to draw the pictures of 1 to `capacity` prompts; seeds: unsigned, 64 bits, one each.

        What is missing for a full batch is filled up with the last prompt and thrown away.
        """
        count = len(prompts)
        if not 1 <= count <= self.capacity:
            raise ValueError(f"{count} prompts for a batch of {self.capacity}")
        fill = self.capacity - count
        text = self.texts(prompts)
        words = sampler.split_seeds(np.array(seeds, np.uint64))
        rows = [np.concatenate([a, np.repeat(a[-1:], fill, axis=0)]) for a in (text.ids, text.mask, words)]
        pictures, is_good = self._program(self._weights, *jax.device_put(rows, self._rows))
        return Drawn(count, text.cut, pictures, is_good)

    def _paint(
        self, weights: Any, ids: jax.Array, mask: jax.Array, words: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """The rows of one device: uint8 (batch, H, W, 3), bool (batch,)."""
        params, vqgan_params = weights
        codes = sampler.draw(params, ids, mask, words, config=self.config, sampling=self.sampling)
        pixels = decode_codes(vqgan_params, self.vqgan_config, codes)
        is_good = (codes >= 0).all(1) & jnp.isfinite(pixels).all((1, 2, 3))
        # Cut, not rounded, as published; what is not finite becomes black and is not kept.
        return (jnp.nan_to_num(pixels) * 255).astype(jnp.uint8), is_good


def _text_encoder(settings: DalleMiniConfig, config: DalleBartConfig, folder: Path) -> TextEncoder:
    length = settings.text_length or config.text_length
    if length > config.text_length:
        raise BadInput(
            f"dalle_mini.text_length is {length}; the model has {config.text_length} places",
            fix="lower it, or leave it out",
        )
    tokenizer = read_tokenizer(folder)
    if tokenizer.get_vocab_size() > config.text_vocab:
        raise BadInput(
            f"has {tokenizer.get_vocab_size()} tokens, the model {config.text_vocab}",
            file=folder,
            fix="take the tokenizer that the model was trained with",
        )
    return TextEncoder(tokenizer, length=length, normalise=settings.normalize_text)
