"""Processor seconds to lay out a SOLID scene on the published grid of 144^3 cells, against the published
algorithm, in one run.

    python -m benchmarks.solid_layout                                  # 3 scenes there, 24 here; a minute
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
    parser.add_argument("--scenes", type=int, default=24, help="scenes of ours, default 24")
    parser.add_argument("--published", type=int, default=3, help="scenes of the published side, default 3")
    args = parser.parse_args()
    config = load_config(SolidConfig, CONFIGS / f"{args.scale}.yaml")
    with tempfile.TemporaryDirectory() as folder:
        # Models and rooms of the smoke scale: the packages' own. Their number has no part in the layout.
        clean, rooms = (
            stage_folder(args.run, name, Path(folder), CONFIGS / "smoke.yaml") for name in ("clean", "rooms")
        )
        meshes, rooms = MeshLibrary.load(clean), RoomLibrary.load(rooms)
        ours = measure_ours(config, rooms, meshes, args.scenes)
        published = measure_published(config, rooms, meshes, args.published)
    cells = round(config.rooms.footprint * config.layout.cells_per_unit)
    print(f"{platform.machine()}, 1 of {len(os.sched_getaffinity(0))} CPUs, grid {cells}^3, "
          f"{np.mean([len(room.triangles) for room in rooms.rooms]):.0f} triangles a room")  # fmt: skip
    print(f"{'per scene':<12}{'seconds':>9}{'tries':>8}{'objects':>9}{'scenes':>8}")
    for name, figures in (("published", published), ("ours", ours)):
        print("{:<12}{:>9.3f}{:>8.1f}{:>9.1f}{:>8}".format(name, *figures))
    print(f"layout: {published[0] / ours[0]:.1f} times as fast as published")


def measure_ours(
    config: SolidConfig, rooms: RoomLibrary, meshes: MeshLibrary, number: int
) -> tuple[float, float, float, int]:
    """Means of processor seconds, tries and objects per scene, and the number of scenes."""
    for room in range(2):  # arrays are read before the clock starts
        compose(config, rooms, meshes, number + room)
    started = time.process_time()
    scenes = [compose(config, rooms, meshes, index) for index in range(number)]
    seconds = time.process_time() - started
    tries = np.mean([len(scene.drawn) for scene in scenes])
    return seconds / number, tries, np.mean([len(scene.objects) for scene in scenes]), number


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
    config: SolidConfig, rooms: RoomLibrary, meshes: MeshLibrary, number: int
) -> tuple[float, float, float, int]:
    """The same by the published algorithm."""
    started, placers, index = time.process_time(), [], 0
    while len(placers) < number:
        try:
            rng = item_rng(SEED, "solid.target", index)
            placers.append(published_layout(rng, config, rooms=rooms, meshes=meshes))
        except LayoutFailure:  # a room that refuses every camera; the time counts, as it does for ours
            pass
        index += 1
    seconds = time.process_time() - started
    tries = np.mean([placer.tries for placer in placers])
    return seconds / number, tries, np.mean([len(placer.objects) for placer in placers]), number


if __name__ == "__main__":
    sys.exit(guard(main))
