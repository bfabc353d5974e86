"""Stanford Cars: one box per photograph, in `devkit/cars_{train,test}_annos.csv` (the published form) or
`.mat`.

    sets = cars(Path("data/stanford_cars"))

The first 1,000 rows of the training table validate, the rest train. The annotations count pixels from 1; the
published code keeps that, and so do we. `shift_to_zero` makes x1 - 1, y1 - 1, x2, y2 of them, our half-open
form.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from experiments.sample_synthesis.data.build import build
from experiments.sample_synthesis.data.tablefile import number_text, read_rows
from experiments.sample_synthesis.data.types import Account, Listed, ListedBox, RealSet
from experiments.sample_synthesis.data.where import absent
from suite.errors import BadInput

COLUMNS = ("image_file", "xmin", "ymin", "xmax", "ymax")
FIELDS = ("fname", "bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2")  # of the .mat
NUM_VALID = 1000  # published
LABEL = "car"


def cars(
    root: Path, *, num_valid: int | None = NUM_VALID, shift_to_zero: bool = False, threads: int = 1
) -> dict[str, RealSet]:
    """The three splits. num_valid: rows of the training table that validate; None: as published. Raises
    Missing where the set is not there, BadInput for what is damaged.
    """
    account = Account(root)
    devkit = root / "devkit"
    sets = {}
    tables = {part: _table(devkit, part, account, shift_to_zero=shift_to_zero) for part in ("train", "test")}
    path, rows = tables["train"]
    held = NUM_VALID if num_valid is None else num_valid
    if held >= len(rows):
        raise BadInput(
            f"has {len(rows)} rows, of which {held} should validate", file=path, fix="hold out fewer"
        )
    parts = {
        "train": ("train", rows[held:]),
        "valid": ("train", rows[:held]),
        "test": ("test", tables["test"][1]),
    }
    for split, (part, listed) in parts.items():
        sets[split] = build(
            listed, images_dir=root / f"cars_{part}", split=split, label=LABEL, source="cars",
            account=account, file=tables[part][0], threads=threads,
        )  # fmt: skip
    return sets


def _table(devkit: Path, part: str, account: Account, *, shift_to_zero: bool) -> tuple[Path, list[Listed]]:
    """The table of a part and its file: the CSV before the .mat."""
    path = devkit / f"cars_{part}_annos.csv"
    if path.is_file():
        rows = (
            (f"line {line}", [row[name] for name in COLUMNS]) for line, row in read_rows(path, needed=COLUMNS)
        )
    elif path.with_suffix(".mat").is_file():
        path = path.with_suffix(".mat")
        rows = ((f"row {number}", cells) for number, cells in enumerate(read_mat(path), start=1))
    else:
        raise absent("cars", path)
    listed = []
    for place, (where, (name, *cells)) in enumerate(rows):
        box = account.box(cells, file=path, where=where)
        if box is not None and shift_to_zero:
            box = (box[0] - 1, box[1] - 1, box[2], box[3])
        boxes = () if box is None else (ListedBox(box, where),)
        listed.append(Listed(str(name).strip(), boxes, place, where))
    return path, listed


def read_mat(path: Path) -> Iterator[list[object]]:
    """(file name, x1, y1, x2, y2) of every element of `annotations` in a MATLAB 5 file. Raises BadInput."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        annotations = loadmat(path, variable_names=["annotations"], squeeze_me=True)["annotations"].reshape(
            -1
        )
    # SciPy's reader raises these for files that are cut, of another kind, or without the variable.
    except (
        LookupError,
        ValueError,
        TypeError,
        MatReadError,
        NotImplementedError,
        OSError,
        zlib.error,
    ) as error:
        what = f"is no MATLAB file with `annotations` ({str(error):.60})"
        raise BadInput(what, file=path, fix="copy it again, or write the CSV") from None
    missing = [name for name in FIELDS if name not in (annotations.dtype.names or ())]
    if missing:
        what = f"`annotations` has no field `{missing[0]}`"
        raise BadInput(what, file=path, fix=f"it needs {', '.join(FIELDS)}")
    return ([_scalar(entry[name]) for name in FIELDS] for entry in annotations)


def _scalar(field: object) -> object:
    """The one value of a field, which MATLAB wraps in arrays; None of an empty one."""
    values = np.asarray(field).reshape(-1)
    return values[0] if len(values) else None


def car_tables(sets: dict[str, RealSet]) -> dict[str, str]:
    """The published form: {devkit/cars_<part>_annos.csv: text}, validation rows first as in the original."""
    texts = {}
    for part, splits in (("train", ("valid", "train")), ("test", ("test",))):
        lines = [",".join(COLUMNS)]
        for real in (sets[split] for split in splits):
            for image, boxes in zip(real.coco.images, real.boxes(), strict=True):
                lines += [f"{image.file_name},{','.join(map(number_text, box))}" for box in boxes.tolist()]
        texts[f"devkit/cars_{part}_annos.csv"] = "\n".join(lines) + "\n"
    return texts
