"""The stage `objects`: pictures of single objects and their masks, one shard per object and source.

Pictures are read in chunks; a finished chunk is kept, so a stopped shard goes on from there with the same
result. What does not decode is left out and counted. Masks of the provider `redo` are made by a stage of its
own, in the toolchain that has PyTorch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from experiments.sample_synthesis.config import SampleSynthesisConfig
from experiments.sample_synthesis.objects.backgrounds import list_backgrounds
from experiments.sample_synthesis.objects.mask_cache import MaskCache, predict_masks
from experiments.sample_synthesis.objects.mask_set import cache_folder, oriented, write_masks
from experiments.sample_synthesis.objects.masks import AlphaMasks, EllipseMasks, open_provider, quantised
from experiments.sample_synthesis.objects.object_set import BACKGROUNDS, PICTURES, Index, write_index
from experiments.sample_synthesis.objects.shards import object_shards, source_of
from experiments.sample_synthesis.objects.sources import Pictures, open_pictures
from experiments.sample_synthesis.objects.types import MaskProvider
from suite.arrays import write_arrays
from suite.datasets.faults import NUM_EXAMPLES, Fault
from suite.errors import BadInput
from suite.manifest import read_json, write_json
from suite.paths import data_path

if TYPE_CHECKING:
    from suite.stage import Context

CHUNK = 128  # pictures read and kept at a time


def run(ctx: Context) -> None:
    """One shard: pictures.npy, masks.npy, masks.json, index.json, backgrounds.json."""
    name, variant = object_shards(ctx.config)[ctx.shard or 0]
    if variant == "masked":
        _write_backgrounds(ctx, name)
    if name == "qr":
        write_index(ctx.out, Index(name, variant, "library", 0, (), {}, ()))
        return
    source = source_of(ctx.config, name, variant)
    pictures = open_pictures(source, name, split_file=_split_file(ctx.config, name))
    provider = _provider(ctx.config, name)
    if isinstance(provider, AlphaMasks) and not pictures.has_alpha:
        fix = "choose masks.provider: grabcut"
        raise BadInput(f"pictures of {source.kind} have no alpha channel", fix=fix)
    cache = MaskCache(cache_folder(ctx.final))
    _read_chunks(ctx, pictures, provider, cache)
    index = _gather(ctx, name, variant, source.kind, source.size, pictures.keys)
    if provider is not None:
        masks = np.concatenate(list(_chunks(ctx.work, len(pictures.keys), "masks")))
        found = oriented(masks, provider)
        if len(found.empty) == len(masks):
            raise BadInput(f"{provider.key}: every mask is empty", fix="choose another masks.provider")
        write_masks(ctx.out, found)
        ctx.count("empty masks", len(found.empty))
    write_index(ctx.out, index)
    ctx.facts |= {"masks": dict(cache.counts), "left_out": index.skipped, "examples": list(index.examples)}


def _split_file(config: SampleSynthesisConfig, name: str) -> Path | None:
    real = config.of(name).real
    if real.kind != "cub" or real.split_file is None:
        return None
    return data_path(real.folder or "") / real.split_file


def _provider(config: SampleSynthesisConfig, name: str) -> MaskProvider | None:
    """None: there are no masks, or another stage makes them."""
    provider = config.of(name).masks.provider
    return None if provider in ("none", "redo") else open_provider(provider)


def _write_backgrounds(ctx: Context, name: str) -> None:
    listed = list_backgrounds(ctx.config, name)
    for text in listed.warnings:
        ctx.warn(text)
    for kind, number in listed.counts.items():
        ctx.count(f"backgrounds {kind}", number)
    write_json(ctx.out / BACKGROUNDS, listed.tree())


def _read_chunks(ctx: Context, pictures: Pictures, provider: MaskProvider | None, cache: MaskCache) -> None:
    """Chunks of pictures, with their masks, as files of the work folder; those that are there are kept."""
    batch = ctx.config.of(object_shards(ctx.config)[ctx.shard or 0][0]).masks.batch
    total = len(pictures.keys)
    with ctx.progress(total) as bar:
        for start in range(0, total, CHUNK):
            rows = range(start, min(start + CHUNK, total))
            record = ctx.work / f"{start:07d}.json"
            if not record.exists():
                ctx.check_stop()
                kept, images, faults = _read(pictures, rows, alpha=isinstance(provider, AlphaMasks))
                arrays = {"pictures": images[..., :3]}
                if provider is not None:
                    arrays["masks"] = _masks(images, provider, cache, batch, ctx)
                write_arrays(record.with_suffix(".npz"), **arrays)
                write_json(record, {"rows": kept, "faults": faults})  # last: the chunk is finished
            bar.advance(len(rows))


def _read(
    pictures: Pictures, rows: Iterable[int], *, alpha: bool
) -> tuple[list[int], np.ndarray, list[tuple[str, str]]]:
    kept, images, faults = [], [], []
    for row in rows:
        try:
            images.append(pictures.read(row, alpha=alpha))
            kept.append(row)
        except Fault as fault:
            faults.append((fault.kind, str(fault)))
    channels = 4 if alpha else 3
    stacked = np.stack(images) if images else np.zeros((0, pictures.size, pictures.size, channels), np.uint8)
    return kept, stacked, faults


def _masks(
    images: np.ndarray, provider: MaskProvider, cache: MaskCache, batch: int, ctx: Context
) -> np.ndarray:
    if isinstance(provider, (AlphaMasks, EllipseMasks)):  # reading these back takes longer than making them
        return quantised(provider.masks(images))
    return predict_masks(images, provider, cache, batch=batch, check_stop=ctx.check_stop)


def _chunks(work: Path, total: int, name: str) -> Iterable[np.ndarray]:
    for start in range(0, total, CHUNK):
        with np.load(work / f"{start:07d}.npz", allow_pickle=False) as chunk:
            yield chunk[name]


def _gather(ctx: Context, name: str, variant: str, kind: str, size: int, keys: Sequence[str]) -> Index:
    """pictures.npy from the chunks, and what they are. Raises BadInput where no picture is left."""
    records = [read_json(ctx.work / f"{start:07d}.json") for start in range(0, len(keys), CHUNK)]
    rows = [row for record in records for row in record["rows"]]
    faults = [fault for record in records for fault in record["faults"]]
    if not rows:
        raise BadInput(f"none of {len(keys)} pictures of {name} can be used; first: {faults[0][1]}")
    skipped: dict[str, int] = {}
    for reason, _ in faults:
        skipped[reason] = skipped.get(reason, 0) + 1
        ctx.count(f"left out: {reason}")
    if faults:
        ctx.warn(f"{len(faults)} of {len(keys)} pictures of {name} left out; first: {faults[0][1]}")
    array = np.lib.format.open_memmap(
        ctx.out / PICTURES, mode="w+", dtype=np.uint8, shape=(len(rows), size, size, 3)
    )
    start = 0
    for chunk in _chunks(ctx.work, len(keys), "pictures"):
        array[start : start + len(chunk)] = chunk
        start += len(chunk)
    array.flush()
    ctx.count("pictures", len(rows))
    examples = tuple(text for _, text in faults[:NUM_EXAMPLES])
    return Index(name, variant, kind, size, tuple(keys[row] for row in rows), skipped, examples)
