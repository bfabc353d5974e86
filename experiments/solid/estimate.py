"""What a scale would take, for `make plan`: measured seconds per unit of work times the amount of work.

The figures are those of `units` in measured.yaml, made by `python -m benchmarks.solid_units`. Where a scale's
settings were not measured, each part is scaled from the entry whose work is the nearest by ratio:

    picture   layout * (cells / cells')^3 * (objects / objects')
              + rgb * (pixels / pixels') * (samples / samples')
              + rest * (pixels / pixels') * (objects / objects')     id and solo passes, annotation, encoding
    view      seconds * (pixels / pixels') * (samples / samples')
    step      step + batch * picture * (pixels / pixels') + queries * query * (side / side')^2

Primed: as measured. `samples` is the largest number per pixel; adaptive sampling stops earlier, so that the
law holds for one noise threshold and scenes alike. Learning is estimated only for the network that was
measured. CPU seconds are core seconds: what is not parallel, waits and copies are not in them.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from experiments.solid.config import SolidConfig

MEASURED = Path(__file__).with_name("measured.yaml")
PICTURES_PER_GPU = 16  # of pre-training, as published: 128 pictures on 8 GPUs
COCO_PICTURE = (480, 640)  # height, width; the commonest of COCO, for the size after resizing
COCO_TEST, TABLETOP_TEST = 5000, 200  # pictures of val2017, of assets/tabletop
ASSUMED_MODELS = 64  # where the config leaves it to the meshes: the embedded ones and those of the packages
CORES = 1000  # of the cluster that is given as an example


@dataclass(frozen=True)
class Estimate:
    """One stage on one kind of device."""

    stage: str
    device: str  # "cpu": `hours` are core hours; "cuda": hours of one GPU
    amount: float
    unit: str
    seconds: float  # per unit
    basis: str  # the measured entry it comes from, and by what it was scaled

    @property
    def hours(self) -> float:
        return self.amount * self.seconds / 3600


def read_units(path: Path = MEASURED) -> dict[str, Any]:
    """`units` of measured.yaml; empty where nothing was measured."""
    tree = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return (tree or {}).get("units", {})


def estimate(config: SolidConfig, units: Mapping[str, Any], device: str = "cpu") -> list[Estimate]:
    """One row per stage that costs; none for what was not measured on this kind of device."""
    entries = {
        name: [entry for entry in units.get(name, ()) if entry["device"] == device]
        for name in ("targets", "queries", "learning")
    }
    rows = []
    if entries["targets"]:
        seconds, basis = picture_seconds(config, entries["targets"])
        rows.append(Estimate("targets", device, config.store.num_images, "pictures", seconds, basis))
    if entries["queries"]:
        seconds, basis = view_seconds(config, entries["queries"])
        basis += "" if config.meshes.num_classes else f"; {ASSUMED_MODELS} models assumed"
        views = (config.meshes.num_classes or ASSUMED_MODELS) * config.queries.num_shots
        rows.append(Estimate("queries", device, views, "views", seconds, basis))
    for entry in entries["learning"]:
        if all(getattr(config.detector, name) == value for name, value in entry["detector"].items()):
            return [*rows, *learning(config, entry)]
    return rows


def work(entry: Mapping[str, Any]) -> dict[str, float]:
    """What each part of a picture grows with, of an entry of `targets` or of settings in its form."""
    pixels, objects = _pixels(entry["resolution"]), sum(entry["num_objects"])
    return {
        "layout": entry["cells_per_unit"] ** 3 * objects,
        "rgb": pixels * entry["samples"],
        "rest": pixels * objects,
    }


def picture_seconds(config: SolidConfig, entries: Sequence[Mapping[str, Any]]) -> tuple[float, str]:
    """Seconds per target picture, each part from the entry of the nearest work; and its basis."""
    wanted = work(
        {
            "resolution": config.render.resolution,
            "samples": config.render.samples,
            "num_objects": config.layout.num_objects,
            "cells_per_unit": config.layout.cells_per_unit,
        }
    )
    seconds, told = 0.0, []
    for part, amount in wanted.items():
        entry, ratio = nearest(entries, [amount / work(entry)[part] for entry in entries])
        seconds += entry["seconds"][part] * ratio
        told.append(f"{part} {entry['seconds'][part]:.3g} s at {_setting(entry, part)}{_times(ratio)}")
    return seconds, ", ".join(told)


def view_seconds(config: SolidConfig, entries: Sequence[Mapping[str, Any]]) -> tuple[float, str]:
    """Seconds per query view, and its basis."""
    amount = _pixels(config.queries.resolution) * config.render.samples
    ratios = [amount / (_pixels(entry["resolution"]) * entry["samples"]) for entry in entries]
    entry, ratio = nearest(entries, ratios)
    return entry["seconds"] * ratio, f"{entry['seconds']:.3g} s at {_setting(entry, 'rgb')}{_times(ratio)}"


def nearest(entries: Sequence[Mapping[str, Any]], ratios: Sequence[float]) -> tuple[Mapping[str, Any], float]:
    """The entry whose ratio (wanted / measured work) is nearest to one, and the ratio; at a tie the first."""
    place = min(range(len(entries)), key=lambda k: abs(math.log(ratios[k])))
    return entries[place], ratios[place]


def learning(config: SolidConfig, entry: Mapping[str, Any]) -> list[Estimate]:
    """Pre-training, fine-tuning of every arm, and evaluation; the last two without queries and bank."""
    device, parts = entry["device"], entry["seconds"]
    height, width = config.render.resolution[1], config.render.resolution[0]
    pretrain, tune = config.pretrain, config.finetune
    one = resized_pixels((height, width), pretrain.short_edges, pretrain.max_edge) / entry["pixels"]
    ranks = max(1, pretrain.batch_size // PICTURES_PER_GPU)
    query = parts["query"] * (pretrain.query_size / entry["query_size"]) ** 2
    step = ranks * (parts["step"] + pretrain.num_queries * query)
    step += pretrain.batch_size * parts["picture"] * one
    what = f"{parts['picture']:g} s a picture of {entry['pixels']:,} pixels in {entry['precision']}"
    told = f"{what}{_times(one)}, {pretrain.batch_size} a step on {ranks} rank{'s' if ranks > 1 else ''}"
    rows = [Estimate("pretrain", device, pretrain.iterations, "steps", step, told)]
    one = resized_pixels(COCO_PICTURE, tune.short_edges, tune.max_edge) / entry["pixels"]
    step = parts["step"] + tune.batch_size * parts["picture"] * one
    steps = len(tune.init) * tune.iterations
    told = f"{what}{_times(one)}, {tune.batch_size} a step, {len(tune.init)} arms"
    rows.append(Estimate("finetune", device, steps, "steps", step, told))
    one = resized_pixels(COCO_PICTURE, (tune.test_short_edge,), tune.test_max_edge) / entry["pixels"]
    known = COCO_TEST if config.target_set.source == "folder" else TABLETOP_TEST
    tested = len(tune.init) * (config.target_set.max_test or known)
    told = f"{parts['test_picture']:g} s a picture of {entry['pixels']:,} pixels{_times(one)}"
    rows.append(Estimate("evaluate", device, tested, "pictures", parts["test_picture"] * one, told))
    return rows


def resized_pixels(size: tuple[int, int], short_edges: Sequence[int], max_edge: int) -> float:
    """Mean pixels of a picture (height, width) over the short edges, none beyond `max_edge`."""
    factors = [min(edge / min(size), max_edge / max(size)) for edge in short_edges]
    return size[0] * size[1] * sum(factor**2 for factor in factors) / len(factors)


def lines(config: SolidConfig, path: Path = MEASURED) -> list[str]:
    """The block that `make plan` prints; empty where no figure fits."""
    units = read_units(path)
    rows = estimate(config, units, "cpu")
    if not rows:
        return []
    told = [f"estimate on CPUs, from CPU seconds per unit that were measured on {units['machine']}"]
    told += [f"  by {units['command']}"]
    for row in rows:
        told.append(
            f"  {row.stage:<9}{row.hours:>13,.1f} core hours = {row.amount:,.0f} {row.unit} x"
            f" {row.seconds:.3g} s ({row.basis})"
        )
    total = sum(row.hours for row in rows)
    here = len(os.sched_getaffinity(0))
    told.append(f"  {'sum':<9}{total:>13,.1f} core hours")
    told.append(
        f"wall:  {total / here / 24:,.0f} days on the {here} cores of this machine,"
        f" {total / CORES / 24:,.1f} on {CORES:,} cores, if all of them are always busy"
    )
    return told + gpu_lines(estimate(config, units, "cuda"))


def gpu_lines(rows: Sequence[Estimate]) -> list[str]:
    """GPU-hours, or that none were measured."""
    if not rows:
        how = "python -m benchmarks.solid_units render|learn --device cuda measures them"
        return [f"GPU:   hours not known, as no GPU was measured; {how}"]
    parts = [f"{row.stage} {row.hours:,.1f} ({row.basis})" for row in rows]
    return [f"GPU:   {sum(row.hours for row in rows):,.1f} hours of one GPU: {', '.join(parts)}"]


def _pixels(resolution: int | Sequence[int]) -> int:
    return resolution**2 if isinstance(resolution, int) else resolution[0] * resolution[1]


def _setting(entry: Mapping[str, Any], part: str) -> str:
    """The settings of an entry that matter to a part."""
    size = entry["resolution"]
    size = f"{size}x{size}" if isinstance(size, int) else f"{size[0]}x{size[1]}"
    if part == "layout":
        return f"{entry['cells_per_unit']} cells per unit"
    if part == "rest":
        return size
    limit = f", threshold {entry['noise_threshold']:g}" if entry["noise_threshold"] else ""
    return f"{size} and {entry['samples']} samples{limit}"


def _times(ratio: float) -> str:
    return f" x {ratio:.3g}" if abs(ratio - 1) > 1e-9 else ""
