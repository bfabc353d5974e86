"""Read a pipeline folder of the v1 class as diffusers writes it; nothing in it is unpickled, run or fetched.

Each part is read by the class that belongs there, whatever model_index.json names, from safetensors alone.
Damaged weights and weights of another architecture are told with their file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from safetensors import SafetensorError
from transformers import CLIPTextModel, CLIPTokenizer
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from suite.errors import BadInput, Missing
from suite.manifest import read_json

CLASSES = ("StableDiffusionPipeline", "LatentConsistencyModelPipeline")  # the second: same parts, fewer steps
CHECKER, EXTRACTOR = "safety_checker", "feature_extractor"
AGAIN = "put the published folder there again"
DAMAGE = (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, SafetensorError)


@dataclass
class Parts:
    """The parts of a pipeline, on the CPU."""

    vae: AutoencoderKL
    unet: UNet2DConditionModel
    text_encoder: CLIPTextModel
    tokenizer: CLIPTokenizer
    schedule: dict[str, Any]  # scheduler_config.json
    checker: StableDiffusionSafetyChecker | None = None
    extractor: CLIPImageProcessorPil | None = None

    @property
    def factor(self) -> int:
        """Pixels a side for one position of a latent."""
        return 2 ** (len(self.vae.config.block_out_channels) - 1)

    @property
    def text_length(self) -> int:
        """Tokens that a text is cut and filled up to."""
        places = self.text_encoder.config.max_position_embeddings
        return min(self.tokenizer.model_max_length, places)

    @property
    def native_size(self) -> int | None:
        """Pixels a side that the UNet was made for; None where its settings tell no single number."""
        side = self.unet.config.sample_size
        return side * self.factor if isinstance(side, int) else None


def has_checker(folder: Path) -> bool:
    """Whether the safety checker and its settings of pictures are there, as safetensors."""
    return (
        _variant(folder / CHECKER, "model") is not None
        and (folder / EXTRACTOR / "preprocessor_config.json").is_file()
    )


def read_parts(folder: Path, *, dtype: torch.dtype, checker: bool) -> Parts:
    """Every part of a checked folder (models.find_model). checker: with the safety checker.

    Raises BadInput for a pipeline of another class and for damaged parts, Missing for a checker that is asked
    for and not there.
    """
    index = read_json(folder / "model_index.json")
    name = index.get("_class_name") if isinstance(index, dict) else None
    if name not in CLASSES:
        raise BadInput(
            f"is a pipeline of class {name}, not {CLASSES[0]}",
            file=folder / "model_index.json",
            fix="give the folder of a v1-class model",
        )
    if checker and not has_checker(folder):
        raise Missing(
            "the safety checker is not there", file=folder / CHECKER,
            fix=f"put {CHECKER}/ (safetensors) and {EXTRACTOR}/ there, or set diffusion.safety=auto or off",
        )  # fmt: skip
    tokenizer = _guarded(
        folder / "tokenizer", lambda f: CLIPTokenizer.from_pretrained(f, local_files_only=True)
    )
    parts = Parts(
        vae=_network(AutoencoderKL, folder / "vae", dtype),
        unet=_network(UNet2DConditionModel, folder / "unet", dtype),
        text_encoder=_network(CLIPTextModel, folder / "text_encoder", dtype),
        tokenizer=tokenizer, schedule=_schedule(folder / "scheduler" / "scheduler_config.json"),
    )  # fmt: skip
    if checker:
        parts.checker = _network(StableDiffusionSafetyChecker, folder / CHECKER, dtype)
        parts.extractor = _guarded(
            folder / EXTRACTOR, lambda f: CLIPImageProcessorPil.from_pretrained(f, local_files_only=True)
        )
    return _fitting(parts, folder)


def _fitting(parts: Parts, folder: Path) -> Parts:
    """The same parts, where they fit together. Raises BadInput."""
    pairs = (
        ("unet", "in_channels", parts.unet.config.in_channels, "vae", parts.vae.config.latent_channels),
        ("unet", "cross_attention_dim", parts.unet.config.cross_attention_dim, "text_encoder",
         parts.text_encoder.config.hidden_size),
    )  # fmt: skip
    for one, key, have, other, want in pairs:
        if have != want:
            what = f"`{key}` is {have}, {other} has {want}: the parts are of different models"
            raise BadInput(what, file=folder / one, fix=AGAIN)
    words, rows = len(parts.tokenizer), parts.text_encoder.config.vocab_size
    if words > rows:
        what = f"has {words} tokens, the text encoder {rows}"
        raise BadInput(what, file=folder / "tokenizer", fix=AGAIN)
    return parts


def _network(kind: Any, folder: Path, dtype: torch.dtype) -> Any:
    """A network of diffusers or transformers, in evaluation mode. Raises BadInput."""
    stem = "diffusion_pytorch_model" if kind in (AutoencoderKL, UNet2DConditionModel) else "model"
    network, info = _guarded(
        folder,
        lambda f: kind.from_pretrained(
            f, local_files_only=True, use_safetensors=True, variant=_variant(f, stem) or None,
            torch_dtype=dtype, output_loading_info=True,
        ),
    )  # fmt: skip
    # Libraries fill up what a file lacks with random numbers; a picture would be noise.
    lacking = sorted(info["missing_keys"]) + sorted(str(key) for key in info["mismatched_keys"])
    if lacking:
        raise BadInput(f"the weights lack `{lacking[0]}`", file=folder, fix=AGAIN)
    return network.eval().requires_grad_(False)


def _variant(folder: Path, stem: str) -> str | None:
    """What stands between stem and ending of the weights: "" or "fp16"; None where there are none."""
    for variant in ("", "fp16"):
        name = f"{stem}.{variant}.safetensors" if variant else f"{stem}.safetensors"
        if (folder / name).is_file():
            return variant
    return None


def _schedule(path: Path) -> dict[str, Any]:
    tree = read_json(path)
    if not isinstance(tree, dict) or "num_train_timesteps" not in tree:
        raise BadInput("no settings of a noise schedule", file=path, fix=AGAIN)
    return tree


def _guarded(folder: Path, read: Callable[[Path], Any]) -> Any:
    """What `read` returns. Whatever it says of a damaged folder becomes one line."""
    try:
        return read(folder)
    except DAMAGE as error:
        text = str(error).strip().splitlines()
        what = f"cannot be read ({type(error).__name__}: {text[0][:160] if text else 'no message'})"
        raise BadInput(what, file=folder, fix=AGAIN) from error
