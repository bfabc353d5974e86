"""Training pictures per second of OICR at 2,000 proposals, against the same step written plainly.

    python -m benchmarks.wsod                              # a small network (NETWORK below), one thread
    python -m benchmarks.wsod --set oicr.freeze=11         # with backbone blocks that learn, too
    python -m benchmarks.wsod --device cuda --size 640 480

Run it in the detectron2 environment. The ways, with one network, pictures and proposals for all; an update is
forward, losses, backward and SGD:

    plain       proposals cropped and pooled one by one, pseudo boxes and labels by loops in Python
    pooled      pooled in one call; else as plain
    ours        and assignment by tensors (detectors/weak)

Before anything is timed the losses of all ways are compared. CPU time of all threads is taken on the CPU, so
that neighbours on the machine count little, and wall time on a GPU; the ways take turns, medians are shown.
Proposals are drawn, and kept off the right and lower edge, where a crop has other bins than a pooling of
whole boxes. Reading pictures is no part of it.

Measured on two busy AMD EPYC cores, one thread, first command: 4.6 pictures/s plain, 8.3 pooled, 13.4 ours
(2.9 times; 3.0 with the second command); pooling alone 8.2 times, assignment alone 22 times. What is left is
the network, above all its fully connected layers, which all ways share.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

import suite.compat.detectron2  # noqa: F401

# isort: split
from detectron2.structures import Boxes, Instances

from benchmarks.wsod_reference import assign_by_loops, pool_one_by_one
from experiments.imaginarynet.config import CONFIG, CONFIGS
from experiments.imaginarynet.config_weak import WeakConfig
from experiments.imaginarynet.detectors.weak.assign import Targets
from experiments.imaginarynet.detectors.weak.model import WeakDetector
from suite.config import load_config
from suite.errors import guard
from suite.seeds import item_rng

NUM_CLASSES = 20
# Thirteen blocks of MobileNetV2 at stride 8, frozen; losses and branches of the variant `oicr-pytorch`.
NETWORK = ("variant=pytorch", "depth=13", "freeze=14", "pooling=roi_pool", "pool_size=3", "fc=[256, 256]")
LOSSES = ("ignore_iou=0.1", "log_eps=1e-6", "fast_rcnn=true", "score_rule=refine-mean-frcn", "refinements=3")
TOLERANCE = 1e-4  # of the losses, relative


class PooledDetector(WeakDetector):
    """Pseudo boxes and labels by loops in Python."""

    def _targets(self, teacher: Tensor, boxes: Tensor, labels: Tensor) -> Targets:
        band = {"fg_iou": self.settings.fg_iou, "ignore_iou": self.settings.ignore_iou}
        return Targets(*assign_by_loops(boxes, teacher, labels, **band))


class PlainDetector(PooledDetector):
    """And proposals pooled one by one."""

    def _pool(self, features: Tensor, boxes: list[Tensor]) -> Tensor:
        return pool_one_by_one(features, boxes, size=self.settings.pool_size, stride=self.settings.stride)


WAYS = {"plain": PlainDetector, "pooled": PooledDetector, "ours": WeakDetector}


def main() -> None:
    """Command line: see the module docstring."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--proposals", type=int, default=2000, help="per picture; default %(default)s")
    parser.add_argument("--pictures", type=int, default=2, help="per update; default %(default)s")
    parser.add_argument("--size", type=int, nargs=2, default=(192, 144), help="width, height in pixels")
    parser.add_argument("--repeats", type=int, default=3, help="updates of each way; default %(default)s")
    parser.add_argument("--device", default="cpu", help="default %(default)s")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU; default %(default)s")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="of configs/small.yaml"
    )
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    pinned = [f"oicr.{text}" for text in (*NETWORK, *LOSSES)]
    settings = load_config(CONFIG, CONFIGS / "small.yaml", [*pinned, *args.set]).oicr
    batch = draw_batch(args.pictures, args.proposals, tuple(args.size), args.device)
    cpus = f"{platform.machine()}, {len(os.sched_getaffinity(0))} CPUs, {args.threads} thread(s)"
    print(f"{cpus}, {args.device}; {args.proposals} proposals, {args.size[0]}x{args.size[1]} px", flush=True)
    seconds = measure(settings, batch, args.device, args.repeats)
    for name, taken in seconds.items():
        rate, times = args.pictures / taken, seconds["plain"] / taken
        print(f"{name:7s} {rate:8.2f} pictures/s {times:6.1f} x plain")
    for part, found in measure_parts(settings, batch, args.device, args.repeats).items():
        plain, ours = (1000 * found[name] / args.pictures for name in ("plain", "ours"))
        print(f"{part:10s} plain {plain:7.2f} ms, ours {ours:6.2f} ms a picture: {plain / ours:.1f} x")


