"""Seconds per rendered SOLID picture, phase by phase, against the published procedure, in one run.

    python -m benchmarks.solid_render             # 12 targets, 6 classes at smoke scale; about a minute
    python -m benchmarks.solid_render --run runs/solid/smoke/seed0 --targets 64 --classes 32
    python -m benchmarks.solid_render --scale paper --samples 32 --targets 2 --classes 0
    python -m benchmarks.solid_render --scale paper --noise 0.01 --targets 1 --classes 0   # 1024, adaptive

Run it in the blender environment. Cleaned models and rooms are taken from the stages `clean` and `rooms` of a
finished run; without --run, or where they are missing, those of the smoke scale are made from assets/ in a
temporary folder. On a CPU seconds are of processor time, all threads together, so that a busy machine changes
them less; on a GPU they are of the clock.

Both sides render the same scenes with the same settings, and their ids and areas are compared: they must be
equal. The published side (experiments/solid/render/published.py) imports every model anew, and segments the
whole scene once and each object alone once, with new materials and files each time; its layout is that of
benchmarks/solid_layout_reference.py on as many scenes, its PNG files are Pillow's. Not covered: BlenderProc's
own overhead and the published masks' arrays, which come on top of the published side.
"""

from __future__ import annotations

import argparse
import io
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.solid_layout_reference import published_layout
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
CONFIGS = ROOT / "experiments/solid/configs"
SEED = 0
Clock = Callable[[], float]
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
    args = arguments()
    config = load_config(SolidConfig, CONFIGS / f"{args.scale}.yaml")
    render = replace(config.render, samples=args.samples or config.render.samples)
    if (
        args.samples or args.noise is not None
    ):  # a number of samples is a fixed one unless a threshold is given
        render = replace(render, noise_threshold=args.noise or 0.0)
    config = replace(config, render=render)
    clock = time.process_time if args.device == "cpu" else time.perf_counter
    with tempfile.TemporaryDirectory() as folder:
        clean, rooms = (
            stage_folder(args.run, name, Path(folder), CONFIGS / "smoke.yaml") for name in ("clean", "rooms")
        )
        libraries = MeshLibrary.load(clean), RoomLibrary.load(rooms)
        compose(config, *libraries, 2, clock)  # arrays of models and rooms are read once in a process's life
        scenes, layout = compose(config, *libraries, args.targets, clock)
        ours, results = measure_ours(config, *libraries, args.device, scenes, clock)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        published = measure_published(config, *libraries, args.device, scenes, results, clock)
        published["layout"] = measure_published_layout(config, *libraries, args.targets, clock)
        queries = measure_queries(config, libraries[0], args.device, args.classes, clock)
    ours["layout"] = layout
    (width, height), objects = config.render.resolution, np.mean([len(scene.objects) for scene in scenes])
    kind = f"adaptive to {render.noise_threshold}" if render.noise_threshold else "fixed"
    print(
        f"{platform.machine()}, {len(os.sched_getaffinity(0))} CPUs, {args.device}; peak memory {peak:.0f} MB"
    )
    print(f"{len(scenes)} targets {width}x{height}, {render.samples} samples ({kind}), "
          f"OIDN {'on' if render.denoise else 'off'}, {objects:.1f} objects each")  # fmt: skip
    print_table(ours, published, len(scenes), "processor" if args.device == "cpu" else "clock")
    if args.classes:
        views, side = args.classes * config.queries.num_shots, config.queries.resolution
        line = ", ".join(f"{name} {seconds / views:.4f}" for name, seconds in sorted(queries.items()))
        print(f"query view {side}x{side}: {line} s")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scale", default="smoke", help="config of experiments/solid/configs, default smoke")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="default cpu")
    parser.add_argument("--run", type=Path, help="a run folder with finished clean/ and rooms/")
    parser.add_argument("--samples", type=int, help="samples a pixel, fixed; default: the config's settings")
    parser.add_argument("--noise", type=float, help="stop at this noise; default: the config's or none")
    parser.add_argument("--targets", type=int, default=12, help="target pictures, default 12")
    parser.add_argument("--classes", type=int, default=6, help="classes on the turntable, default 6")
    return parser.parse_args()


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
    config: SolidConfig,
    meshes: MeshLibrary,
    rooms: RoomLibrary,
    number: int,
    clock: Clock = time.perf_counter,
) -> tuple[list[Scene], float]:
    """The scenes that the stage `targets` would render, and the seconds it took to compose them."""
    scenes: list[Scene] = []
    started = clock()
    for index in range(number):
        for attempt in range(config.layout.max_attempts):
            rng = item_rng(SEED, "solid.target", index, attempt)
            try:
                scenes.append(compose_target(rng, config, rooms=rooms, meshes=meshes, seed=SEED, index=index,
                                             attempt=attempt))  # fmt: skip
                break
            except LayoutFailure:
                continue
    return scenes, clock() - started


