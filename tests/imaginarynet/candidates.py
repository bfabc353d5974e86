"""Rows and pictures made up for tests, and contexts of stages to put them into."""

import hashlib

import numpy as np

from experiments.imaginarynet.config import ImaginaryNetConfig
from experiments.imaginarynet.store.manifest import CANDIDATES, Candidate, candidate_id, write_rows
from experiments.imaginarynet.store.pictures import IMAGES
from experiments.imaginarynet.store.seeds import candidate_seed
from experiments.imaginarynet.store.shard import ShardWriter
from suite.manifest import MANIFEST, write_json
from suite.stage import Context, Stage

CLASSES = ("mug", "traffic light", "lemon")


def queued(class_id=0, number=0, *, classes=CLASSES, round=1, **changes):
    """A row as `prompts` leaves it."""
    name = classes[class_id]
    facts = {
        "candidate_id": candidate_id(class_id, number),
        "class_id": class_id,
        "class_name": name,
        "label": name.replace(" ", ""),
        "number": number,
        "round": round,
        "prompt": f"A photo of {name} number {number}",
        "prompt_source": "bare",
        "backend": "dalle-mini",
        "seed": candidate_seed(0, "dalle-mini", name, number=number),
    }
    return Candidate(**{**facts, **changes})


def scored(class_id=0, number=0, *, classes=CLASSES, kept=True, **changes):
    """A row as `filter` leaves it, without a picture behind it."""
    scores = [0.3 / len(classes)] * len(classes)
    top1 = class_id if kept else (class_id + 1) % len(classes)
    scores[top1] += 0.7
    facts = {
        "status": "accepted" if kept else "rejected",
        "kept": kept,
        "path": f"images/00000:{candidate_id(class_id, number)}.jpg",
        "sha256": hashlib.sha256(f"{class_id} {number}".encode()).hexdigest(),
        "width": 8,
        "height": 6,
        "scores": tuple(scores),
        "top1": top1,
        "p_label": scores[class_id],
        "decision": {"policy": "top1", "threshold": 0.6},
    }
    return queued(class_id, number, classes=classes, **{**facts, **changes})


def picture(seed, *, height=6, width=8):
    """Pixels, uint8 (height, width, 3), that the seed decides."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def context(folder, name="images", *, shard=None, config=None, inputs=None, seed=0):
    """A stage at work in `<folder>/<name>.part`."""
    out = folder / f"{name}.part"
    if shard is not None:
        out = out / f"{shard:05d}"
    out.mkdir(parents=True, exist_ok=True)
    stage = Stage(
        system="imaginarynet", name=name, summary="", toolchain="detectron2", version=1, run="nowhere:run"
    )
    return Context(
        stage=stage, config=config or ImaginaryNetConfig(classes=CLASSES, num=2), seed=seed, device="cpu",
        inputs=inputs or {}, out=out, final=folder / name, key="key", shard=shard,
    )  # fmt: skip


def finished(folder, name="images", **extra):
    """Make a folder count as a finished stage."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / MANIFEST, {"key": f"key of {name}", "stage": name, "outputs": [], **extra})
    return folder


def images_stage(folder, rows, *, name="images", size=(6, 8), image_format="jpeg"):
    """A finished `images` of one shard with a picture for every queued row; the rows that it left."""
    ctx = context(folder, name, shard=0)
    shard = ShardWriter(ctx, rows, image_format=image_format)
    height, width = size
    shard.put(shard.missing, [picture(row.seed, height=height, width=width) for row in shard.missing])
    done = shard.finish()
    target = finished(folder / name, name)
    (target / "00000").mkdir()
    for file in (CANDIDATES, IMAGES):
        (ctx.out / file).rename(target / "00000" / file)
    return done


def filter_stage(folder, rows):
    """A finished `filter` that holds these rows."""
    target = finished(folder / "filter", "filter")
    write_rows(target / CANDIDATES, rows)
    return target
