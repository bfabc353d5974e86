"""Pictures per second of whole steps of SOLID's pre-training by precision and memory layout, in one run.

    python -m benchmarks.solid_pretrain_whole                  # smoke's detector on the CPU; half a minute
    python -m benchmarks.solid_pretrain_whole --scale paper --device cuda --batch 16
    python -m benchmarks.solid_pretrain_whole --profile        # and the ten dearest operators of each way

Run it in the detectron2 environment. A step is what the stage does between two batches: moving average,
queries, bank, forward, backward, update. "Published" is float32 without any of ours: the average tensor by
tensor, the whole bank cloned and normalised in every step. The others are ours; "plain" is torch's usual
memory layout, "channels last" the one that tensor cores and oneDNN prefer. Pictures are synthetic; the least
seconds of a step count: processor time on a CPU, the clock on a GPU.
"""

from __future__ import annotations

import argparse
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import suite.compat.detectron2  # noqa: F401

# isort: split
import torch
from detectron2.utils.events import EventStorage

from benchmarks.solid_loader import as_store, synthetic
from benchmarks.solid_pretrain_step import ROOT, SMOKE_CLASSES, published_step
from experiments.solid.config import SolidConfig
from experiments.solid.learn.data.pretrain import input_dict, load_target
from experiments.solid.learn.engine.amp import Amp
from experiments.solid.learn.pretrain.lazy import lazy_pretrain, make
from suite.config import load_config

WAYS = {  # name: precision, channels last, published refresh
    "published, float32": ("float32", False, True),
    "float32, plain": ("float32", False, False),
    "float32, channels last": ("float32", True, False),
    "bfloat16, plain": ("bfloat16", False, False),
    "bfloat16, channels last": ("bfloat16", True, False),
}


def main() -> None:
    """Measure every way and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scale", default="smoke", help="config of experiments/solid/configs, default smoke")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="default cpu")
    parser.add_argument("--batch", type=int, help="pictures a step; default: the config's")
    parser.add_argument("--steps", type=int, default=3, help="steps of each way, default 3")
    parser.add_argument("--profile", action="store_true", help="also print the dearest operators")
    args = parser.parse_args()
    config = load_config(SolidConfig, ROOT / f"experiments/solid/configs/{args.scale}.yaml")
    batch = args.batch or config.pretrain.batch_size
    torch.set_num_threads(config.pretrain.threads)
    targets = pictures(config, batch, args.device)
    where = (
        f"{platform.machine()}, {args.device}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    )
    print(f"{where}, scale {args.scale}, {batch} pictures of {tuple(targets[0]['image'].shape[1:])}")
    print(f"{'way':<26}{'ms a step':>11}{'pictures/s':>12}{'ratio':>8}{'GPU MB':>9}{'total loss':>12}")
    slowest = None
    for name, (precision, last, published) in WAYS.items():
        step = stepper(config, targets, args.device, precision, channels_last=last, published=published)
        if args.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        loss = step().item()  # the first step also warms up
        seconds = measure(step, args.steps, args.device)
        slowest = slowest or seconds
        memory = torch.cuda.max_memory_allocated() / 1e6 if args.device == "cuda" else 0
        figures = f"{seconds * 1e3:>11.1f}{batch / seconds:>12.2f}{slowest / seconds:>8.2f}"
        print(f"{name:<26}{figures}{memory:>9.0f}{loss:>12.4f}", flush=True)
        if args.profile:
            print(dearest(step, args.device))


def pictures(config: SolidConfig, batch: int, device: str) -> list[dict]:
    """Input dicts of synthetic pictures, resized as in training to the middle of the short edges."""
    edges = config.pretrain.short_edges
    with tempfile.TemporaryDirectory() as folder:
        store, index = as_store(Path(folder) / "store", synthetic(batch, 20))
        found = []
        for row in range(batch):
            target, image, label_map = load_target(
                store, index, row, config.pretrain, short_edge=edges[len(edges) // 2], flip=False
            )
            found.append(input_dict(target, torch.from_numpy(image), torch.from_numpy(label_map), device))
    return found


def stepper(
    config: SolidConfig, targets: list[dict], device: str, precision: str, *, channels_last: bool,
    published: bool,
) -> Callable[[], torch.Tensor]:  # fmt: skip
    """A function that does one step and returns the sum of its losses; every call goes on from the last."""
    torch.manual_seed(0)
    classes = config.meshes.num_classes or SMOKE_CLASSES
    made = make(lazy_pretrain(config, num_classes=classes, seed=0, device=device), torch.device(device))
    model, amp = made.model.train(), Amp(precision, torch.device(device))
    if channels_last:
        model.to(memory_format=torch.channels_last)
    count, side = min(config.pretrain.num_queries, classes), config.pretrain.query_size
    generator = torch.Generator().manual_seed(1)
    queries = list(torch.randint(0, 256, (count, 3, side, side), generator=generator, dtype=torch.uint8))
    ids = torch.randperm(classes, generator=generator)[:count].to(device)
    raw = model.queue.clone()

    def step() -> torch.Tensor:
        with amp.autocast():
            if published:
                model.queue = published_step(model, raw, ids, model.embed_queries(queries))
            else:
                model.refresh(queries, ids)
        with EventStorage(0), amp.autocast():
            loss = sum(model(targets).values())
        amp.update(loss, made.optimizer)
        return loss.detach()

    return step


def measure(step: Callable[[], torch.Tensor], steps: int, device: str) -> float:
    """Least seconds of one step."""
    clock, seconds = time.process_time if device == "cpu" else time.perf_counter, []
    for _ in range(steps):
        begun = clock()
        step()
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(clock() - begun)
    return min(seconds)


def dearest(step: Callable[[], torch.Tensor], device: str) -> str:
    """Table of the operators that take most time in one step."""
    kinds = [torch.profiler.ProfilerActivity.CPU]
    if device == "cuda":
        kinds.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=kinds) as profile:
        step()
    return profile.key_averages().table(sort_by=f"self_{device}_time_total", row_limit=10)


if __name__ == "__main__":
    main()
