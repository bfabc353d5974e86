"""CLIP's probability of every class for every picture: one model, texts encoded once, fixed batches.

    scorer = ClipScorer.load(folder, class_names, settings, device="cpu")
    scorer.scores(pictures)        # float32 (n, C), rows sum to 1

p = softmax(scale * cosine) over the texts `template` of all classes, the scale fixed (100) instead of the
learned one (published code, CLIP filter; which loads the model and encodes all texts again for every
picture, and fails for fewer than 5 classes). Every call of the image tower has `batch` rows, the last ones
filled up, so that no score depends on how many pictures there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors import SafetensorError
from torch import Tensor
from transformers import CLIPModel, CLIPTokenizer
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from experiments.imaginarynet.config_sections import CLASS_PLACE, ClipConfig
from suite.errors import BadInput, Missing

PREPROCESSOR = "preprocessor_config.json"


class ClipScorer:
    """A CLIP with the texts of some classes."""

    def __init__(
        self,
        model: CLIPModel,
        tokenizer: CLIPTokenizer,
        processor: CLIPImageProcessorPil,
        class_names: Sequence[str],
        settings: ClipConfig,
    ) -> None:
        """Encodes the texts. Raises BadInput for fewer than 2 classes, or a text too long for the model."""
        if len(class_names) < 2:
            raise BadInput(
                f"the filter needs 2 classes or more, there is {len(class_names)}", fix="add a class"
            )
        self.model, self.processor = model.eval().requires_grad_(False), processor
        self.class_names, self.settings = tuple(class_names), settings
        self.device = next(model.parameters()).device
        self._texts = self._encode_texts(tokenizer)

    @classmethod
    def load(
        cls, folder: Path, class_names: Sequence[str], settings: ClipConfig, *, device: str = "cpu"
    ) -> ClipScorer:
        """Read a folder of transformers. Raises BadInput for one that is no CLIP, Missing without its GPU."""
        if device != "cpu" and not torch.cuda.is_available():
            raise Missing("torch sees no GPU", fix="run with DEVICE=cpu, set clip.cpu, or see docs/gpu.md")
        model = read_model(folder, dtype=settings.dtype).to(device)
        return cls(model, read_tokenizer(folder), read_processor(folder, model), class_names, settings)

    @torch.inference_mode()
    def scores(self, pictures: Iterable[np.ndarray]) -> np.ndarray:
        """float32 (n, C): probabilities of the classes for pictures uint8 (H, W, 3) of any sizes."""
        parts = [self._probabilities(part) for part in _parts(pictures, self.settings.batch)]
        empty = np.zeros((0, len(self.class_names)), dtype=np.float32)
        return np.concatenate([empty, *parts])

    def _probabilities(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        images = [Image.fromarray(picture) for picture in pictures]
        pixels = self.processor(images, return_tensors="pt")["pixel_values"]
        fill = self.settings.batch - len(images)
        pixels = torch.cat([pixels, pixels[-1:].expand(fill, -1, -1, -1)]).to(self.device, self.model.dtype)
        seen = _unit(self.model.get_image_features(pixel_values=pixels).pooler_output)
        probabilities = (self.settings.scale * seen @ self._texts.T).softmax(1)
        return probabilities[: len(images)].cpu().numpy()

    @torch.inference_mode()
    def _encode_texts(self, tokenizer: CLIPTokenizer) -> Tensor:
        """Unit features float32 (C, D) of all class texts."""
        texts = [self.settings.template.replace(CLASS_PLACE, name) for name in self.class_names]
        tokens = tokenizer(texts, padding=True, return_tensors="pt")
        most = self.model.config.text_config.max_position_embeddings
        lengths = tokens["attention_mask"].sum(1)
        if int(lengths.max()) > most:
            text = texts[int(lengths.argmax())]
            raise BadInput(
                f"{text!r} has {int(lengths.max())} tokens, this CLIP reads {most}", fix="shorten the name"
            )
        names = ("input_ids", "attention_mask")
        return _unit(
            self.model.get_text_features(**{n: tokens[n].to(self.device) for n in names}).pooler_output
        )


@lru_cache(maxsize=1)
def shared_scorer(
    folder: Path, digest: str, class_names: tuple[str, ...], settings: ClipConfig, device: str
) -> ClipScorer:
    """`ClipScorer.load`, once for all shards that one process does. digest: of the weights in the folder."""
    return ClipScorer.load(folder, class_names, settings, device=device)


def read_model(folder: Path, *, dtype: str) -> CLIPModel:
    """The model of a folder on the CPU. Raises BadInput where its weights are damaged or do not fit."""
    fix = "put the files of one CLIP model there, as transformers saves them"
    try:
        model, report = CLIPModel.from_pretrained(
            folder, dtype=getattr(torch, dtype), local_files_only=True, use_safetensors=True,
            output_loading_info=True,
        )  # fmt: skip
    except (OSError, ValueError, RuntimeError, SafetensorError, KeyError) as error:
        what = f"is no CLIP that transformers can load ({type(error).__name__})"
        raise BadInput(what, file=folder, fix=fix) from None
    # transformers fills what it misses with random numbers, and only warns.
    missing = sorted(report["missing_keys"])
    if missing:
        raise BadInput(f"lacks {len(missing)} tensors of CLIP, {missing[0]} first", file=folder, fix=fix)
    return model


def read_tokenizer(folder: Path) -> CLIPTokenizer:
    """The tokenizer of a folder. Raises BadInput."""
    try:
        return CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # noqa: BLE001 - the library raises nothing narrower
        what = f"has no tokenizer of CLIP ({type(error).__name__})"
        fix = "put tokenizer.json, or vocab.json and merges.txt, there"
        raise BadInput(what, file=folder, fix=fix) from None


def read_processor(folder: Path, model: CLIPModel) -> CLIPImageProcessorPil:
    """Resizing, cropping and scaling as the folder says, or CLIP's own at the model's size.

    By Pillow, as published: bicubic, shortest side to the model's, centre crop.
    """
    side = model.config.vision_config.image_size
    if not (folder / PREPROCESSOR).is_file():
        return CLIPImageProcessorPil(
            size={"shortest_edge": side}, crop_size={"height": side, "width": side}
        )
    processor = CLIPImageProcessorPil.from_pretrained(folder, local_files_only=True)
    crop: Any = processor.crop_size
    if (crop["height"], crop["width"]) != (side, side):
        what = f"crops to {crop['height']} x {crop['width']}, the model sees {side} x {side}"
        raise BadInput(what, file=folder / PREPROCESSOR, fix="take the file that belongs to the model")
    return processor


def _parts(pictures: Iterable[np.ndarray], size: int) -> Iterator[list[np.ndarray]]:
    rest = iter(pictures)
    while part := list(islice(rest, size)):
        yield part


def _unit(features: Tensor) -> Tensor:
    return F.normalize(features.float(), dim=-1)
