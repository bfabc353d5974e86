"""`train` and `evaluate` outside a run: one cell of the grid, and a file of weights on real images.

`train` leaves in its folder what a cell of a run leaves (train/stage.py). `--synthetic` names a folder that
`synth` wrote, or one of the published code: `<object>_fake.csv` and `images/`.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.sample_synthesis.by_hand import OTHER, job_of, object_folders, variant_of
from experiments.sample_synthesis.cells import Cell
from experiments.sample_synthesis.config import SampleSynthesisConfig
from experiments.sample_synthesis.flags import ARMS, settings_of
from experiments.sample_synthesis.names import Variant
from experiments.sample_synthesis.stages import SYSTEM, real_state, weights_state
from suite.by_hand import bring_up
from suite.config import to_tree
from suite.errors import BadInput, Missing
from suite.manifest import file_digest, read_json
from suite.paths import listing_digest
from suite.runs import choose
from suite.stage import Context, Stage

if TYPE_CHECKING:
    from experiments.sample_synthesis.train.pipeline import ItemSet
    from experiments.sample_synthesis.train.sources import Sources

ARCHS = ("mobilenet", "resnet50", "mobilenetv2", "tiny")


# --- train ---


def train(args: argparse.Namespace) -> Iterator[str]:
    """Train one cell."""
    config = _one_cell(settings_of(args), args)
    cell = _cell_of(config, args)
    facts = {  # where things lie, and what decides the result besides the settings
        "cell": asdict(cell),
        "weights": _file(args.weights, needed=cell.parent is not None),
        "synthetic": _folder(args.synthetic) if cell.sees_synthetic else None,
        "real": real_state(args.object, config),
        "imagenet": weights_state(config),
    }
    if facts["synthetic"] is not None:
        config = _with_samples(config, args.object, args.synthetic)
    inputs: dict[str, Path] = {}
    if cell.sees_synthetic and args.synthetic is None:
        inputs = object_folders(config, args.object, seed=args.seed, device=args.device, beside=args.out)
    stage = Stage(
        system=SYSTEM, name="train", summary="one detector", toolchain="tensorflow", version=1,
        run=f"{__name__}:run_train", inputs=tuple(inputs), outside=lambda _: facts,
        config=tuple(to_tree(config)),
    )  # fmt: skip
    job = job_of(stage, config, args.seed, args.device, inputs, args.out)
    yield from bring_up(job, force=args.force, fix=OTHER)
    made = read_json(job.out / "cell.json")
    value = made["val_meanAP"]
    told = "" if value is None else f", validation mAP {value:.4f} (as published)"
    yield f"epoch {made['epoch']} of {made['steps'] // config.train.steps_per_epoch}{told}"
    yield str(job.out / "weights.npz")


def run_train(ctx: Context) -> None:
    """The cell that the job is about, into the job's own folder."""
    from experiments.sample_synthesis.train import runtime
    from experiments.sample_synthesis.train.session import Detectors, train_cell
    from experiments.sample_synthesis.train.stage import imagenet_folder

    config, facts = ctx.config, ctx.stage.outside(ctx.config)
    cell = Cell(**facts["cell"])
    runtime.setup(threads=config.compute.threads, device=ctx.device, precision=config.compute.precision)
    folder = Path(facts["synthetic"]["path"]) if facts["synthetic"] else None
    sources = _sources(config, ctx.work / "real", lambda variant: _synthetic(ctx, folder, variant))
    result = ctx.out / ".cell"
    train_cell(
        cell, config=config, sources=sources, seed=ctx.seed, out=result, work=ctx.work / "state",
        detectors=Detectors(config, seed=ctx.seed, weights=imagenet_folder(config)),
        parent=Path(facts["weights"]["path"]) if facts["weights"] else None, check_stop=ctx.check_stop,
        progress=lambda row: ctx.event("epoch", **row),
    )  # fmt: skip
    for path in sorted(result.iterdir()):
        path.rename(ctx.out / path.name)
    result.rmdir()
    ctx.count("cells")


def _one_cell(config: SampleSynthesisConfig, args: argparse.Namespace) -> SampleSynthesisConfig:
    """The settings with the architecture, size and length that the flags name."""
    arch = choose(args.arch or config.detector.archs[0], list(ARCHS), "architecture")
    settings = config.of(args.object)
    grid = settings.grid
    if args.real_n is not None:
        _from_one("--real-n", args.real_n)
        grid = replace(grid, sizes=(args.real_n,))
    if args.epochs is not None:
        _from_one("--epochs", args.epochs)
        length = "epochs_pretrain" if ARMS[args.arm] == "pretrained" else "epochs_real"
        grid = replace(grid, **{length: args.epochs})
    detector = replace(config.detector, archs=(arch,))
    return replace(config, detector=detector, **{args.object: replace(settings, grid=grid)})


def _with_samples(config: SampleSynthesisConfig, name: str, folder: Path) -> SampleSynthesisConfig:
    """The settings with as many synthetic images as the folder lists."""
    from experiments.sample_synthesis.data.fake_csv import count_fake

    settings = config.of(name)
    synthesis = replace(settings.synthesis, num_samples=count_fake(folder, name))
    return replace(config, **{name: replace(settings, synthesis=synthesis)})


