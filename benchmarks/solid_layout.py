"""Processor seconds to lay out a SOLID scene on the published grid of 144^3 cells, against the published
algorithm, in one run.

    python -m benchmarks.solid_layout                                  # 4 scenes there, 32 here; a minute
    python -m benchmarks.solid_layout --run runs/solid/smoke/seed0     # with that run's models and rooms

Run it in the blender environment (it needs no Blender). Settings are those of paper.yaml, one core on both
sides. "Published" is benchmarks/solid_layout_reference.py; what is kinder there stands in its docstring. It
draws its own scenes, so tries and objects are printed beside the seconds: both sides do the same work. Ours
is the whole of `compose_target`, lights and textures included, with the models' and rooms' arrays in memory
as after a process's first scenes. Not covered: Blender's import of a model, which comes on top of the
published side; see benchmarks/solid_render.py.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.solid_layout_reference import published_layout
from benchmarks.solid_render import stage_folder
from experiments.solid.config import SolidConfig
from experiments.solid.layout import LayoutFailure, compose_target
from experiments.solid.library import MeshLibrary, RoomLibrary
from suite.config import load_config
from suite.errors import guard
from suite.provenance import ROOT
from suite.seeds import item_rng

SEED = 0
CONFIGS = ROOT / "experiments/solid/configs"


def main() -> None:
    """Command line: see the module docstring."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--scale", default="paper", help="config of experiments/solid/configs, default paper")
    parser.add_argument("--run", type=Path, help="a run folder with finished clean/ and rooms/")
    parser.add_argument("--scenes", type=int, default=32, help="scenes of ours, default 32")
    parser.add_argument("--published", type=int, default=4, help="scenes of the published side, default 4")
    args = parser.parse_args()
    config = load_config(SolidConfig, CONFIGS / f"{args.scale}.yaml")
    with tempfile.TemporaryDirectory() as folder:
        # Models and rooms of the smoke scale: the packages' own. Their number has no part in the layout.
        clean, rooms = (
            stage_folder(args.run, name, Path(folder), CONFIGS / "smoke.yaml") for name in ("clean", "rooms")
        )
        meshes, rooms = MeshLibrary.load(clean), RoomLibrary.load(rooms)
        share, rounds = -(-args.scenes // args.published), []
        for index in range(args.published):  # by turns: the load of a shared machine changes
            rounds.append((
                measure_published(config, rooms, meshes, [index]),
                measure_ours(config, rooms, meshes, list(range(index * share, (index + 1) * share))),
            ))  # fmt: skip
    published, ours = (
        [sum(column) for column in zip(*side, strict=True)] for side in zip(*rounds, strict=True)
    )
    published, ours = ([*(x / side[3] for x in side[:3]), side[3]] for side in (published, ours))
    cells = round(config.rooms.footprint * config.layout.cells_per_unit)
    print(f"{platform.machine()}, 1 of {len(os.sched_getaffinity(0))} CPUs, grid {cells}^3, "
          f"{np.mean([len(room.triangles) for room in rooms.rooms]):.0f} triangles a room")  # fmt: skip
    print(f"{'per scene':<12}{'seconds':>9}{'tries':>8}{'objects':>9}{'scenes':>8}")
    for name, figures in (("published", published), ("ours", ours)):
        print("{:<12}{:>9.3f}{:>8.1f}{:>9.1f}{:>8}".format(name, *figures))
    print(f"layout: {published[0] / ours[0]:.1f} times as fast as published")


def measure_ours(
    config: SolidConfig, rooms: RoomLibrary, meshes: MeshLibrary, indices: list[int]
) -> tuple[float, int, int, int]:
    """Processor seconds, tries and objects of the scenes of these indices together, and their number."""
    for index in indices:  # a model's and a room's arrays are read once in a process's life
        compose(config, rooms, meshes, index)
    started = time.process_time()
    scenes = [compose(config, rooms, meshes, index) for index in indices]
    seconds = time.process_time() - started
    tries, objects = (sum(len(getattr(scene, name)) for scene in scenes) for name in ("drawn", "objects"))
    return seconds, tries, objects, len(scenes)


def compose(config: SolidConfig, rooms: RoomLibrary, meshes: MeshLibrary, index: int):
    """The scene of one index, with as many attempts as it takes."""
    for attempt in range(config.layout.max_attempts):
        rng = item_rng(SEED, "solid.target", index, attempt)
        try:
            return compose_target(
                rng, config, rooms=rooms, meshes=meshes, seed=SEED, index=index, attempt=attempt
            )
        except LayoutFailure:
            continue
    raise LayoutFailure(f"no layout for index {index}")


def measure_published(
    config: SolidConfig, rooms: RoomLibrary, meshes: MeshLibrary, indices: list[int]
) -> tuple[float, int, int, int]:
    """The same by the published algorithm, which draws other scenes."""
    started, placers = time.process_time(), []
    for index in indices:
        for attempt in range(config.layout.max_attempts):
            rng = item_rng(SEED, "solid.target", index, attempt)
            try:
                placers.append(published_layout(rng, config, rooms=rooms, meshes=meshes))
                break
            except LayoutFailure:  # a room that refuses every camera; the time counts, as it does for ours
                continue
    seconds = time.process_time() - started
    objects = sum(len(placer.objects) for placer in placers)
    return seconds, sum(placer.tries for placer in placers), objects, len(placers)


if __name__ == "__main__":
    sys.exit(guard(main))
