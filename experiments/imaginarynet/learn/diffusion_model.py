"""A small latent diffusion pipeline of the v1 class, and its folder as diffusers writes and loads it.

    model_index.json, scheduler/, vae/, unet/, text_encoder/, tokenizer/      weights as float16 safetensors

The parts are those of the published text-to-image model at another size: a KL autoencoder (factor 4 instead
of 8), a UNet with cross-attention, a CLIP text encoder, here trained along with the UNet, the same schedule
of noise (published code, `v1-inference.yaml`). There is no safety checker.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKL, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
TRAIN_TIMESTEPS = 1000


@dataclass(frozen=True, kw_only=True)
class DiffusionSize:
    """Widths and depths of the parts."""

    side: int = 64  # pixels
    vae_channels: tuple[int, ...] = (16, 32, 48)  # one level more than halvings
    latent_channels: int = 4
    unet_channels: tuple[int, ...] = (48, 96)
    unet_layers: int = 1
    head_width: int = 24
    groups: int = 8  # of the norms
    text_width: int = 64
    text_layers: int = 2
    text_heads: int = 4
    text_length: int = 32  # tokens, the two marks among them
    merges: int = 256  # of the tokenizer

    @property
    def latent_side(self) -> int:
        """Positions a side of a latent."""
        return self.side // 2 ** (len(self.vae_channels) - 1)


def build_autoencoder(size: DiffusionSize, *, seed: int) -> AutoencoderKL:
    """An untrained autoencoder; the global generator of torch is as before."""
    levels = len(size.vae_channels)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * levels, up_block_types=("UpDecoderBlock2D",) * levels,
            block_out_channels=size.vae_channels, layers_per_block=1, latent_channels=size.latent_channels,
            norm_num_groups=size.groups, sample_size=size.side, scaling_factor=1.0,
        )  # fmt: skip


def build_unet(size: DiffusionSize, *, seed: int) -> UNet2DConditionModel:
    """An untrained UNet, with attention below its first level; the global generator of torch is as before."""
    levels = len(size.unet_channels)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return UNet2DConditionModel(
            sample_size=size.latent_side, in_channels=size.latent_channels, out_channels=size.latent_channels,
            down_block_types=("DownBlock2D",) + ("CrossAttnDownBlock2D",) * (levels - 1),
            up_block_types=("CrossAttnUpBlock2D",) * (levels - 1) + ("UpBlock2D",),
            block_out_channels=size.unet_channels, layers_per_block=size.unet_layers,
            cross_attention_dim=size.text_width, norm_num_groups=size.groups,
            # By its odd name the number of heads (diffusers keeps it for v1 folders).
            attention_head_dim=max(1, size.unet_channels[-1] // size.head_width),
        )  # fmt: skip


def build_text_encoder(size: DiffusionSize, tokenizer: CLIPTokenizer, *, seed: int) -> CLIPTextModel:
    """An untrained text encoder; the global generator of torch is as before."""
    config = CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=size.text_width, intermediate_size=4 * size.text_width,
        num_hidden_layers=size.text_layers, num_attention_heads=size.text_heads,
        max_position_embeddings=size.text_length, hidden_act="quick_gelu",
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return CLIPTextModel(config)


def quicken(network: nn.Module) -> None:
    """Make training under bf16 autocast faster on a CPU; the function of the network stays.

    There the backward passes of group norm and of fused attention in bf16 cost more than the convolutions:
    so norms compute in float32, and attention is written out.
    """
    for module in network.modules():
        if isinstance(module, nn.GroupNorm):
            module.register_forward_pre_hook(_to_float32)
        if hasattr(module, "set_attn_processor"):
            module.set_attn_processor(AttnProcessor())
        if hasattr(module, "set_attn_implementation"):
            module.set_attn_implementation("eager")


def _to_float32(module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (args[0].float(),)


def standardise(vae: AutoencoderKL, mean: Tensor, std: Tensor) -> None:
    """Make the latents (z - mean) / std by changing the two 1x1 convolutions around them; pictures stay.

    mean, std: float32 (channels,), of the latents as they are. The pipelines know one factor for all channels
    and no shift; with this the factor is 1.
    """
    channels = len(mean)
    with torch.no_grad():
        quant, post = vae.quant_conv, vae.post_quant_conv
        quant.weight[:channels] /= std[:, None, None, None]
        quant.bias[:channels] = (quant.bias[:channels] - mean) / std
        quant.bias[channels:] -= 2 * std.log()  # the other half are log-variances
        post.bias += (post.weight[:, :, 0, 0] * mean).sum(1)
        post.weight *= std[None, :, None, None]


def scheduler() -> PNDMScheduler:
    """The noise schedule and the sampler of the published model: PLMS."""
    return PNDMScheduler(
        num_train_timesteps=TRAIN_TIMESTEPS, skip_prk_steps=True, set_alpha_to_one=False, steps_offset=1,
        **BETAS,
    )  # fmt: skip


def num_parameters(model: nn.Module) -> int:
    """Trained numbers of a network."""
    return sum(parameter.numel() for parameter in model.parameters())


def write_folder(
    folder: Path, *, vae: AutoencoderKL, unet: UNet2DConditionModel, text_encoder: CLIPTextModel,
    tokenizer: CLIPTokenizer,
) -> None:  # fmt: skip
    """Write a folder as above; the networks become float16 on the way."""
    tokenizer.model_max_length = text_encoder.config.max_position_embeddings
    pipeline = StableDiffusionPipeline(
        vae=vae.half(), unet=unet.half(), text_encoder=text_encoder.half(), tokenizer=tokenizer,
        scheduler=scheduler(), safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    pipeline.save_pretrained(folder, safe_serialization=True)
    bpe = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    # Older loaders read these two; this version of transformers writes tokenizer.json alone.
    (folder / "tokenizer" / "vocab.json").write_text(json.dumps(bpe["vocab"]) + "\n", encoding="utf-8")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in bpe["merges"])]
    (folder / "tokenizer" / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
