"""The settings of a VQGAN, in the words of the published config.json; needs no framework.

The checkpoint `vqgan_imagenet_f16_16384` says its values in its own config.json; F16_16384 holds what its
name and the defaults of the published code give (256 x 256 pictures, 16 x 16 codes out of 16384).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from suite.errors import BadInput

CONFIG_FILE = "config.json"
FIX = "give the config.json of a VQGAN, as `train-vqgan` or the published checkpoint has it"


@dataclass(frozen=True)
class VQGANConfig:
    """A VQGAN. Raises BadInput for one that cannot be built.

    num_groups: of the group normalisations; published: 32.
    repeated_attention: where a level has attention, run all its attention blocks after each of its residual
    blocks, as the published JAX code does; False: each residual block is followed by its own alone, as in the
    network that the published weights were converted from. Both have the same parameters.
    """

    ch: int = 128
    ch_mult: tuple[int, ...] = (1, 1, 2, 2, 4)
    num_res_blocks: int = 2
    attn_resolutions: tuple[int, ...] = (16,)
    resolution: int = 256
    z_channels: int = 256
    embed_dim: int = 256
    n_embed: int = 1024
    in_channels: int = 3
    out_ch: int = 3
    num_groups: int = 32
    repeated_attention: bool = False

    def __post_init__(self) -> None:
        counts = (
            "ch", "num_res_blocks", "resolution", "z_channels", "embed_dim", "n_embed", "in_channels",
            "out_ch", "num_groups",
        )  # fmt: skip
        for name in counts:
            if not _is_count(getattr(self, name)):
                raise BadInput(f"VQGAN: {name} is {getattr(self, name)!r}, not a number above 0", fix=FIX)
        for name in ("ch_mult", "attn_resolutions"):
            values = getattr(self, name)
            if not isinstance(values, tuple) or not all(map(_is_count, values)):
                raise BadInput(f"VQGAN: {name} is {values!r}, not a list of numbers above 0", fix=FIX)
        if not self.ch_mult:
            raise BadInput("VQGAN: ch_mult is empty", fix=FIX)
        if self.resolution % self.factor:
            what = f"VQGAN: resolution {self.resolution} cannot be halved {len(self.ch_mult) - 1} times"
            raise BadInput(what, fix=FIX)
        odd = [width for width in self.widths if width % self.num_groups]
        if odd:
            raise BadInput(f"VQGAN: width {odd[0]} is no multiple of num_groups {self.num_groups}", fix=FIX)

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each level, from the finest."""
        return tuple(self.ch * mult for mult in self.ch_mult)

    @property
    def factor(self) -> int:
        """Pixels along a side for one code."""
        return 2 ** (len(self.ch_mult) - 1)

    @property
    def grid(self) -> int:
        """Codes along a side of a picture of `resolution`."""
        return self.resolution // self.factor

    @property
    def num_codes(self) -> int:
        """Codes of a picture."""
        return self.grid**2

    def has_attention(self, level: int) -> bool:
        """Whether the blocks of a level (0: the finest) are followed by attention."""
        return self.resolution // 2**level in self.attn_resolutions


def count_parameters(config: VQGANConfig) -> int:
    """Parameters of encoder, decoder, quantiser and the two 1 x 1 convolutions beside it, by formula."""
    codebook = config.n_embed * config.embed_dim
    quant = _conv(config.z_channels, config.embed_dim, 1) + _conv(config.embed_dim, config.z_channels, 1)
    return count_encoder(config) + count_decoder(config) + codebook + quant


def count_encoder(config: VQGANConfig) -> int:
    """Parameters of the encoder."""
    widths = config.widths
    total, before = _conv(config.in_channels, config.ch), config.ch
    for level, width in enumerate(widths):
        total += _level(config, level, before, config.num_res_blocks)
        total += _conv(width, width) if level < len(widths) - 1 else 0
        before = width
    return total + _middle(before) + 2 * before + _conv(before, config.z_channels)


def count_decoder(config: VQGANConfig) -> int:
    """Parameters of the decoder, whose levels have one residual block more than the encoder's."""
    widths = config.widths
    before = widths[-1]
    total = _conv(config.z_channels, before) + _middle(before)
    for level in reversed(range(len(widths))):
        total += _level(config, level, before, config.num_res_blocks + 1)
        total += _conv(widths[level], widths[level]) if level else 0
        before = widths[level]
    return total + 2 * before + _conv(before, config.out_ch)


def _conv(inputs: int, outputs: int, side: int = 3) -> int:
    return side * side * inputs * outputs + outputs


def _residual(inputs: int, outputs: int) -> int:
    shortcut = _conv(inputs, outputs, 1) if inputs != outputs else 0
    return 2 * inputs + _conv(inputs, outputs) + 2 * outputs + _conv(outputs, outputs) + shortcut


def _attention(width: int) -> int:
    return 2 * width + 4 * _conv(width, width, 1)


def _level(config: VQGANConfig, level: int, before: int, blocks: int) -> int:
    width = config.widths[level]
    total = _residual(before, width) + (blocks - 1) * _residual(width, width)
    return total + (blocks * _attention(width) if config.has_attention(level) else 0)


def _middle(width: int) -> int:
    return 2 * _residual(width, width) + _attention(width)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


# --- config.json ---

# What the published code can do besides, with the only value that this one computes.
_FIXED = {"double_z": False, "give_pre_end": False, "resamp_with_conv": True}


def config_from_json(tree: Mapping[str, Any], *, where: str | Path) -> VQGANConfig:
    """The settings in a config.json, ours or the hub's; other keys are left alone. Raises BadInput.

    A config.json without `num_groups` is the hub's: 32 groups and the attention of the published code.
    """
    for name, value in _FIXED.items():
        if tree.get(name, value) != value:
            raise BadInput(f"VQGAN with {name} {tree[name]!r} is not supported", file=where, fix=FIX)
    given = {field.name: tree[field.name] for field in fields(VQGANConfig) if field.name in tree}
    needed = sorted({"ch", "ch_mult", "n_embed", "embed_dim", "z_channels", "resolution"} - given.keys())
    if needed:
        raise BadInput(f"no `{needed[0]}`", file=where, fix=FIX)
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    if "num_groups" not in given:
        given.setdefault("repeated_attention", True)
    try:
        return VQGANConfig(**given)
    except BadInput as error:
        raise BadInput(error.what, file=where, fix=error.fix) from None


def config_to_json(config: VQGANConfig) -> dict[str, Any]:
    """The JSON tree of a config.json."""
    values = asdict(config).items()
    return {"model_type": "vqgan"} | {k: list(v) if isinstance(v, tuple) else v for k, v in values}


def read_config(folder: Path) -> VQGANConfig:
    """The settings of the model in a folder. Raises BadInput."""
    path = folder / CONFIG_FILE
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadInput("no such file", file=path, fix=FIX) from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise BadInput(f"is no JSON ({type(error).__name__})", file=path, fix=FIX) from None
    if not isinstance(tree, dict):
        raise BadInput("is no table of settings", file=path, fix=FIX)
    return config_from_json(tree, where=path)


# --- sizes with a name ---

F16_16384 = VQGANConfig(n_embed=16384, repeated_attention=True)
# 64 x 64 pictures, 8 x 8 codes: what `train-vqgan` makes.
EMBEDDED = VQGANConfig(
    ch=16, ch_mult=(1, 1, 2, 4), num_res_blocks=1, attn_resolutions=(8,), resolution=64, z_channels=64,
    embed_dim=32, n_embed=256, num_groups=8,
)  # fmt: skip
