"""`export`: what the filter kept, in every format asked for, beside the manifest of all candidates.

python -m experiments.imaginarynet export --config FILE --out DIR --filter DIR --images DIR ...

manifest.jsonl   one row per candidate, kept or not; classes.csv: quota, candidates, kept, shortage
voc/ coco/ unlabelled/ webdataset/ parquet/ published/
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from experiments.imaginarynet.classes import class_names
from experiments.imaginarynet.config import ImaginaryNetConfig
from experiments.imaginarynet.counts import class_counts, shortage_line
from experiments.imaginarynet.export.coco import write_labelled, write_unlabelled
from experiments.imaginarynet.export.parquet import check_parquet, write_parquet
from experiments.imaginarynet.export.published import write_published
from experiments.imaginarynet.export.source import Source, write_file
from experiments.imaginarynet.export.voc import write_voc
from experiments.imaginarynet.export.webdataset import write_webdataset
from experiments.imaginarynet.rounds import quotas
from experiments.imaginarynet.store.manifest import read_shards, write_rows
from experiments.imaginarynet.store.pictures import Pictures
from suite.errors import BadInput
from suite.stage import Context
from suite.tables import csv_text

MANIFEST_ROWS = "manifest.jsonl"
CLASSES = "classes.csv"
WRITERS: dict[str, Callable[[Source, Path], int]] = {
    "voc": write_voc,
    "coco": write_labelled,
    "unlabelled": write_unlabelled,
    "webdataset": write_webdataset,
    "parquet": write_parquet,
    "published": write_published,
}


def run(ctx: Context) -> None:
    """The stage. Raises BadInput where a picture is not what its row says, Missing for an absent package."""
    config: ImaginaryNetConfig = ctx.config
    if "parquet" in config.export.formats:
        check_parquet()
    names = class_names(config.classes)
    rows = read_shards(ctx.inputs["filter"])
    if any(row.class_id >= len(names) for row in rows):
        fix = "use the settings that the pictures were made with"
        raise BadInput(
            "has candidates of classes that are not in the list", file=ctx.inputs["filter"], fix=fix
        )
    folders = [folder for name, folder in ctx.inputs.items() if name.partition("-")[0] == "images"]
    source = Source(
        class_names=names, rows=rows, pictures=Pictures(folders), split=config.export.split,
        hard_links=config.export.link == "hard", samples_per_prompt=config.images.samples_per_prompt,
    )  # fmt: skip
    counts = class_counts(rows, names, quotas(config, len(names)))
    write_rows(ctx.out / MANIFEST_ROWS, source.rows)
    write_file(ctx.out / CLASSES, csv_text(count.row() for count in counts))
    if config.images.format == "png" and "voc" in config.export.formats:
        ctx.warn("pictures are PNG: most readers of VOC look for .jpg in JPEGImages")
    with ctx.progress(len(config.export.formats)) as bar:
        for name in config.export.formats:
            ctx.check_stop()
            shutil.rmtree(ctx.out / name, ignore_errors=True)  # what a kill left
            WRITERS[name](source, ctx.out / name)
            bar.advance()
    if told := shortage_line(counts):
        ctx.warn(told)
    ctx.count("candidates", len(rows))
    ctx.count("pictures", len(source.kept))
    ctx.count("short", sum(count.shortage for count in counts))
