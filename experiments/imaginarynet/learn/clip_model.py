"""A small CLIPModel of transformers and the tokenizer of its captions, as a folder any CLIP loader takes.

    config.json, model.safetensors (float16)   CLIPModel.from_pretrained
    vocab.json, merges.txt, tokenizer.json, tokenizer_config.json   CLIPTokenizer
    preprocessor_config.json   CLIPImageProcessor

The vocabulary is built as that of the published CLIP: 256 bytes, the same as ends of words, the merges, the
two marks. So no text is unknown to it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from torch import nn
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

START, END = "<|startoftext|>", "<|endoftext|>"
WORD_END = "</w>"
MEAN = STD = (0.5, 0.5, 0.5)  # of [0, 1] pixels


@dataclass(frozen=True, kw_only=True)
class ClipSize:
    """Widths and depths of the two towers."""

    side: int = 64  # pixels
    patch: int = 8  # pixels
    width: int = 96
    layers: int = 5
    heads: int = 3
    hidden: int = 288
    text_width: int = 96
    text_layers: int = 2
    text_heads: int = 4
    text_hidden: int = 192
    text_length: int = 32  # tokens, the two marks among them
    shared: int = 64  # width of the space that both towers map to
    merges: int = 256


def build_model(size: ClipSize, tokenizer: CLIPTokenizer, *, seed: int) -> CLIPModel:
    """An untrained model on the CPU; the global generator of torch is as before."""
    marks = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    config = CLIPConfig(
        text_config={
            "vocab_size": len(tokenizer), "hidden_size": size.text_width,
            "intermediate_size": size.text_hidden, "num_hidden_layers": size.text_layers,
            "num_attention_heads": size.text_heads, "max_position_embeddings": size.text_length,
            "projection_dim": size.shared, "hidden_act": "gelu", "pad_token_id": tokenizer.pad_token_id,
            **marks,
        },
        vision_config={
            "hidden_size": size.width, "intermediate_size": size.hidden,
            "num_hidden_layers": size.layers, "num_attention_heads": size.heads, "image_size": size.side,
            "patch_size": size.patch, "projection_dim": size.shared, "hidden_act": "gelu",
        },
        projection_dim=size.shared,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return CLIPModel(config)


def train_tokenizer(texts: Sequence[str], *, merges: int) -> CLIPTokenizer:
    """Byte-level BPE of at most `merges` merges, counted on `texts`."""
    counted = Tokenizer(models.BPE(end_of_word_suffix=WORD_END))
    # The same three steps as the tokenizer that will use the merges.
    counted.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    counted.pre_tokenizer = CLIPTokenizer().backend_tokenizer.pre_tokenizer
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    counted.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=2 * len(alphabet) + merges, initial_alphabet=alphabet, end_of_word_suffix=WORD_END,
            show_progress=False,
        ),
    )  # fmt: skip
    pairs = [tuple(pair) for pair in json.loads(counted.to_str())["model"]["merges"]][:merges]
    words = [*alphabet, *(sign + WORD_END for sign in alphabet)]
    words += list(dict.fromkeys("".join(pair) for pair in pairs))
    vocabulary = {word: index for index, word in enumerate([*words, START, END])}
    return CLIPTokenizer(vocab=vocabulary, merges=pairs)


def tokenize(tokenizer: CLIPTokenizer, texts: Sequence[str], *, length: int) -> dict[str, torch.Tensor]:
    """`input_ids` and `attention_mask`, int64 (n, longest), cut at `length` tokens."""
    return dict(
        tokenizer(list(texts), padding=True, truncation=True, max_length=length, return_tensors="pt")
    )


def num_parameters(model: nn.Module) -> int:
    """Trained numbers of a network."""
    return sum(parameter.numel() for parameter in model.parameters())


def write_folder(folder: Path, model: CLIPModel, tokenizer: CLIPTokenizer) -> None:
    """Write a folder as above; the weights as float16."""
    folder.mkdir(parents=True, exist_ok=True)
    size = model.config.vision_config.image_size
    tensors = {
        name: tensor.detach().to("cpu", torch.float16 if tensor.is_floating_point() else tensor.dtype)
        for name, tensor in model.state_dict().items()
    }
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "model.safetensors",
              metadata={"format": "pt"})  # fmt: skip
    config = model.config.to_dict()
    config["architectures"] = ["CLIPModel"]
    (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    tokenizer.model_max_length = model.config.text_config.max_position_embeddings
    tokenizer.save_pretrained(folder)
    bpe = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    # Older loaders read these two; this version of transformers writes tokenizer.json alone.
    (folder / "vocab.json").write_text(json.dumps(bpe["vocab"]) + "\n", encoding="utf-8")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in bpe["merges"])]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    CLIPImageProcessorPil(
        size={"shortest_edge": size}, crop_size={"height": size, "width": size}, image_mean=list(MEAN),
        image_std=list(STD),
    ).save_pretrained(folder)  # fmt: skip
