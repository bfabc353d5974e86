"""A v1-class pipeline with random weights, small enough for tests, and a safety checker to match."""

import json

import torch
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from transformers import CLIPConfig
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from experiments.imaginarynet.config_sections import DiffusionConfig
from experiments.imaginarynet.learn.clip_model import train_tokenizer
from experiments.imaginarynet.learn.diffusion_model import (
    DiffusionSize,
    build_autoencoder,
    build_text_encoder,
    build_unet,
    write_folder,
)

SIZE = DiffusionSize(
    side=32, vae_channels=(4, 8, 8), unet_channels=(8, 16), head_width=8, groups=4, text_width=16,
    text_layers=1, text_heads=2, text_length=16, merges=20,
)  # fmt: skip
CAPTIONS = ("a photo of a red mug", "a photo of a lemon", "a photo of a traffic light on a floor")
FLAGS_ALL, FLAGS_NONE = -1.0, 1.0  # thresholds of a checker that holds back everything, or nothing


def write_pipeline(folder, *, seed=0):
    """Write the folder; its networks are loud, so that prompt and noise are seen in the pixels."""
    tokenizer = train_tokenizer(CAPTIONS, merges=SIZE.merges)
    vae, unet = build_autoencoder(SIZE, seed=seed), build_unet(SIZE, seed=seed)
    text_encoder = build_text_encoder(SIZE, tokenizer, seed=seed)
    with torch.no_grad():
        vae.decoder.conv_out.weight *= 4
        text_encoder.get_input_embeddings().weight *= 50
        for name, weight in unet.named_parameters():
            if "attn2" in name and weight.ndim == 2:
                weight *= 4
    write_folder(folder, vae=vae, unet=unet, text_encoder=text_encoder, tokenizer=tokenizer)
    return folder


def add_checker(folder, *, threshold):
    """Put a safety checker there whose every concept has this threshold of the cosine."""
    config = CLIPConfig(
        vision_config={"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1,
                       "num_attention_heads": 2, "image_size": 16, "patch_size": 8, "projection_dim": 8},
        text_config={"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1,
                     "num_attention_heads": 2, "vocab_size": 10, "projection_dim": 8},
        projection_dim=8,
    )  # fmt: skip
    checker = StableDiffusionSafetyChecker(config)
    with torch.no_grad():
        checker.concept_embeds_weights.fill_(threshold)
        checker.special_care_embeds_weights.fill_(1.0)
    checker.save_pretrained(folder / "safety_checker")
    crop = {"height": 16, "width": 16}
    CLIPImageProcessorPil(size={"shortest_edge": 16}, crop_size=crop).save_pretrained(
        folder / "feature_extractor"
    )
    return folder


def settings(folder, **changes):
    """Settings that draw with this folder in three steps."""
    facts = {"model": str(folder), "scheduler": "ddim", "steps": 3, "guidance": 4.0, "size": 32}
    return DiffusionConfig(**{**facts, **changes})


def change_json(path, **changes):
    """Set keys of a JSON file."""
    tree = json.loads(path.read_text())
    path.write_text(json.dumps({**tree, **changes}))
