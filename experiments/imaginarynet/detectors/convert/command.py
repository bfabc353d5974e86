"""`import-checkpoint`: a released detector, or a backbone's weights, as a folder or a file of ours.

    python -m experiments.imaginarynet import-checkpoint model_step34999.pth --out runs/oicr --classes voc
    python -m experiments.imaginarynet import-checkpoint vgg16_caffe.pth --out data/weights/vgg16.safetensors

What it is, is told by its tensors' names: OICR of pcl.pytorch, Unbiased Teacher or another Faster R-CNN of
detectron2, torchvision's Faster R-CNN, or a classifier of ImageNet. Every tensor that is not taken is listed.
Read by torch's weights_only or as safetensors; a file that only unpickling could read is refused.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.imaginarynet.classes import class_names
from experiments.imaginarynet.detectors.api import save_detector
from suite import manifest as record
from suite.by_hand import key_at
from suite.errors import BadInput

if TYPE_CHECKING:
    from experiments.imaginarynet.detectors.convert.checkpoint import Checkpoint
    from experiments.imaginarynet.detectors.convert.mapping import Imported

NAME = "import-checkpoint"
VERSION = 1
SUFFIX = ".safetensors"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of the command."""
    add = parser.add_argument
    add("file", type=Path, metavar="FILE", help=".pth, .pt or .safetensors")
    add(
        "--out",
        type=Path,
        required=True,
        metavar="PATH",
        help="gets the detector, a folder; of a backbone a file that ends in .safetensors",
    )
    add("--classes", default="voc", metavar="LIST", help="the detector's: voc, coco, a file; default voc")
    add(
        "--part",
        choices=("teacher", "student"),
        default="teacher",
        help="of Unbiased Teacher; default %(default)s",
    )


def run(args: argparse.Namespace) -> Iterator[str]:
    """Do it; yields the lines to be printed. Raises BadInput."""
    from experiments.imaginarynet.detectors.convert.checkpoint import read_checkpoint

    names = class_names(args.classes)
    if not args.file.is_file():
        raise BadInput("no such file", file=args.file, fix="check the path")
    parts = {"version": VERSION, "file": record.file_digest(args.file), "classes": names, "part": args.part}
    key = record.key_of(parts)
    if args.out.suffix != SUFFIX and record.is_done(args.out, key):
        yield f"{NAME}: up to date"
        return
    given = read_checkpoint(args.file)
    imported = convert(given, names, part=args.part)
    if imported.kind is None:
        write_backbone(args.out, imported, parts)
    else:
        write_detector(args.out, imported, parts, key=key, given=given)
    yield f"{NAME}: {imported.form}: {len(imported.state)} tensors in {args.out}"
    yield from (f"skipped {line}" for line in imported.skipped)
    yield from (f"left out {line}" for line in given.left_out)
    yield from (f"note: {line}" for line in imported.notes)


def convert(given: Checkpoint, names: tuple[str, ...], *, part: str = "teacher") -> Imported:
    """What a checkpoint is, with our names. Raises BadInput where it is none of the known forms."""
    from experiments.imaginarynet.detectors.convert import backbone, pcl, rcnn

    if pcl.is_form(list(given.tensors)):
        return pcl.convert(given, names)
    if rcnn.is_form(list(given.tensors)):
        return rcnn.convert(given, names, part=part)
    if backbone.is_form(list(given.tensors)):
        return backbone.convert(given)
    shown = ", ".join(list(given.tensors)[:3])
    what = f"is no checkpoint of a known form; its tensors are {shown}, ..."
    fix = "known are pcl.pytorch's OICR, Unbiased Teacher, torchvision's Faster R-CNN, VGG16 and ResNets"
    raise BadInput(what, file=given.file, fix=fix)


def write_backbone(out: Path, imported: Imported, parts: dict[str, Any]) -> None:
    """One .safetensors file, whole or not at all; the digest of the source is in its header."""
    from safetensors.torch import save_file

    if out.suffix != SUFFIX:
        fix = f"write it where settings look for it: --out data/weights/NAME{SUFFIX}"
        raise BadInput("these are the weights of a backbone, which are a file", file=out, fix=fix)
    if out.is_dir():
        raise BadInput("is a folder", file=out, fix="choose another --out")
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    tensors = {name: tensor.contiguous().clone() for name, tensor in imported.state.items()}
    try:
        save_file(tensors, str(temporary), metadata={"form": imported.form, "source_sha256": parts["file"]})
        os.replace(temporary, out)
    finally:
        temporary.unlink(missing_ok=True)


def write_detector(
    out: Path, imported: Imported, parts: dict[str, Any], *, key: str, given: Checkpoint
) -> None:
    """The detector's folder with a manifest; `predict` and `evaluate` take it as one that was trained."""
    if out.suffix == SUFFIX:
        raise BadInput("this is a detector, which is a folder", file=out, fix="choose another --out")
    if key_at(out) is not None:
        raise BadInput("holds something else", file=out, fix="choose another --out")
    part = record.part_of(out)
    record.open_part(part, key)
    extra = {
        "form": imported.form,
        "source": given.file.name,
        "source_sha256": parts["file"],
        "skipped": list(imported.skipped),
        "left_out": list(given.left_out),
        "notes": list(imported.notes),
    }
    save_detector(
        part, kind=str(imported.kind), class_names=imported.class_names, settings=imported.settings,
        state=imported.state, extra=extra,
    )  # fmt: skip
    outputs = record.describe_outputs(part, (), base=out, final=out)
    tree = {"schema": record.SCHEMA, "system": "imaginarynet", "stage": NAME, "key": key, "key_parts": parts}
    record.write_json(part / record.MANIFEST, {**tree, "outputs": outputs})
    record.commit(part, out)
