"""Synthetic images per second against the published procedure: one image, one object, one mask call at a
time.

    python -m benchmarks.synthesis                # every part that the environment has the packages for
    python -m benchmarks.synthesis --quick        # fewer images
    python -m benchmarks.synthesis --only masks --device cuda

    qr        QR codes with analytic masks, one core (tensorflow environment: needs segno)
    masks     pictures with a mask network, ReDO's with random weights, one core (detectron2 environment:
              needs torch). Each picture used once, then ten times on average: ours predicts a mask once per
              picture, in batches, and the published procedure once per use.
    workers   images written to files by 1, 2, ... processes of one machine

Both ways draw from the same photographs, paste with the published settings on 320 pixels a side and encode
JPEG of quality 75; nothing is written in the first two parts. They take turns, so that a busy machine slows
both; medians are shown. Templates of QR symbols, made once per process, are not timed.
benchmarks/synthesis_reference.py is the published procedure, in our own words.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from benchmarks import synthesis_reference as reference
from experiments.sample_synthesis.config_sections import (
    MaskConfig,
    ObjectConfig,
    SourceConfig,
    SynthesisConfig,
)
from experiments.sample_synthesis.objects.backgrounds import PhotoBackgrounds
from experiments.sample_synthesis.objects.object_set import StoredObjects
from experiments.sample_synthesis.objects.types import MaskProvider
from experiments.sample_synthesis.synth.stream import SampleStream
from experiments.sample_synthesis.synth.writer import jpeg, synthesise
from suite.errors import guard
from suite.seeds import item_rng

SEED, QUALITY = 0, 75
OURS = SynthesisConfig(raster="patch", module_px="auto")
FAITHFUL = SynthesisConfig(raster="object", module_px=10)
SIDE = 128  # of object pictures
REUSES = (1, 10)
PRECISIONS = ("float32", "bfloat16")  # of our masks; the published procedure's are float32
PACKAGES = {"qr": "segno", "masks": "torch", "workers": None}  # that a part needs

Way = Callable[[int], int]  # number of the first image -> objects in the images made


def main() -> None:
    """Command line: see the module docstring."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a quarter of the images")
    parser.add_argument("--only", choices=tuple(PACKAGES), help="one part")
    parser.add_argument("--images", type=int, default=60, help="per turn of the parts qr and masks")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--written", type=int, default=960, help="images of the part workers")
    parser.add_argument(
        "--workers", type=int, nargs="+", help="numbers of processes; default 1, 2, 4.. to the CPUs"
    )
    parser.add_argument("--nf", type=int, default=64, help="width of the mask network; paper: 64")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="of the mask network")
    args = parser.parse_args()
    if args.quick:
        args.images, args.written = args.images // 4, args.written // 4
    cv2.setNumThreads(1)
    cpus = len(os.sched_getaffinity(0))
    args.workers = args.workers or [2**k for k in range(cpus.bit_length())]
    print(
        f"{platform.machine()}, {cpus} CPUs, mask network on {args.device}; medians of {args.turns} turns",
        flush=True,
    )
    parts = {"qr": measure_qr, "masks": measure_masks, "workers": measure_workers}
    for name in [args.only] if args.only else parts:
        package = PACKAGES[name]
        if package and not importlib.util.find_spec(package):
            print(f"\n{name}: left out, this environment has no {package}")
            continue
        parts[name](args)


# --- QR codes ---


def measure_qr(args: argparse.Namespace) -> None:
    """Print milliseconds per image of the published procedure and of the stream."""
    streams = {"stream": qr_stream(OURS), "stream, published switches": qr_stream(FAITHFUL)}
    for stream in streams.values():
        stream.batch(range(60))  # every version's template

    ways: dict[str, Way] = {"published": partial(published_items, reference.draw_qr, args.images)}
    for name, stream in streams.items():
        ways[name] = partial(stream_items, stream, args.images)
    print(f"\nQR codes, one core, {args.images} images a turn")
    print_ways(take_turns(ways, args))


def published_items(draw: reference.Drawer, number: int, first: int) -> int:
    """That many images of the published procedure; the number of their objects."""
    backgrounds, objects = PhotoBackgrounds("A"), 0
    for index in range(first, first + number):
        rng = item_rng(SEED, "benchmark.published", index)
        background = backgrounds.draw(rng, FAITHFUL.image_size)
        image, boxes = reference.make_sample(rng, FAITHFUL, draw, background, threshold=0.0)
        jpeg(image, QUALITY)
        objects += len(boxes)
    return objects


def stream_items(stream: SampleStream, number: int, first: int) -> int:
    """That many images of ours; the number of their objects."""
    objects = 0
    for index in range(first, first + number):
        sample = stream.item(index)
        jpeg(sample.image, QUALITY)
        objects += len(sample.boxes)
    return objects


def qr_stream(synthesis: SynthesisConfig) -> SampleStream:
    """QR codes on photographs."""
    config = ObjectConfig(
        source=SourceConfig(kind="library"), masks=MaskConfig(threshold=0.0), synthesis=synthesis
    )
    return SampleStream("qr", config, objects=None, backgrounds=PhotoBackgrounds("A"), seed=SEED)


