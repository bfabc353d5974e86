"""`synth`, `ablate` and `convert` outside a run: the stages' own functions, with results where the user says.

Each function takes the parsed flags (flags.py), works, and yields the lines to be printed. Object pictures
and masks, which `synth` and `train` need first, are made beside the result, in `.<name>.objects`.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from experiments.sample_synthesis.config import SampleSynthesisConfig
from experiments.sample_synthesis.flags import settings_of
from experiments.sample_synthesis.names import ALL, Variant
from experiments.sample_synthesis.stages import SYSTEM, stages_of, synthesis_sections
from suite.by_hand import bring_up
from suite.errors import BadInput
from suite.paths import data_path
from suite.runs import folder_setting
from suite.stage import Context, Job, Stage

OTHER = "repeat those, or name another folder, or add --force"


def variant_of(config: SampleSynthesisConfig) -> Variant:
    """The variant of a command by hand, whose settings have one object and no other ablation."""
    return next((name for name in config.ablations if name != "pretraining"), "masked")


# --- synth ---


def synth(args: argparse.Namespace) -> Iterator[str]:
    """Write synthetic images and their lists."""
    config = settings_of(args)
    name = args.object
    out = args.out or folder_setting("RUNS_DIR", "runs") / ALL[name].output_dir(args.variant)
    inputs = object_folders(config, name, seed=args.seed, device="cpu", beside=out)
    stage = Stage(
        system=SYSTEM, name="synth", summary="synthetic images", toolchain="tensorflow", version=1,
        run=f"{__name__}:run_synth", inputs=tuple(inputs), uses_gpu=False,
        config=("objects", "ablations", *synthesis_sections(config, name)),
    )  # fmt: skip
    yield from bring_up(job_of(stage, config, args.seed, "cpu", inputs, out), force=args.force, fix=OTHER)
    yield str(out / ALL[name].csv)


def run_synth(ctx: Context) -> None:
    """All images of one object and variant, by as many processes as `compute.workers` says."""
    import cv2

    from experiments.sample_synthesis.synth.stage import open_stream
    from experiments.sample_synthesis.synth.writer import synthesise

    cv2.setNumThreads(1)  # the processes are the parallelism
    config, (name,) = ctx.config, ctx.config.objects
    stream = partial(
        open_stream, config, name, seed=ctx.seed, objects=ctx.inputs["objects"], variant=variant_of(config),
        masks=ctx.inputs.get("redo-masks"),
    )  # fmt: skip
    total = config.of(name).synthesis.num_samples
    with ctx.progress(total) as bar:
        totals = synthesise(
            stream, name=name, total=total, out=ctx.out, work=ctx.work / "journals",
            workers=config.compute.workers, check_stop=ctx.check_stop, advance=bar.advance,
        )  # fmt: skip
    for what in ("images", "boxes", "redrawn"):
        ctx.count(what, getattr(totals, what))


def object_folders(
    config: SampleSynthesisConfig, name: str, *, seed: int, device: str, beside: Path
) -> dict[str, Path]:
    """Finished folders of object pictures, and of ReDO's masks where they are needed; made if need be."""
    home = Path(os.path.abspath(beside))
    home = home.with_name(f".{home.name}.objects")
    made: dict[str, Path] = {}
    for verb in ("objects", "train-redo", "redo-masks"):
        stage = stages_of(config).get(f"{name}-{verb}")
        if stage is None:
            continue
        inputs = {full: made[full.partition("-")[2]] for full in stage.inputs}
        job_of(stage, config, seed, device if stage.uses_gpu else "cpu", inputs, home / verb).run()
        made[verb] = home / verb
    return {verb: folder for verb, folder in made.items() if verb != "train-redo"}


def job_of(
    stage: Stage, config: SampleSynthesisConfig, seed: int, device: str, inputs: dict[str, Path], out: Path
) -> Job:
    """A job that asks for no package: by hand, a stage runs wherever its modules are there."""
    stage = replace(stage, decides=())
    return Job(stage=stage, config=config, seed=seed, device=device, inputs=inputs, out=out)


# --- ablate ---


def ablate(args: argparse.Namespace) -> Iterator[str]:
    """Every stage of one ablation, one after the other in this process, up to its table."""
    name, ablation = args.object, args.ablation
    if ablation != "pretraining" and ablation not in ALL[name].variants:
        raise BadInput(f"{name} has no variant {ablation}", fix="choose another object, or pretraining")
    args.override = ["arms=[]", *args.override]
    config = settings_of(args)
    home = args.out or folder_setting("RUNS_DIR", "runs") / "ablate" / f"{name}-{ablation}"
    home = Path(os.path.abspath(home))
    for verb, stage in stages_of(config).items():
        if verb == "report":
            break
        inputs = {other: home / other for other in stage.inputs}
        device = args.device if stage.uses_gpu else "cpu"
        yield from bring_up(
            job_of(stage, config, args.seed, device, inputs, home / verb), force=args.force, fix=OTHER
        )
    yield from (str(path) for path in sorted((home / f"{name}-evaluate").glob("*.csv")))


# --- convert ---


def convert(args: argparse.Namespace) -> Iterator[str]:
    """A published data set as COCO files and in the form that is read here; or packaged weights as .npz."""
    if args.kind == "mobilenetv2":
        from experiments.sample_synthesis.detector.convert_mobilenetv2 import run as convert_weights

        yield str(convert_weights(args.out, args.root))
        return
    from experiments.sample_synthesis.data.convert import convert as convert_set
    from experiments.sample_synthesis.data.where import HOMES

    if args.data_dir is not None:
        os.environ["DATA_DIR"] = os.path.abspath(args.data_dir)
    kind = {"qr": "qr_csv"}.get(args.kind, args.kind)
    root = args.root or data_path(HOMES[kind].folder)
    if args.num_valid < 0:
        raise BadInput(f"--num-valid {args.num_valid} is negative", fix="0: the list of the data set")
    done = convert_set(
        args.kind, root, args.out, num_valid=args.num_valid or None, split_file=args.split_file,
        shift_to_zero=args.shift_to_zero,
    )  # fmt: skip
    for split, images in done.images.items():
        yield f"{split}: {images} images, {done.boxes[split]} boxes"
    yield from done.differences
    yield from (f"left out: {number} x {kind}" for kind, number in done.skipped.counts.items())
    yield from (f"for example: {text}" for text in done.skipped.examples)
    yield from (str(args.out / file) for file in done.files)
