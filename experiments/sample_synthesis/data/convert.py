"""`convert`: a published data set into COCO files and into the form that the published code reads.

    convert("fddb", Path("data/FDDB"), Path("runs/fddb"))

writes train.json, valid.json, test.json (file names relative to the set's folder of pictures) and, of FDDB,
FDDB-folds/FDDB-fold-XX-rectList.txt; of CUB, our_train_test_split.txt; of Stanford Cars,
devkit/cars_{train,test}_annos.csv; of the QR codes, qr_codes_{train,valid,test}.csv with the validation
images already split off (read these with `num_valid: null`). Pictures are not copied.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from experiments.sample_synthesis.data.cars import car_tables, cars
from experiments.sample_synthesis.data.cub import cub, split_text
from experiments.sample_synthesis.data.fddb import fddb, rect_lists
from experiments.sample_synthesis.data.qr_csv import qr_csv, qr_tables
from experiments.sample_synthesis.data.sets import skipped_of
from experiments.sample_synthesis.data.splits import check_disjoint, differences
from experiments.sample_synthesis.data.where import SPLIT_FILE
from suite.datasets import write_coco
from suite.datasets.coco import write_text
from suite.datasets.faults import Skipped
from suite.runs import choose

KINDS = ("fddb", "cub", "cars", "qr")


@dataclass(frozen=True)
class Converted:
    """What a conversion did."""

    images: dict[str, int]  # by split
    boxes: dict[str, int]
    differences: tuple[str, ...]  # from the published numbers of images
    skipped: Skipped
    files: tuple[Path, ...]  # written, relative to the output folder


def convert(
    kind: str,
    root: Path,
    out: Path,
    *,
    num_valid: int | None = 100,
    split_file: Path | None = None,
    shift_to_zero: bool = False,
    threads: int = 1,
) -> Converted:
    """Convert a data set. num_valid: see qr_csv; split_file: see cub; shift_to_zero: see cars. Raises Missing
    where the set is not there, BadInput for what is damaged.
    """
    kind = choose(kind, list(KINDS), "data set")
    if kind == "fddb":
        sets = fddb(root, threads=threads)
        texts = rect_lists(sets)
    elif kind == "cub":
        sets = cub(root, split_file=split_file, threads=threads)
        texts = {SPLIT_FILE: split_text(sets)}
    elif kind == "cars":
        sets = cars(root, shift_to_zero=shift_to_zero, threads=threads)
        texts = car_tables(sets)
    else:
        sets = qr_csv(root, num_valid=num_valid, threads=threads)
        texts = qr_tables(sets)
    check_disjoint(sets)
    for name, text in texts.items():
        write_text(out / name, text)
    for split, real in sets.items():
        write_coco(out / f"{split}.json", real.coco)
    return Converted(
        images={split: len(real) for split, real in sets.items()},
        boxes={split: len(real.coco.annotations) for split, real in sets.items()},
        differences=differences(sets),
        skipped=skipped_of(sets),
        files=tuple(Path(name) for name in (*texts, *(f"{split}.json" for split in sets))),
    )