def _cell_of(config: SampleSynthesisConfig, args: argparse.Namespace) -> Cell:
    """The cell that the flags name. Raises BadInput."""
    arm = ARMS[args.arm]
    _from_one("--run", args.run)
    _from_one("--factor", args.factor)
    if arm != "pretrained" and args.real_n is None:
        raise BadInput(f"--arm {args.arm} trains on real images", fix="say how many with --real-n")
    if arm == "pretrained" and args.real_n is not None:
        raise BadInput("--arm pretrain sees no real image", fix="leave --real-n out")
    return Cell(
        object=args.object, arch=config.detector.archs[0], arm=arm, variant=variant_of(config),
        num_real=args.real_n, factor=args.factor if arm == "mixed" else None, run=args.run,
        ablation="pretraining" if arm == "mixed" else None,
    )  # fmt: skip


def _from_one(flag: str, value: int) -> None:
    if value < 1:
        raise BadInput(f"{flag} is {value}, must be at least 1")


def _file(path: Path | None, *, needed: bool) -> dict[str, Any] | None:
    """Path and digest of the weights to start from; None where the arm starts from none."""
    if not needed:
        if path is not None:
            raise BadInput("only --arm finetune starts from --weights", fix="leave --weights out")
        return None
    if path is None:
        raise BadInput("--arm finetune starts from pretrained weights", fix="name them with --weights")
    if not path.is_file():
        raise BadInput("no such file", file=path, fix="train it with --arm pretrain, or check --weights")
    return {"path": os.path.abspath(path), "sha256": file_digest(path)}


def _folder(path: Path | None) -> dict[str, Any] | None:
    if path is None:
        return None
    digest = listing_digest(path)
    if digest is None:
        raise BadInput("no such folder", file=path, fix="make it with `synth`, or leave --synthetic out")
    return {"path": os.path.abspath(path), "listing": digest}


# --- images ---


def _sources(config: SampleSynthesisConfig, work: Path, synthetic: Callable[[Variant], ItemSet]) -> Sources:
    """The real images of the object, and its synthetic ones. `work`: for stand-ins that are composed."""
    from experiments.sample_synthesis.data.sets import load_real
    from experiments.sample_synthesis.train.sources import Sources

    (name,) = config.objects
    real = load_real(name, config.of(name).real, work=work, threads=config.compute.threads)
    return Sources(config, real, synthetic)


def _synthetic(ctx: Context, folder: Path | None, variant: Variant) -> ItemSet:
    """The images of a folder, or those that are made while training."""
    from experiments.sample_synthesis.data.fake_csv import read_fake
    from experiments.sample_synthesis.synth.stage import open_stream
    from experiments.sample_synthesis.train.sources import cached, real_files, stream_set

    config, (name,) = ctx.config, ctx.config.objects
    if folder is not None:
        images = read_fake(folder, name, threads=config.compute.threads)
        return cached(real_files(images, config.detector.image_size), config)
    stream = open_stream(
        config, name, seed=ctx.seed, objects=ctx.inputs["objects"], variant=variant,
        masks=ctx.inputs.get("redo-masks"),
    )  # fmt: skip
    return stream_set(stream, config, name)


# --- evaluate ---


def evaluate(args: argparse.Namespace) -> Iterator[str]:
    """Average precision of a weights file on a split of the real images."""
    if not args.weights.is_file():
        raise BadInput("no such file", file=args.weights, fix="give a weights.npz that `train` wrote")
    config = settings_of(args)
    import tempfile

    from experiments.sample_synthesis.metrics.scores import score
    from experiments.sample_synthesis.train import runtime
    from experiments.sample_synthesis.train.cell_files import predictions_file, read_predictions
    from experiments.sample_synthesis.train.checkpoint import read_weights
    from experiments.sample_synthesis.train.session import Detectors, evaluate_weights

    found = read_weights(args.weights)
    sides = replace(config.detector, archs=(found.arch,), image_size=found.image_size, init="random")
    config = replace(config, detector=sides)
    runtime.setup(threads=config.compute.threads, device=args.device, precision=config.compute.precision)
    with tempfile.TemporaryDirectory(prefix="syndet-evaluate-") as folder:
        sources = _sources(config, Path(folder) / "real", _none)
        evaluate_weights(
            found.arch, found.arrays, config=config, sources=sources, out=Path(folder), splits=(args.split,),
            detectors=Detectors(config, seed=args.seed), where=args.weights,
        )  # fmt: skip
        detections = read_predictions(Path(folder) / predictions_file(args.split))
        real = sources.real[args.split]
        told = " (stand-in)" if real.is_standin else ""
        yield f"{args.object}, {found.arch}, {args.split}: {len(real)} images{told}"
        for name, value in score(real.coco, detections, args.metric, config.detector).items():
            yield f"{name}: {'-' if value is None else f'{value:.4f}'}"


def _none(variant: Variant) -> ItemSet:
    raise Missing(f"no synthetic images ({variant}) are looked at here")
