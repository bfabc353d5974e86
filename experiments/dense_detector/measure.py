"""What a detector costs: parameters, multiply-accumulates, time and memory, measured in a process of its own.

    figures = measure(config, "ssdlite", "matched", weights=path, databases=folder, ...)

The child process builds the trained detector, opens sixteen test pictures and measures
  * multiply-accumulates of one picture: half of what torch.utils.flop_counter counts in `detect`, that is
    convolutions and matrix products (resizing, suppression and activations are not counted);
  * latency at batch 1 and throughput at batch 16: from decoded pictures in memory to boxes in original
    pixels, median of the repetitions after one to warm up, on `compare.threads` threads;
  * its own peak resident memory (VmHWM), after importing, after detecting, and after one training step at
    `train.batch_size`. A child's figure from getrusage would include its parent's.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from experiments.dense_detector.config import DenseConfig
from experiments.dense_detector.contestants import Contestant, make_contestant
from experiments.dense_detector.splits import Subset, test_set, training_sets
from suite.config import build, to_tree
from suite.errors import BadInput
from suite.provenance import ROOT

BATCH = 16
REPEAT_ONE, REPEAT_BATCH = 10, 3  # a median of fewer would be one measurement


FIGURES = (
    "parameters", "macs", "latency_ms", "images_per_second", "rss_imports_bytes", "rss_detect_bytes",
    "rss_train_bytes",
)  # fmt: skip


def measure(
    config: DenseConfig,
    model: str,
    view: str,
    *,
    shapes: torch.Tensor,
    databases: Path,
    seed: int,
    weights: Path,
    device: str,
) -> dict[str, float]:
    """FIGURES of a trained model.

    `shapes` (A, 2): our anchors; `databases`: folder of `verify`; `seed` of the split; `weights`: state dict
    of the module. Raises BadInput with the child's last words where it fails.
    """
    task = {
        "config": to_tree(config), "model": model, "view": view, "shapes": shapes.tolist(), "seed": seed,
        "databases": str(databases), "weights": str(weights), "device": device,
    }  # fmt: skip
    command = [sys.executable, "-m", "experiments.dense_detector.measure"]
    done = subprocess.run(
        command, input=json.dumps(task), capture_output=True, text=True, cwd=ROOT, check=False
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise BadInput(f"measuring {model} ended with {done.returncode}: {last}", fix="see above")
    return json.loads(done.stdout.splitlines()[-1])


def peak_rss_bytes() -> int:
    """Peak resident memory of this process so far."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/self/status has no VmHWM")


def median_seconds(work: Callable[[], object], repeat: int, device: str) -> float:
    """Median wall time of `work` over `repeat` calls, after one that does not count."""
    times = []
    for _ in range(repeat + 1):
        begin = time.perf_counter()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - begin)
    return statistics.median(times[1:])


def count_macs(contestant: Contestant, pictures: Any) -> int:
    """Multiply-accumulates of convolutions and matrix products for one picture."""
    with FlopCounterMode(display=False) as counter:
        contestant.detect(pictures, [0])
    return counter.get_total_flops() // 2


def first_pictures(subset: Subset, number: int) -> Subset:
    """The first pictures of a subset, so that its size does not enter the memory measured."""
    return replace(subset, selection=replace(subset.selection, images=subset.selection.images[:number]))


def measure_here(task: dict[str, Any]) -> dict[str, float]:
    """What the child does with its task."""
    imported = peak_rss_bytes()
    config = build(DenseConfig, task["config"], where="the task")
    torch.set_num_threads(config.compare.threads)
    databases = Path(task["databases"])
    train = first_pictures(training_sets(config.data, databases, task["seed"])[0], config.train.batch_size)
    test = first_pictures(test_set(config.data, databases, task["seed"]), BATCH)
    contestant = make_contestant(
        task["model"], task["view"], config, classes=train.classes, shapes=torch.tensor(task["shapes"]),
        device=task["device"],
    )  # fmt: skip
    state = torch.load(task["weights"], map_location=task["device"], weights_only=True)
    contestant.module.load_state_dict(state)
    pictures, every = contestant.pictures(test), range(len(test.selection.images))
    one = median_seconds(lambda: contestant.detect(pictures, [0]), REPEAT_ONE, task["device"])
    many = median_seconds(lambda: contestant.detect(pictures, every), REPEAT_BATCH, task["device"])
    detected = peak_rss_bytes()
    batch = range(len(train.selection.images))
    contestant.loss(contestant.pictures(train), batch).backward()
    return {
        "parameters": sum(weight.numel() for weight in contestant.module.parameters()),
        "macs": count_macs(contestant, pictures),
        "latency_ms": 1000 * one,
        "images_per_second": len(every) / many,
        "rss_imports_bytes": imported,
        "rss_detect_bytes": detected,
        "rss_train_bytes": peak_rss_bytes(),
    }


if __name__ == "__main__":
    print(json.dumps(measure_here(json.load(sys.stdin))))
