"""The key network and the bank in one step of SOLID's pre-training, against the published way, in one run.

    python -m benchmarks.solid_pretrain_step                  # smoke's detector and bank; seconds
    python -m benchmarks.solid_pretrain_step --scale paper    # ResNet-50, 52,447 classes; minutes

Run it in the detectron2 environment. "Published" is what SOLID's code does in every step: walk `state_dict()`
tensor by tensor for the moving average, write the rows of the queries, clone the bank and normalise all of
it. Ours: one fused call over a list of tensors that is made once, rows that are normalised before they are
written. Both sides start from the same state and must end in the same one.
Not covered: the networks' forward and backward passes, which are the same on both sides.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable
from pathlib import Path

import suite.compat.detectron2  # noqa: F401

# isort: split
import torch
from torch.nn.functional import normalize

from experiments.solid.config import SolidConfig
from experiments.solid.learn.pretrain.bank import write_rows_
from experiments.solid.learn.pretrain.ema import follow_
from experiments.solid.learn.pretrain.lazy import lazy_pretrain, make
from experiments.solid.learn.pretrain.model import KEY_PREFIXES, InstanceDetector
from suite.config import load_config

ROOT = Path(__file__).resolve().parents[1]
SMOKE_CLASSES = 32  # paper.yaml names its own number
TOLERANCE = 1e-5  # float32 sums in another order


def main() -> None:
    """Measure both sides and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scale", default="smoke", help="config of experiments/solid/configs, default smoke")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="default cpu")
    parser.add_argument("--steps", type=int, default=20, help="steps of each side, default 20")
    args = parser.parse_args()
    config = load_config(SolidConfig, ROOT / f"experiments/solid/configs/{args.scale}.yaml")
    torch.set_num_threads(config.pretrain.threads)
    torch.manual_seed(0)
    num_classes = config.meshes.num_classes or SMOKE_CLASSES
    tree = lazy_pretrain(config, num_classes=num_classes, seed=0, device=args.device)
    model = make(tree, torch.device(args.device)).model.train()
    generator = torch.Generator().manual_seed(1)
    disturb(model, generator)
    num_queries = min(config.pretrain.num_queries, num_classes)
    ids = torch.randperm(num_classes, generator=generator)[:num_queries].to(args.device)
    rows = torch.randn(num_queries, model.queue.shape[1], generator=generator).to(args.device)

    start = {name: value.clone() for name, value in model.state_dict().items()}
    raw = model.queue.clone()
    theirs = measure(lambda: published_step(model, raw, ids, rows), args.steps, args.device)
    published = {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(start)
    ours = measure(lambda: our_step(model, ids, rows), args.steps, args.device)

    keys = [name for name in published if name.startswith(tuple(KEY_PREFIXES))]
    found = model.state_dict()
    worst = max((found[name].double() - published[name].double()).abs().max().item() for name in keys)
    worst = max(worst, (model.queue - normalize(raw, dim=1)).abs().max().item())
    if worst > TOLERANCE:
        raise SystemExit(f"the two sides differ by {worst:.2g}")
    where = (
        f"{platform.machine()}, {args.device}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    )
    print(f"{where}, scale {args.scale}: {len(keys)} tensors, bank {tuple(model.queue.shape)}")
    figures = f"published {theirs * 1e3:.2f} ms per step, ours {ours * 1e3:.2f} ms, ratio {theirs / ours:.1f}"
    print(f"{figures}; largest difference {worst:.1g}")


def disturb(model: InstanceDetector, generator: torch.Generator) -> None:
    """Move the query network away from the key network."""
    with torch.no_grad():
        for query in model.pairs().queries:
            query.add_(0.01 * torch.randn(query.shape, generator=generator).to(query.device))


@torch.no_grad()
def published_step(
    model: InstanceDetector, bank: torch.Tensor, ids: torch.Tensor, rows: torch.Tensor
) -> torch.Tensor:
    """Tensor by tensor, then the whole bank normalised; returns what the classifier would use."""
    state = model.state_dict()
    for name, key in state.items():
        for of_key, of_query in KEY_PREFIXES.items():
            if name.startswith(of_key):
                query = state[of_query + name.removeprefix(of_key)]
                if key.is_floating_point():
                    key.copy_(model.momentum * key + (1 - model.momentum) * query)
                else:
                    key.copy_(query)
    bank[ids] = rows
    return normalize(bank.clone(), dim=1)


@torch.no_grad()
def our_step(model: InstanceDetector, ids: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """The same by the code of the stage."""
    follow_(model.pairs(), model.momentum)
    write_rows_(model.queue, model.queue_ids, ids, normalize(rows, dim=1))
    return model.queue


def measure(step: Callable[[], torch.Tensor], steps: int, device: str) -> float:
    """Least seconds of one step: what other programs on the machine add is left out."""
    seconds = []
    for _ in range(steps):
        begun = time.perf_counter()
        step()
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - begun)
    return min(seconds)


if __name__ == "__main__":
    main()
