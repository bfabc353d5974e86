"""The stage `synth`: a shard writes a range of the stream of one object and variant.

A shard's folder: images/%05d.jpg with the items' own numbers (so that shards can be laid side by side),
boxes.csv, coco.json, shard.json. A stopped shard goes on behind its last finished image.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from experiments.sample_synthesis.config import SampleSynthesisConfig
from experiments.sample_synthesis.names import Variant
from experiments.sample_synthesis.objects.object_set import open_backgrounds, open_objects
from experiments.sample_synthesis.shards import SynthShard, synth_shards
from experiments.sample_synthesis.synth.stream import SampleStream
from experiments.sample_synthesis.synth.writer import COCO_FILE, write_lists, write_range
from suite.datasets.coco import read_coco
from suite.errors import BadInput
from suite.manifest import read_json, write_json

if TYPE_CHECKING:
    from suite.stage import Context

CSV_FILE, SHARD_FILE = "boxes.csv", "shard.json"


@dataclass(frozen=True)
class SampleFile:
    """A written synthetic image."""

    path: Path
    item: int  # its number in the stream, from 0
    boxes: np.ndarray  # int32 (n, 4) xyxy


def open_stream(
    config: SampleSynthesisConfig,
    name: str,
    *,
    seed: int,
    objects: Path,
    variant: Variant = "masked",
    masks: Path | None = None,
) -> SampleStream:
    """The stream of an object and variant.

    `objects`, `masks`: folders of the stages `objects` and `redo-masks` (None: the masks lie with the
    objects). Raises BadInput.
    """
    settings = config.of(name)
    is_library = settings.source.kind == "library"
    return SampleStream(
        name,
        settings,
        objects=None if is_library else open_objects(objects, name, config, variant=variant, masks=masks),
        backgrounds=open_backgrounds(objects, name, config),
        seed=seed,
        variant=variant,
        compat=config.compat,
    )


def run(ctx: Context) -> None:
    """One shard of the stage."""
    cv2.setNumThreads(1)  # shards are the parallelism
    shard = synth_shards(ctx.config)[ctx.shard or 0]
    stream = open_stream(
        ctx.config, shard.object, seed=ctx.seed, objects=ctx.inputs["objects"], variant=shard.variant,
        masks=ctx.inputs.get("redo-masks"),
    )  # fmt: skip
    items = range(shard.start, shard.stop)
    with ctx.progress(len(items)) as bar:
        rows = write_range(
            stream, items, out=ctx.out, journal=ctx.work / "rows.jsonl", check_stop=ctx.check_stop,
            advance=bar.advance,
        )  # fmt: skip
    size = stream.config.synthesis.image_size
    totals = write_lists(ctx.out, rows, name=shard.object, size=size, csv_name=CSV_FILE)
    write_json(ctx.out / SHARD_FILE, {**asdict(shard), "redrawn": totals.redrawn})
    for what, number in asdict(totals).items():
        ctx.count(what, number)
    damaged = getattr(stream.backgrounds, "damaged", None)
    if damaged:
        ctx.warn(f"{len(damaged)} backgrounds do not decode and were left out; one is {min(damaged)}")


def read_written(
    stage_folder: Path, variant: Variant = "masked", *, limit: int | None = None
) -> list[SampleFile]:
    """The images of a variant from the finished stage, in the order of their items, the first `limit` of
    them.

    Raises BadInput where a shard is damaged or there are none, or too few.
    """
    found: list[SampleFile] = []
    for folder, shard in _shards(stage_folder):
        if shard.variant == variant and (limit is None or shard.start < limit):
            found += _files(folder)
    found.sort(key=lambda file: file.item)
    found = found[:limit]
    if not found or (limit is not None and len(found) < limit):
        wanted = "" if limit is None else f" of {limit}"
        raise BadInput(
            f"holds {len(found)}{wanted} {variant} images", file=stage_folder, fix="run the stage `synth`"
        )
    return found


def _shards(stage_folder: Path) -> list[tuple[Path, SynthShard]]:
    found = []
    for path in sorted(Path(stage_folder).glob(f"*/{SHARD_FILE}")):
        tree = read_json(path)
        try:
            shard = SynthShard(*(tree[key] for key in ("object", "variant", "start", "stop")))
        except (TypeError, KeyError):
            raise BadInput("is damaged", file=path, fix="run the stage `synth` again") from None
        found.append((path.parent, shard))
    return found


def _files(folder: Path) -> list[SampleFile]:
    coco = read_coco(folder / COCO_FILE)
    files = []
    for image in coco.images:
        xywh = np.array([a.box_xywh for a in coco.annotations_by_image[image.id]], np.int32).reshape(-1, 4)
        boxes = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)
        files.append(SampleFile(folder / image.file_name, image.id - 1, boxes))
    return files
