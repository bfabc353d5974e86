"""CPU seconds per unit of SOLID's work, for `make plan`: a target picture, a query view, a training picture.

    .tox/blender/bin/python -m benchmarks.solid_units render --scale paper --targets 2
    .tox/blender/bin/python -m benchmarks.solid_units render -o 'render.resolution=[80, 60]'   # in less time
    .tox/detectron2/bin/python -m benchmarks.solid_units learn --scale paper

Prints entries for `units` of experiments/solid/measured.yaml. With --device cpu a figure is the CPU time of
the process over all its threads, so that neighbours on a busy machine count little; with --device cuda it is
the wall time of one GPU (layout and encoding, which a CPU does, included; not run on a GPU by us). Models and
rooms are the embedded ones at the scale's rendering settings (those of ShapeNet and SceneNet are larger).
Learning: the scale's network on pictures of noise with 15 objects each; batches of one and of two pictures
tell the cost of a picture from that of a step (moving average, bank, optimiser), and queries are embedded
apart.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from experiments.solid.config import SolidConfig
from suite.config import load_config
from suite.errors import guard

CONFIGS = Path(__file__).resolve().parents[1] / "experiments/solid/configs"
NUM_BOXES = 15  # per picture of noise
NUM_QUERIES = 8


def main() -> None:
    """Command line: see the module docstring."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("render", "learn"))
    parser.add_argument("--scale", default="paper", help="config of experiments/solid/configs, default paper")
    parser.add_argument("-o", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="default cpu")
    parser.add_argument("--targets", type=int, default=2, help="target pictures, default 2")
    parser.add_argument("--classes", type=int, default=2, help="models on the turntable, default 2")
    parser.add_argument("--views", type=int, default=2, help="views of each, default 2")
    parser.add_argument("--repeats", type=int, default=3, help="training steps of each size, default 3")
    args = parser.parse_args()
    config = load_config(SolidConfig, CONFIGS / f"{args.scale}.yaml", args.overrides)
    measured = render(config, args) if args.what == "render" else learn(config, args)
    for entry in (*measured.get("targets", ()), *measured.get("queries", ()), *measured.get("learning", ())):
        entry["device"] = args.device
    print(yaml.safe_dump(measured, sort_keys=False, default_flow_style=None, width=110), end="")


