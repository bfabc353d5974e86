"""Seconds per rendered SOLID picture, phase by phase, against the published way to annotate, in one run.

    python -m benchmarks.solid_render             # 12 targets, 6 classes at smoke scale; about a minute
    python -m benchmarks.solid_render --run runs/solid/smoke/seed0 --targets 64 --classes 32

Run it in the blender environment. Cleaned models and rooms are taken from the stages `clean` and `rooms` of a
finished run; without --run, or where they are missing, they are made from assets/ in a temporary folder.

Both sides render the same scenes with the same settings, and their ids and areas are compared: they must be
equal. The published side (experiments/solid/render/published.py) imports every model anew, and segments the
whole scene once and each object alone once, with new materials and files each time. Not covered: the
published layout, and BlenderProc's own overhead, which comes on top of the published side.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

from experiments.solid.annotate import annotate, crop_query
from experiments.solid.config import SolidConfig
from experiments.solid.layout.compose import compose_query, compose_target
from experiments.solid.layout.failure import LayoutFailure
from experiments.solid.layout.scene import Scene
from experiments.solid.library import MeshLibrary, RoomLibrary
from experiments.solid.store.samples import encode_png
from suite.config import load_config
from suite.errors import BadInput, guard
from suite.seeds import item_rng

ROOT = Path(__file__).resolve().parents[1]
SEED = 0
# stage: {verb: {input: the verb whose folder it is}}, in order
CHAINS = {
    "rooms": {"rooms": {}},
    "clean": {
        "fetch-meshes": {},
        "index": {"meshes": "fetch-meshes"},
        "clean": {"meshes": "fetch-meshes", "index": "index"},
    },
}


def main() -> None:
    """Command line: see the module docstring."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scale", default="smoke", help="config of experiments/solid/configs, default smoke")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="default cpu")
    parser.add_argument("--run", type=Path, help="a run folder with finished clean/ and rooms/")
    parser.add_argument("--targets", type=int, default=12, help="target pictures, default 12")
    parser.add_argument("--classes", type=int, default=6, help="classes on the turntable, default 6")
    args = parser.parse_args()
    config_file = ROOT / "experiments/solid/configs" / f"{args.scale}.yaml"
    config = load_config(SolidConfig, config_file)
    with tempfile.TemporaryDirectory() as folder:
        clean, rooms = (
            stage_folder(args.run, name, Path(folder), config_file) for name in ("clean", "rooms")
        )
        libraries = MeshLibrary.load(clean), RoomLibrary.load(rooms)
        scenes, layout = compose(config, *libraries, args.targets)
        ours, results = measure_ours(config, *libraries, args.device, scenes)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        published = measure_published(config, *libraries, args.device, scenes, results)
        queries = measure_queries(config, libraries[0], args.device, args.classes)
    ours["layout"] = layout
    width, height = config.render.resolution
    objects = np.mean([len(scene.objects) for scene in scenes])
    print(
        f"{platform.machine()}, {len(os.sched_getaffinity(0))} CPUs, {args.device}; peak memory {peak:.0f} MB"
    )
    print(
        f"{len(scenes)} targets {width}x{height}, {config.render.samples} samples, {objects:.1f} objects each"
    )
    print_table(ours, published, len(scenes))
    views = args.classes * config.queries.num_shots
    side = config.queries.resolution
    line = ", ".join(f"{name} {seconds / views:.4f}" for name, seconds in sorted(queries.items()))
    print(f"query view {side}x{side}: {line} s")


def stage_folder(run: Path | None, name: str, scratch: Path, config_file: Path) -> Path:
    """The finished folder of a stage, from a run or made now."""
    if run is not None and (run / name / "manifest.json").is_file():
        return run / name
    for verb, inputs in CHAINS[name].items():
        command = [sys.executable, "-m", "experiments.solid", verb, "--config", str(config_file)]
        for flag, stage in inputs.items():
            command += [f"--{flag}", str(scratch / stage)]
        done = subprocess.run(
            [*command, "--out", str(scratch / verb)], cwd=ROOT, capture_output=True, text=True
        )
        if done.returncode:
            raise BadInput(f"the stage {verb} failed: {done.stderr.strip().splitlines()[-1]}")
    return scratch / name


