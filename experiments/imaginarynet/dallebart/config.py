"""Sizes of DalleBart and what they come to in parameters. Needs no framework.

Source: published code of DALL-E mini (model configuration). A `config.json` of this repository has the
published names, so that one reader serves both.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from suite.errors import BadInput, Missing

CONFIG_FILE = "config.json"

# Text ids of the tokenizer's special tokens, in every published model.
TEXT_BOS, TEXT_PAD, TEXT_EOS = 0, 1, 2

# Switches of the published class that change the network and that the published models leave so.
_FIXED = {
    "activation_function": "gelu",
    "ln_positions": "normformer",
    "ln_type": "layernorm",
    "scale_embedding": False,
    "sinkhorn_iters": 1,
    "tie_word_embeddings": False,
    "use_absolute_position_embeddings": True,
    "use_alibi": False,
    "use_bias": False,
    "use_cosine_attention": False,
    "use_deepnet_scaling": False,
    "use_final_ln_decoder": True,
    "use_final_ln_encoder": True,
    "use_glu": True,
    "use_head_scale": False,
    "use_swin_position_embeddings": False,
    "force_ln_scale": False,
}

_KEYS = {
    "width": ("d_model",),
    "heads": ("encoder_attention_heads", "decoder_attention_heads"),
    "encoder_layers": ("encoder_layers",),
    "decoder_layers": ("decoder_layers",),
    "glu_width": ("encoder_ffn_dim", "decoder_ffn_dim"),
    "text_vocab": ("encoder_vocab_size",),
    "image_vocab": ("image_vocab_size",),
    "text_length": ("max_text_length",),
    "image_length": ("image_length",),
    "decoder_start": ("decoder_start_token_id",),
    "init_std": ("init_std",),
}


@dataclass(frozen=True, kw_only=True)
class DalleBartConfig:
    """Sizes of the network. Hashable: a compiled function takes it as a static argument."""

    width: int  # of the residual stream
    heads: int
    encoder_layers: int
    decoder_layers: int
    glu_width: int
    text_vocab: int
    image_vocab: int  # the tables have one row more
    text_length: int  # longest text, in tokens
    image_length: int  # tokens of a picture
    decoder_start: int  # id before the first code of a picture; ids below it are codes
    init_std: float = 0.02

    def __post_init__(self) -> None:
        for name in _KEYS:
            if not getattr(self, name) > 0:
                raise BadInput(f"DalleBart: `{name}` is {getattr(self, name)}", fix="it must be above 0")
        if self.width % self.heads:
            raise BadInput(f"DalleBart: width {self.width} is no multiple of {self.heads} heads")
        if self.decoder_start > self.image_vocab:
            raise BadInput(
                f"DalleBart: start id {self.decoder_start} is outside of {self.image_vocab + 1} rows",
                fix="decoder_start_token_id may be image_vocab_size at most",
            )

    @property
    def codebook(self) -> int:
        """Number of picture codes: ids 0..codebook-1. Everything above is special and never sampled."""
        return self.decoder_start

    @property
    def image_rows(self) -> int:
        """Rows of the picture's embedding and of the output."""
        return self.image_vocab + 1

    @property
    def head_width(self) -> int:
        return self.width // self.heads

    def count_parameters(self) -> int:
        """Number of parameters: the sum over the blocks, without making them."""
        d, f = self.width, self.glu_width
        tables = (self.text_vocab + 2 * self.image_rows + self.text_length + self.image_length) * d
        encoder = self.encoder_layers * (4 * d * d + 3 * d * f + 4 * d + f)
        decoder = self.decoder_layers * (8 * d * d + 3 * d * f + 7 * d + f)
        return tables + encoder + decoder + 6 * d


MINI = DalleBartConfig(
    width=1024, heads=16, encoder_layers=12, decoder_layers=12, glu_width=2730, text_vocab=50264,
    image_vocab=16384, text_length=64, image_length=256, decoder_start=16384,
)  # fmt: skip
MEGA = DalleBartConfig(
    width=2048, heads=32, encoder_layers=24, decoder_layers=24, glu_width=4096, text_vocab=50272,
    image_vocab=16415, text_length=64, image_length=256, decoder_start=16384, init_std=0.01,
)  # fmt: skip
TINY = DalleBartConfig(
    width=96, heads=4, encoder_layers=3, decoder_layers=3, glu_width=192, text_vocab=600,
    image_vocab=256, text_length=24, image_length=64, decoder_start=256,
)  # fmt: skip
PRESETS = {"tiny": TINY, "mini": MINI, "mega": MEGA}


def read_config(folder: Path) -> DalleBartConfig:
    """The sizes in `folder`/config.json, written by `write_config` or published.

    Raises Missing without the file, BadInput for a damaged one or for a network of another kind.
    """
    path = folder / CONFIG_FILE
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Missing("no such file", file=path, fix="put the model's config.json there") from None
    except ValueError:
        raise BadInput("not valid JSON", file=path, fix="fetch or make it again") from None
    if not isinstance(tree, dict):
        raise BadInput("must be a mapping of names to values", file=path, fix="fetch or make it again")
    return from_tree(tree, where=path)


def from_tree(tree: Mapping[str, Any], *, where: Path) -> DalleBartConfig:
    """The sizes among the published names in `tree`; `where` names the file in errors."""
    for name, value in _FIXED.items():
        if name in tree and tree[name] != value:
            raise BadInput(
                f"`{name}` is {tree[name]!r}: only networks with {value!r} can be used",
                file=where,
                fix="take DALL-E mini or mega, or a model trained here",
            )
    values: dict[str, Any] = {}
    for name, keys in _KEYS.items():
        found = {tree[key] for key in keys if isinstance(tree.get(key), (int, float))}
        if len(found) > 1:
            raise BadInput(f"{' and '.join(f'`{key}`' for key in keys)} differ", file=where)
        if found:
            values[name] = found.pop()
    values.setdefault("decoder_start", values.get("image_vocab"))
    values.setdefault("init_std", 0.02)
    missing = [_KEYS[name][0] for name in _KEYS if values.get(name) is None]
    if missing:
        raise BadInput(f"no number `{missing[0]}`", file=where, fix="fetch or make it again")
    return DalleBartConfig(**{k: v if k == "init_std" else int(v) for k, v in values.items()})


def write_config(config: DalleBartConfig, folder: Path) -> Path:
    """Write `folder`/config.json under the published names, with the switches that go with them."""
    tree: dict[str, Any] = {"model_type": "dallebart", **_FIXED}
    for name, keys in _KEYS.items():
        tree.update(dict.fromkeys(keys, getattr(config, name)))
    path = folder / CONFIG_FILE
    path.write_text(json.dumps(tree, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return path