# --- pictures with a mask network ---


def measure_masks(args: argparse.Namespace) -> None:
    """The same for faces, whose masks a network predicts; per reuse of a picture."""
    import torch

    from experiments.sample_synthesis.redo.masks import RedoMasks
    from experiments.sample_synthesis.redo.networks import Architecture, MaskNet

    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    network = MaskNet(Architecture(size=SIDE, nf_mask=args.nf)).eval()
    providers = {p: RedoMasks.from_network(network, device=args.device, precision=p) for p in PRECISIONS}
    device = torch.device(args.device)
    network.to(device)
    drawn = sum(len(picture_stream(None).item(index).boxes) for index in range(200)) / 200
    print(f"\nfaces, one core, {args.images} images a turn, mask network of width {args.nf}")
    for reuse in REUSES:
        pictures = random_pictures(max(1, round(args.images * drawn / reuse)))
        draw = reference.network_masks(
            lambda x: network.logit(x.to(device)).cpu(), lambda rng, p=pictures: p[rng.integers(len(p))]
        )
        ways: dict[str, Way] = {"published": partial(published_items, draw, args.images)}
        for precision, provider in providers.items():
            provider.masks(pictures[:2])
            ways[f"batched masks, {precision}"] = partial(masked_items, provider, pictures, args.images)
        print(f"a picture is used {reuse}x on average: {len(pictures)} pictures")
        print_ways(take_turns(ways, args))


def masked_items(provider: MaskProvider, pictures: np.ndarray, number: int, first: int) -> int:
    """Masks of all pictures, then that many images of ours; the number of their objects."""
    masks = np.rint(provider.masks(pictures) * 255).astype(np.uint8)
    keys = tuple(map(str, range(len(pictures))))
    objects = StoredObjects(pictures, masks, keys, np.arange(len(pictures)))
    return stream_items(picture_stream(objects), number, first)


def picture_stream(objects: StoredObjects | None) -> SampleStream:
    """Pictures on photographs; None: grey ones that are all object."""
    if objects is None:
        grey = np.full((1, SIDE, SIDE, 3), 128, np.uint8)
        objects = StoredObjects(grey, np.full((1, SIDE, SIDE), 255, np.uint8), ("grey",), np.arange(1))
    config = ObjectConfig(masks=MaskConfig(provider="redo", threshold=0.0), synthesis=OURS)
    return SampleStream("face", config, objects=objects, backgrounds=PhotoBackgrounds("A"), seed=SEED)


def random_pictures(number: int) -> np.ndarray:
    """Smooth noise, uint8 (number, S, S, 3)."""
    rng = item_rng(SEED, "benchmark.pictures", 0)
    return np.stack(
        [cv2.blur(rng.integers(0, 256, (SIDE, SIDE, 3)).astype(np.uint8), (9, 9)) for _ in range(number)]
    )


# --- processes ---


def measure_workers(args: argparse.Namespace) -> None:
    """Print images per second, written to files, by number of processes."""
    kind = "qr" if importlib.util.find_spec("segno") else "face"
    make = partial(qr_stream, replace(OURS)) if kind == "qr" else partial(picture_stream, None)
    print(f"\n{args.written} images of {kind} written: whole call, and after each process's first range")
    base = 0.0
    for workers in args.workers:
        started, done = time.perf_counter(), []
        with tempfile.TemporaryDirectory(prefix="synthesis-") as folder:
            out = Path(folder)
            synthesise(
                make, name=kind, total=args.written, out=out / "out", work=out / "work", workers=workers,
                advance=lambda items, done=done: done.append((time.perf_counter(), items)),
            )  # fmt: skip
            whole = args.written / (time.perf_counter() - started)
        begun = min(workers, len(done) - 1)
        steady = sum(items for _, items in done[begun:]) / (done[-1][0] - done[begun - 1][0])
        base = base or steady
        noun = f"worker{'s' if workers > 1 else ''}"
        print(
            f"{workers:3d} {noun:8s} {whole:8.1f} {steady:8.1f} images/s  ratio {steady / base:5.2f}",
            flush=True,
        )


# --- timing ---


def take_turns(ways: dict[str, Way], args: argparse.Namespace) -> dict[str, tuple[float, float]]:
    """Median seconds per object and per image of each way."""
    clock = time.process_time if args.device == "cpu" else time.perf_counter
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for turn in range(args.turns):
        for name, way in ways.items():
            started = clock()
            objects = way(turn * args.images)
            seconds = clock() - started
            taken[name].append((seconds / objects, seconds / args.images))
    return {name: tuple(map(statistics.median, zip(*each, strict=True))) for name, each in taken.items()}


def print_ways(seconds: dict[str, tuple[float, float]]) -> None:
    """A line for each way. The ratio to the first is per object: the ways draw different numbers of them."""
    base = next(iter(seconds.values()))[0]
    for name, (per_object, per_image) in seconds.items():
        times = f"{1000 * per_object:8.2f} ms/object {1000 * per_image:8.2f} ms/image"
        print(f"  {name:26s} {times}  ratio {base / per_object:5.1f}", flush=True)


if __name__ == "__main__":
    raise SystemExit(guard(main))
