"""`import-checkpoint`: a released detectron2 checkpoint becomes a model file of ours, tensor by tensor.

    python -m experiments.solid import-checkpoint model_0749999.pth --out data/released
    python -m experiments.solid finetune --config ... --pretrain data/released --out DIR

Result: `model.pth` and `model.safetensors` with the tensors that our network has under the same name and
shape, and `import.json`: what was taken, skipped (another shape), unknown (no such name in our network),
absent (only in our network), what else the file held, and what a fine-tuning on `--num-classes` will load.
A checkpoint with a bank (`queue`) is one of pre-training; another is a detector, its classes counted in its
classifier.

Read with torch's weights_only: a file that holds anything but tensors and plain values is refused and named,
as are .pkl files (detectron2's model zoo), because reading a pickle runs the code in it.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import suite.compat.detectron2  # noqa: F401

# isort: split
import torch

from experiments.solid.config import SolidConfig
from experiments.solid.learn.engine.checkpoint import load_model_file, named_tensors, save_model
from experiments.solid.learn.finetune.cfg import build, finetune_cfg
from experiments.solid.learn.finetune.transfer import WRAPPER, Transfer, transfer, unexpected
from experiments.solid.learn.pretrain.lazy import lazy_pretrain, make
from suite.by_hand import Parser, bring_up, part_key
from suite.config import load_config
from suite.errors import BadInput
from suite.manifest import discard, file_digest, read_json, write_json
from suite.provenance import ROOT
from suite.runs import choose
from suite.stage import Context, Job, Stage

MODEL, RESULT = "model.pth", "import.json"
BANK, CLASSIFIER = "queue", "roi_heads.box_predictor.cls_score.weight"
COCO_CLASSES = 80


@dataclass(frozen=True)
class Settings:
    """What was asked for."""

    file: str
    num_classes: int  # of the fine-tuning that is foretold
    solid: SolidConfig


STAGE = Stage(
    system="solid",
    name="import-checkpoint",
    summary="map a released detectron2 checkpoint",
    toolchain="detectron2",
    version=1,
    run="experiments.solid.importing.checkpoint:convert",
    config=("num_classes", "solid.detector", "solid.pretrain", "solid.finetune"),
    decides=("torch",),
    outside=lambda settings: file_digest(Path(settings.file)),
    uses_gpu=False,
)


def parser() -> Parser:
    """The command's flags."""
    made = Parser(prog="python -m experiments.solid import-checkpoint", allow_abbrev=False)
    made.add_argument("file", type=Path, help="a .pth or .safetensors file")
    made.add_argument("--out", required=True, type=Path, metavar="DIR", help="the result")
    made.add_argument("--scale", default="paper", help="whose architecture it has (default paper)")
    made.add_argument("-o", "--override", action="append", default=[], metavar="KEY=VALUE")
    text = f"of the target set (default {COCO_CLASSES}, COCO)"
    made.add_argument("--num-classes", type=int, default=COCO_CLASSES, help=text)
    made.add_argument("--force", action="store_true", help="move what stands at --out aside")
    return made


def run(args: argparse.Namespace) -> Iterator[str]:
    """The command; yields what it prints."""
    if args.num_classes < 1:
        raise BadInput(f"--num-classes {args.num_classes}", fix="use 1 or more")
    if not args.file.is_file():
        raise BadInput(
            "no such checkpoint", file=args.file, fix="give the path of a .pth or .safetensors file"
        )
    configs = ROOT / "experiments/solid/configs"
    choose(args.scale, sorted(path.stem for path in configs.glob("*.yaml")), "scale")
    config = load_config(SolidConfig, configs / f"{args.scale}.yaml", args.override)
    settings = Settings(os.path.abspath(args.file), args.num_classes, config)
    job = Job(stage=STAGE, config=settings, seed=0, device="cpu", inputs={}, out=args.out)
    fix = "choose another --out, or add --force to move it aside"
    try:
        yield from bring_up(job, force=args.force, fix=fix)
    except BadInput:
        if part_key(job.part) == job.key:  # nothing in it is worth keeping, and it would be in the way
            discard(job.part)
        raise
    yield from told(read_json(job.out / RESULT))