def draw_batch(count: int, num_proposals: int, size: tuple[int, int], device: str) -> list[dict[str, Any]]:
    """Dataset dicts of noise with proposals of 16 pixels a side and more; two classes a picture."""
    (width, height), batch = size, []
    for index in range(count):
        rng = item_rng(0, "benchmark.wsod", index)
        room = torch.tensor([width - 8.0, height - 8.0])
        low = torch.from_numpy(rng.random((num_proposals, 2), dtype="float32")) * (room - 16)
        side = 16 + torch.from_numpy(rng.random((num_proposals, 2), dtype="float32")) * (room - 16 - low)
        proposals = Instances((height, width))
        proposals.proposal_boxes = Boxes(torch.cat([low, low + side], 1).to(device))
        image = torch.from_numpy(rng.integers(0, 256, (3, height, width), dtype="uint8")).to(device)
        labels = torch.zeros(NUM_CLASSES, device=device)
        labels[torch.from_numpy(rng.permutation(NUM_CLASSES)[:2])] = 1.0
        batch.append({"image": image, "proposals": proposals, "image_labels": labels})
    return batch


def measure(settings: WeakConfig, batch: list, device: str, repeats: int) -> dict[str, float]:
    """Median seconds of an update of each way. Raises ValueError where their losses differ."""
    updates, losses = {}, {}
    for name, kind in WAYS.items():
        model = drawn(kind, settings).to(device)
        optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.0)
        updates[name] = updater(model, optimizer, batch)
        losses[name] = updates[name]()
    for name, found in losses.items():
        for loss, value in found.items():
            wanted = losses["plain"][loss]
            if abs(value - wanted) > TOLERANCE * max(abs(wanted), 1e-3):
                raise ValueError(f"{loss} of {name} is {value}, of plain {wanted}")
    print("equal losses: " + ", ".join(f"{name} {value:.4f}" for name, value in losses["ours"].items()))
    return take_turns(updates, repeats, device)


def measure_parts(
    settings: WeakConfig, batch: list, device: str, repeats: int
) -> dict[str, dict[str, float]]:
    """Median seconds of what the ways differ in, alone: pooling (forward), and labels of all branches."""
    models = {name: drawn(kind, settings).to(device).eval() for name, kind in WAYS.items()}
    boxes = [item["proposals"].proposal_boxes.tensor for item in batch]
    images = torch.stack([item["image"].float() for item in batch])
    generator = torch.Generator(device=device).manual_seed(0)
    teacher = torch.rand(len(boxes[0]), NUM_CLASSES, generator=generator, device=device)
    with torch.no_grad():
        features = models["ours"].backbone(images)
    num_branches = settings.refinements + settings.fast_rcnn

    def pool(model: WeakDetector) -> None:
        with torch.no_grad():
            model._pool(features, boxes)

    def label(model: WeakDetector) -> None:
        for own, item in zip(boxes, batch, strict=True):
            for _ in range(num_branches):
                model._targets(teacher, own, item["image_labels"])

    return {
        part: take_turns({name: partial(run, model) for name, model in models.items()}, repeats, device)
        for part, run in (("pooling", pool), ("assignment", label))
    }


def drawn(kind: type[WeakDetector], settings: WeakConfig) -> WeakDetector:
    """A detector of that kind, with the same random weights for all; its dropout is off, to be comparable."""
    model = kind(settings, NUM_CLASSES)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            std = (2 / parameter[0].numel()) ** 0.5 if parameter.ndim > 1 else 0.0
            parameter.normal_(0.0, std, generator=generator)
    model.head.dropout = 0.0
    return model.to(memory_format=torch.channels_last)


def updater(model: WeakDetector, optimizer: torch.optim.SGD, batch: list) -> Callable[[], dict[str, float]]:
    """One update of the model; returns its losses."""

    def update() -> dict[str, float]:
        optimizer.zero_grad(set_to_none=True)
        losses = model(batch)
        torch.stack(list(losses.values())).sum().backward()
        optimizer.step()
        return {name: float(value.detach()) for name, value in losses.items()}

    return update


def take_turns(updates: dict[str, Callable[[], object]], repeats: int, device: str) -> dict[str, float]:
    """Median seconds of each."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    seconds: dict[str, list[float]] = {name: [] for name in updates}
    for _ in range(repeats):
        for name, update in updates.items():
            start = clock()
            update()  # reads its losses, so that a GPU has finished them
            if device != "cpu":
                torch.cuda.synchronize(device)
            seconds[name].append(clock() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


if __name__ == "__main__":
    raise SystemExit(guard(main))