def measure_ours(config, meshes, rooms, device, scenes, clock) -> tuple[Counter, list]:
    """Seconds by phase over all scenes, and what was rendered."""
    from experiments.solid.render.renderer import Renderer

    renderer = Renderer(replace(config, render=replace(config.render, samples=1)), meshes, rooms, device)
    renderer.target(scenes[0])  # Blender's first picture costs extra on both sides
    renderer = Renderer(config, meshes, rooms, device, clock=clock)  # with empty caches
    seconds, results = Counter(), []
    for scene in scenes:
        result = renderer.target(scene)
        results.append(result)
        started = clock()
        annotate(result.ids, result.solo_areas, scene)
        seconds["annotate"] += clock() - started
        started = clock()
        encode_png(result.rgb)
        seconds["encode"] += clock() - started
    return seconds + renderer.seconds, results


def measure_published(config, meshes, rooms, device, scenes, results, clock) -> Counter:
    """The same by the published procedure. Raises AssertionError if it sees other ids."""
    from experiments.solid.render.published import PublishedRenderer

    renderer, encode = PublishedRenderer(config, meshes, rooms, device, clock=clock), 0.0
    for scene, ours in zip(scenes, results, strict=True):
        theirs = renderer.target(scene)
        assert np.array_equal(theirs.ids, ours.ids) and np.array_equal(theirs.solo_areas, ours.solo_areas)
        started = clock()
        Image.fromarray(theirs.rgb, "RGB").save(io.BytesIO(), format="PNG")
        encode += clock() - started
    return renderer.seconds + Counter(encode=encode)


def measure_published_layout(config, meshes, rooms, number, clock) -> float:
    """Seconds of as many layouts by the published algorithm."""
    started, found, index = clock(), 0, 0
    while found < number:
        try:
            published_layout(item_rng(SEED, "solid.target", index), config, rooms=rooms, meshes=meshes)
            found += 1
        except LayoutFailure:
            pass
        index += 1
    return clock() - started


def measure_queries(config, meshes, device, classes, clock) -> Counter:
    """Seconds by phase of the turntables of the first classes."""
    if not classes:
        return Counter()
    from experiments.solid.render.renderer import Renderer

    renderer, encode = Renderer(config, meshes, None, device, clock=clock), 0.0
    for class_id in range(classes):
        rng = item_rng(SEED, "solid.query", class_id)
        views = renderer.query(compose_query(rng, config, class_id=class_id, meshes=meshes, seed=SEED))
        started = clock()
        for crop in map(crop_query, views):
            if crop is not None:
                encode_png(crop)
        encode += clock() - started
    return renderer.seconds + Counter(encode=encode)


def print_table(ours: Counter, published: Counter, number: int, kind: str) -> None:
    """Seconds per picture of both sides; the last lines hold the ratios."""
    print(f"{kind + ' seconds per picture':<32}{'ours':>10}{'published':>12}")
    for phase in ("layout", "load", "rgb", "id", "solo", "annotate", "encode"):
        theirs = f"{published[phase] / number:12.4f}" if phase in published else f"{'':>12}"
        print(f"{phase:<32}{ours[phase] / number:10.4f}{theirs}")
    print(f"{'segmentation':<32}{'':>10}{published['segmentation'] / number:12.4f}")
    labels, whole, theirs = ours["id"] + ours["solo"], sum(ours.values()), sum(published.values())
    for name, one, other in (
        ("layout", ours["layout"], published["layout"]),
        ("annotation passes", labels, published["segmentation"]),
        ("loading", ours["load"], published["load"]),
        ("whole image", whole, theirs),
        ("whole image without the RGB pass", whole - ours["rgb"], theirs - published["rgb"]),
    ):
        print(f"{name}: {other / one:.2f} times as fast as published")
    share = (ours["layout"] + labels + ours["annotate"]) / whole
    print(f"layout and annotation: {100 * share:.1f} % of our image")


if __name__ == "__main__":
    sys.exit(guard(main))