def told(tree: Mapping[str, Any]) -> Iterator[str]:
    """The lines of a report; one for every tensor that was not taken."""
    yield f"{tree['kind']}, {tree['num_classes']} classes: {len(tree['taken'])} tensors taken"
    for name, shapes in tree["skipped"].items():
        yield f"skipped  {name}: {shapes['checkpoint']} there, {shapes['model']} here"
    for name in tree["unknown"]:
        yield f"unknown  {name}: no such tensor here"
    for name in tree["absent"]:
        yield f"absent   {name}: not in the checkpoint"
    for name in tree["not_tensors"]:
        yield f"left out {name}: no part of the model"
    tune = tree["finetune"]
    yield (
        f"a fine-tuning on {tune['num_classes']} classes loads {len(tune['loaded'])} of them, skips"
        f" {len(tune['skipped'])} of other shapes, ignores {len(tune['ignored'])}"
    )


def convert(ctx: Context) -> None:
    """The stage: read, compare with the network that it should be, write what fits and the report."""
    settings: Settings = ctx.config
    path = Path(settings.file)
    tree = load_model_file(path)
    tensors = named_tensors(tree, path)
    renamed = {name.removeprefix(WRAPPER): value for name, value in tensors.items()}
    kind, num_classes, model = network_of(renamed, settings, path)
    moved = transfer(model, renamed, file=path)
    odd = unexpected(moved)
    if odd:
        ctx.warn(odd.replace("transfer.json", RESULT))
    kept = {name: renamed[name] for name in moved.loaded}
    detector = build(finetune_cfg(settings.solid, num_classes=settings.num_classes, device="cpu"))
    tuned = transfer(detector, kept, file=path).to_tree() | {"num_classes": settings.num_classes}
    save_model(ctx.out / MODEL, kept)
    report = report_of(moved) | {"kind": kind, "num_classes": num_classes, "finetune": tuned}
    report |= {"not_tensors": not_tensors(tree), "sha256": file_digest(path)}
    write_json(ctx.out / RESULT, report)
    ctx.count("taken", len(moved.loaded))
    ctx.count("skipped", len(moved.skipped))
    ctx.count("unknown", len(moved.ignored))


def network_of(
    tensors: Mapping[str, torch.Tensor], settings: Settings, path: Path
) -> tuple[str, int, torch.nn.Module]:
    """What the checkpoint is, of how many classes, and our network of that kind with random tensors."""
    bank = tensors.get(BANK)
    if bank is not None:
        if bank.ndim != 2:
            raise BadInput(f"the bank `{BANK}` is {tuple(bank.shape)}, expected (classes, width)", file=path)
        tree = lazy_pretrain(settings.solid, num_classes=len(bank), seed=0, device="cpu")
        return "pre-training", len(bank), make(tree, torch.device("cpu")).model
    head = tensors.get(CLASSIFIER)
    num_classes = settings.num_classes if head is None else max(1, len(head) - 1)
    return "detector", num_classes, build(finetune_cfg(settings.solid, num_classes=num_classes, device="cpu"))


def report_of(moved: Transfer) -> dict[str, Any]:
    """A transfer in the words of an import."""
    tree = moved.to_tree()
    return {
        "taken": tree["loaded"],
        "skipped": tree["skipped"],
        "unknown": tree["ignored"],
        "absent": tree["untouched"],
    }


def not_tensors(tree: Any) -> list[str]:
    """Names of all that a loaded file holds beside the model's tensors: optimizer, iteration, ..."""
    for key in ("model", "state_dict"):
        if isinstance(tree, Mapping) and isinstance(tree.get(key), Mapping):
            inner = [f"{key}.{name}" for name, value in tree[key].items() if not torch.is_tensor(value)]
            return sorted([str(name) for name in tree if name != key] + inner)
    return sorted(str(name) for name, value in tree.items() if not torch.is_tensor(value))