def compose(
    config: SolidConfig, meshes: MeshLibrary, rooms: RoomLibrary, number: int
) -> tuple[list[Scene], float]:
    """The scenes that the stage `targets` would render, and the seconds it took to compose them."""
    scenes: list[Scene] = []
    started = time.perf_counter()
    for index in range(number):
        for attempt in range(config.layout.max_attempts):
            rng = item_rng(SEED, "solid.target", index, attempt)
            try:
                scenes.append(compose_target(rng, config, rooms=rooms, meshes=meshes, seed=SEED, index=index,
                                             attempt=attempt))  # fmt: skip
                break
            except LayoutFailure:
                continue
    return scenes, time.perf_counter() - started


def measure_ours(config, meshes, rooms, device, scenes) -> tuple[Counter, list]:
    """Seconds by phase over all scenes, and what was rendered."""
    from experiments.solid.render.renderer import Renderer

    renderer = Renderer(config, meshes, rooms, device)
    renderer.target(scenes[0])  # Blender's first picture costs extra on both sides
    renderer = Renderer(config, meshes, rooms, device)  # with empty caches
    seconds, results = Counter(), []
    for scene in scenes:
        result = renderer.target(scene)
        results.append(result)
        started = time.perf_counter()
        annotate(result.ids, result.solo_areas, scene)
        seconds["annotate"] += time.perf_counter() - started
        started = time.perf_counter()
        encode_png(result.rgb)
        seconds["encode"] += time.perf_counter() - started
    return seconds + renderer.seconds, results


def measure_published(config, meshes, rooms, device, scenes, results) -> Counter:
    """The same by the published procedure. Raises AssertionError if it sees other ids."""
    from experiments.solid.render.published import PublishedRenderer

    renderer = PublishedRenderer(config, meshes, rooms, device)
    for scene, ours in zip(scenes, results, strict=True):
        theirs = renderer.target(scene)
        assert np.array_equal(theirs.ids, ours.ids) and np.array_equal(theirs.solo_areas, ours.solo_areas)
    return renderer.seconds


def measure_queries(config, meshes, device, classes) -> Counter:
    """Seconds by phase of the turntables of the first classes."""
    from experiments.solid.render.renderer import Renderer

    renderer, encode = Renderer(config, meshes, None, device), 0.0
    for class_id in range(classes):
        rng = item_rng(SEED, "solid.query", class_id)
        views = renderer.query(compose_query(rng, config, class_id=class_id, meshes=meshes, seed=SEED))
        started = time.perf_counter()
        for crop in map(crop_query, views):
            if crop is not None:
                encode_png(crop)
        encode += time.perf_counter() - started
    return renderer.seconds + Counter(encode=encode)


def print_table(ours: Counter, published: Counter, number: int) -> None:
    """Seconds per picture of both sides; the last lines hold the ratios."""
    print(f"{'seconds per picture':<22}{'ours':>10}{'published':>12}")
    for phase in ("layout", "load", "rgb", "id", "solo", "annotate", "encode"):
        theirs = f"{published[phase] / number:12.4f}" if phase in ("load", "rgb") else f"{'':>12}"
        print(f"{phase:<22}{ours[phase] / number:10.4f}{theirs}")
    print(f"{'segmentation':<22}{'':>10}{published['segmentation'] / number:12.4f}")
    labels, theirs = ours["id"] + ours["solo"], published["segmentation"]
    print(f"annotation passes: {theirs / labels:.1f} times as fast as published")
    print(f"loading: {published['load'] / ours['load']:.1f} times as fast")
    whole = labels + ours["load"] + ours["rgb"]
    print(f"load + picture + passes: {sum(published.values()) / whole:.2f} times as fast")


if __name__ == "__main__":
    sys.exit(guard(main))
