"""How the wide stages are cut: lists that follow from the settings alone (`objects`: objects/shards.py).

A stage works on one object (one_object.py); these functions take settings of any number and keep their order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from experiments.sample_synthesis.cells import Cell, other_cells, pretraining_cells, variants
from experiments.sample_synthesis.config import SampleSynthesisConfig
from experiments.sample_synthesis.names import Variant


@dataclass(frozen=True)
class SynthShard:
    """Synthetic images start .. stop - 1 (from 0) of one stream."""

    object: str
    variant: Variant
    start: int
    stop: int


def synth_shards(config: SampleSynthesisConfig) -> tuple[SynthShard, ...]:
    """Those of the stage `synth`: each variant that some cell sees, `compute.synth_shard_size` at a time."""
    found = []
    for name in config.objects:
        total = config.of(name).synthesis.num_samples
        for variant in variants(config, name):
            found += [SynthShard(name, variant, *cut) for cut in cuts(total, config.compute.synth_shard_size)]
    return tuple(found)


def pretrain_shards(config: SampleSynthesisConfig) -> tuple[tuple[Cell, ...], ...]:
    """Those of the stage `pretrain`: the cells that each process trains, one after the other."""
    return share(pretraining_cells(config), config.compute.cells_per_shard)


def cell_shards(config: SampleSynthesisConfig) -> tuple[tuple[Cell, ...], ...]:
    """Those of the stage `cells`."""
    return share(other_cells(config), config.compute.cells_per_shard)


def cuts(total: int, size: int) -> list[tuple[int, int]]:
    """(start, stop) of the pieces of `total` items, each of `size` but the last."""
    return [(start, min(start + size, total)) for start in range(0, total, size)]


def share(items: Sequence[Cell], most: int) -> tuple[tuple[Cell, ...], ...]:
    """Neighbours in as few parts of at most `most` as there can be, whose sizes differ by one at most."""
    parts = -(-len(items) // most)
    ends = [number * len(items) // parts for number in range(parts + 1)] if parts else [0]
    return tuple(tuple(items[start:stop]) for start, stop in zip(ends, ends[1:], strict=False))