def clocked(work: Callable[[], Any], device: str) -> tuple[float, Any]:
    """Seconds and what came out: of CPU time over all threads, or of wall time on a GPU."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    started = clock()
    found = work()
    if device == "cuda" and "torch" in sys.modules:
        sys.modules["torch"].cuda.synchronize()
    return clock() - started, found


def render(config: SolidConfig, args: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """Entries `targets` and `queries`."""
    from benchmarks.solid_render import SEED, compose, stage_folder
    from experiments.solid.annotate import annotate, crop_query
    from experiments.solid.layout.compose import compose_query
    from experiments.solid.library import MeshLibrary, RoomLibrary
    from experiments.solid.render.renderer import Renderer
    from experiments.solid.store.samples import encode_png
    from suite.seeds import item_rng

    cpu = partial(clocked, device=args.device)
    with tempfile.TemporaryDirectory() as folder:
        clean, rooms = (
            stage_folder(None, name, Path(folder), CONFIGS / "smoke.yaml") for name in ("clean", "rooms")
        )
        meshes, room_library = MeshLibrary.load(clean), RoomLibrary.load(rooms)
        layout, (scenes, _) = cpu(lambda: compose(config, meshes, room_library, args.targets))
        tiny = replace(config, render=replace(config.render, samples=1, resolution=(64, 48)))
        Renderer(tiny, meshes, room_library, args.device).target(scenes[0])  # Blender's start costs extra
        renderer = Renderer(config, meshes, room_library, args.device)
        whole, results = cpu(lambda: [renderer.target(scene) for scene in scenes])
        shares = {name: value / sum(renderer.seconds.values()) for name, value in renderer.seconds.items()}
        ends, _ = cpu(
            lambda: [
                (annotate(one.ids, one.solo_areas, scene), encode_png(one.rgb))
                for one, scene in zip(results, scenes, strict=True)
            ]
        )
        turntable = Renderer(config, meshes, None, args.device)
        config = replace(config, queries=replace(config.queries, num_shots=args.views))
        seed = {"seed": SEED}
        models = [
            compose_query(item_rng(SEED, "solid.query", k), config, class_id=k, meshes=meshes, **seed)
            for k in range(args.classes)
        ]
        views_cpu, views = cpu(lambda: [view for one in models for view in turntable.query(one)])
        crops, _ = cpu(lambda: [encode_png(crop) for crop in map(crop_query, views) if crop is not None])
    seconds = {
        "layout": layout,
        "rgb": whole * shares["rgb"],
        "rest": whole * (1 - shares["rgb"]) + ends,
    }
    placed = [len(scene.objects) for scene in scenes]
    return rendering_entries(config, placed, seconds, (views_cpu + crops) / len(views), len(views))


def rendering_entries(
    config: SolidConfig, placed: list[int], seconds: dict[str, float], view: float, num_views: int
) -> dict[str, list[dict[str, Any]]]:
    """Entries of pictures with `placed` objects each that took `seconds` in all, and of views."""
    common = {"samples": config.render.samples, "noise_threshold": config.render.noise_threshold}
    target = {
        "resolution": list(config.render.resolution),
        **common,
        "num_objects": list(config.layout.num_objects),
        "placed": round(float(np.mean(placed)), 1),
        "cells_per_unit": config.layout.cells_per_unit,
        "pictures": len(placed),
        "seconds": {name: round(value / len(placed), 3) for name, value in seconds.items()},
    }
    query = {
        "resolution": config.queries.resolution,
        **common,
        "views": num_views,
        "seconds": round(view, 3),
    }
    return {"targets": [target], "queries": [query]}


def learn(config: SolidConfig, args: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """Entry `learning`."""
    import suite.compat.detectron2  # noqa: F401

    # isort: split
    import torch
    from detectron2.utils.events import EventStorage

    from experiments.solid.learn.data.transforms import resized_shape
    from experiments.solid.learn.engine.setup import seed_everything, set_up
    from experiments.solid.learn.pretrain.lazy import lazy_pretrain, make

    settings, cpu = config.pretrain, partial(clocked, device=args.device)
    set_up(settings.threads)
    seed_everything(0, "benchmark")
    edge = sorted(settings.short_edges)[len(settings.short_edges) // 2]
    width, height = config.render.resolution
    size = resized_shape(height, width, edge, settings.max_edge)
    tree = lazy_pretrain(config, num_classes=config.meshes.num_classes or 64, seed=0, device=args.device)
    made = make(tree, torch.device(args.device))
    model, rng = made.model.train(), np.random.default_rng(0)

    def step(pictures: int) -> None:
        with EventStorage(0):
            losses = model([noise(rng, size, len(model.queue)) for _ in range(pictures)])
            made.optimizer.zero_grad()
            sum(losses.values()).backward()
            made.optimizer.step()

    def queried() -> None:
        side = settings.query_size
        pictures = [
            torch.from_numpy(rng.integers(0, 256, (3, side, side), np.uint8)) for _ in range(NUM_QUERIES)
        ]
        model.refresh(pictures, torch.arange(NUM_QUERIES))

    step(1)  # first calls allocate
    one, two = (np.mean([cpu(lambda k=k: step(k))[0] for _ in range(args.repeats)]) for k in (1, 2))
    refresh = np.mean([cpu(queried)[0] for _ in range(args.repeats)])
    model.eval()
    with torch.no_grad():
        tested = np.mean(
            [cpu(lambda: model([noise(rng, size, len(model.queue))]))[0] for _ in range(args.repeats)]
        )
    names = ("depth", "fpn_channels", "fc_dim", "roi_batch", "mask_channels", "num_mask_conv")
    entry = {
        "detector": {name: getattr(config.detector, name) for name in names},
        "pixels": size[0] * size[1],
        "query_size": settings.query_size,
        "precision": "float32",
        "repeats": args.repeats,
        "seconds": {
            "step": round(float(max(2 * one - two, 0.0)), 3),
            "picture": round(float(two - one), 3),
            "query": round(float(refresh / NUM_QUERIES), 4),
            "test_picture": round(float(tested), 3),
        },
    }
    return {"learning": [entry]}


def noise(rng: np.random.Generator, size: tuple[int, int], num_classes: int) -> dict[str, Any]:
    """A picture of noise (3, height, width) with boxes and full masks of random classes."""
    import torch
    from detectron2.structures import BitMasks, Boxes, Instances

    height, width = size
    corner = rng.uniform(0, 0.7, (NUM_BOXES, 2)) * (width, height)
    boxes = np.concatenate([corner, corner + rng.uniform(0.1, 0.3, (NUM_BOXES, 2)) * (width, height)], axis=1)
    masks = torch.zeros((NUM_BOXES, height, width), dtype=torch.bool)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes.astype(int).tolist(), strict=True):
        mask[y1:y2, x1:x2] = True
    instances = Instances(size)
    instances.gt_boxes = Boxes(torch.from_numpy(boxes.astype(np.float32)))
    instances.gt_classes = torch.from_numpy(rng.integers(0, num_classes, NUM_BOXES))
    instances.gt_masks = BitMasks(masks)
    picture = torch.from_numpy(rng.integers(0, 256, (3, height, width), np.uint8))
    return {"image": picture, "instances": instances, "height": height, "width": width}


if __name__ == "__main__":
    sys.exit(guard(main))
