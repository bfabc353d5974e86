"""Tiny models of random weights, in folders as the stages read them, for tests of the whole chain.

    overrides = model_overrides(make_models(folder))

JAX and PyTorch live in two environments: `make_models` calls each for its part (`python -m
tests.imaginarynet.fakes FOLDER jax|torch`). Prompts are bare: there is no language model small enough.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from suite.provenance import ROOT

PYTHONS = {"jax": ROOT / ".tox/jax/bin/python", "torch": ROOT / ".tox/detectron2/bin/python"}
TEXTS = ("a photo of a red mug", "a photo of a lemon on a wooden floor", "a photo of a chair")


def are_here() -> bool:
    """Whether both environments are there."""
    return all(path.is_file() for path in PYTHONS.values())


def make_models(folder: Path) -> Path:
    """Write dallebart/ (with its tokenizer), vqgan/, clip/ and diffusion/ below a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    for part, python in PYTHONS.items():
        command = [python, "-m", "tests.imaginarynet.fakes", folder, part]
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    return folder


def model_overrides(folder: Path) -> list[str]:
    """Settings that name the models of `make_models`."""
    names = {"dalle_mini.model": "dallebart", "dalle_mini.vqgan": "vqgan", "clip.model": "clip"}
    found = [f"{setting}={folder / name}" for setting, name in names.items()]
    return [*found, f"diffusion.model={folder / 'diffusion'}", "diffusion.size=16", "prompts.source=bare"]


def write_jax(folder: Path) -> None:
    """DALL-E mini: transformer, tokenizer, image tokenizer; pictures of 16 x 16 pixels."""
    from tests.imaginarynet.tiny_models import write_models

    write_models(folder)


def write_torch(folder: Path) -> None:
    """CLIP and a diffusion pipeline."""
    from experiments.imaginarynet.learn import clip_model, diffusion_model

    size = clip_model.ClipSize(
        side=16, patch=8, width=32, layers=2, heads=2, hidden=32, text_width=32, text_layers=2, text_heads=2,
        text_hidden=32, shared=16, merges=32,
    )  # fmt: skip
    words = clip_model.train_tokenizer(TEXTS, merges=size.merges)
    clip_model.write_folder(folder / "clip", clip_model.build_model(size, words, seed=0), words)
    small = diffusion_model.DiffusionSize(
        side=16, vae_channels=(8, 8, 8), unet_channels=(8, 16), head_width=8, text_width=16, text_layers=1,
        text_heads=2, merges=32,
    )  # fmt: skip
    diffusion_model.write_folder(
        folder / "diffusion",
        vae=diffusion_model.build_autoencoder(small, seed=1),
        unet=diffusion_model.build_unet(small, seed=2),
        text_encoder=diffusion_model.build_text_encoder(small, words, seed=3),
        tokenizer=words,
    )


if __name__ == "__main__":
    {"jax": write_jax, "torch": write_torch}[sys.argv[2]](Path(sys.argv[1]))
