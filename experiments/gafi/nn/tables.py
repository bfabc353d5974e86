"""Channels and resolutions of BigGAN-deep by image size.

Sizes 32 (all published runs) and 64 are those of the published code; 16 is ours, for small runs: one stage
less, attention where the map is 8x8. All widths are multiples of `g_conv_dim` or `d_conv_dim`.
"""

from __future__ import annotations

from dataclasses import dataclass

from suite.errors import BadInput

FIRST_SIZE = 4  # side of the generator's first map, pixels


@dataclass(frozen=True)
class GeneratorTable:
    """One entry per stage; each stage doubles the map's side."""

    in_channels: tuple[int, ...]
    out_channels: tuple[int, ...]
    attention_after: int  # index of the stage


@dataclass(frozen=True)
class DiscriminatorTable:
    """One entry per stage; `down` tells whether the stage halves the map's side."""

    in_channels: tuple[int, ...]
    out_channels: tuple[int, ...]
    down: tuple[bool, ...]
    attention_after: int  # index of the stage


GENERATORS = {
    16: GeneratorTable((4, 4), (4, 4), 0),
    32: GeneratorTable((4, 4, 4), (4, 4, 4), 1),
    64: GeneratorTable((16, 8, 4, 2), (8, 4, 2, 1), 2),
}
DISCRIMINATORS = {
    16: DiscriminatorTable((1, 4), (4, 4), (True, False), 0),
    32: DiscriminatorTable((1, 4, 4), (4, 4, 4), (True, True, False), 0),
    64: DiscriminatorTable((1, 2, 4, 8), (2, 4, 8, 16), (True, True, True, True), 0),
}


def generator_table(image_size: int) -> GeneratorTable:
    """Raises BadInput for a size without a table."""
    return _look_up(GENERATORS, image_size)


def discriminator_table(image_size: int) -> DiscriminatorTable:
    """Raises BadInput for a size without a table."""
    return _look_up(DISCRIMINATORS, image_size)


def _look_up(tables: dict, image_size: int):
    if image_size not in tables:
        known = ", ".join(map(str, tables))
        what = f"no BigGAN-deep for images of {image_size} px"
        raise BadInput(what, fix=f"set DATA.image_size to one of {known}")
    return tables[image_size]
