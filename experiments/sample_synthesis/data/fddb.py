"""FDDB: faces in news photographs, as ellipses (its own files) or as rectangles (the published form).

    sets = fddb(Path("data/FDDB"))            # {"train": RealSet, "valid": ..., "test": ...}

`FDDB-folds/FDDB-fold-XX-rectList.txt`, one face a line: `path,x1,y1,x2,y2`, where it is there; otherwise
`FDDB-fold-XX-ellipseList.txt` of the distribution: a picture's name without ending, the number of its faces,
then a line `ra rb theta cx cy 1` for each. Folds 1-5 train, 6-7 validate, 8-10 test.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from experiments.sample_synthesis.data.build import build, group
from experiments.sample_synthesis.data.tablefile import read_text
from experiments.sample_synthesis.data.types import Account, Box, Listed, ListedBox, RealSet, parse_number
from experiments.sample_synthesis.data.where import absent
from suite.datasets.faults import Fault
from suite.errors import BadInput

FOLDS = {"train": range(1, 6), "valid": range(6, 8), "test": range(8, 11)}
FOLDER = "FDDB-folds"
ORIGINALS = "originalPics"  # where the distribution's archive puts the pictures
LABEL = "face"


def ellipse_boxes(ellipses: np.ndarray) -> np.ndarray:
    """The tight axis-aligned boxes (n, 4), x1 y1 x2 y2, of ellipses (n, 5): major and minor radius, angle of
    the major axis in radians, centre x, y; pixels, float64. The ellipse c + R(theta) diag(ra, rb) u, |u| = 1,
    reaches as far along an axis as the length of that row of R diag(ra, rb).
    """
    major, minor, angle, x, y = np.asarray(ellipses, np.float64).reshape(-1, 5).T
    half_width = np.hypot(major * np.cos(angle), minor * np.sin(angle))
    half_height = np.hypot(major * np.sin(angle), minor * np.cos(angle))
    return np.stack([x - half_width, y - half_height, x + half_width, y + half_height], axis=1)


def fddb(root: Path, *, threads: int = 1) -> dict[str, RealSet]:
    """The three splits. Raises Missing where the set is not there, BadInput for what is damaged."""
    folds_dir = root / FOLDER
    if not folds_dir.is_dir():
        raise absent("fddb", folds_dir)
    images_dir = root / ORIGINALS if (root / ORIGINALS).is_dir() else root
    account = Account(folds_dir)
    sets = {}
    for split, folds in FOLDS.items():
        listed: list[Listed] = []
        for fold in folds:
            path = fold_file(folds_dir, fold)
            read = _rectangles if path.name.endswith("rectList.txt") else _ellipses
            for item in read(path, account):
                extra = {"fold": fold, "annotations": path.name}
                name = _without_prefix(item.file_name, images_dir)
                listed.append(Listed(name, item.boxes, len(listed), f"{path.name}, {item.where}", extra))
        sets[split] = build(
            listed, images_dir=images_dir, split=split, label=LABEL, source="fddb", account=account,
            file=folds_dir, threads=threads,
        )  # fmt: skip
    return sets


def fold_file(folds_dir: Path, fold: int) -> Path:
    """The annotation file of a fold: the published rectangles before the ellipses. Raises Missing."""
    for kind in ("rectList", "ellipseList"):
        path = folds_dir / f"FDDB-fold-{fold:02d}-{kind}.txt"
        if path.is_file():
            return path
    raise absent("fddb", folds_dir / f"FDDB-fold-{fold:02d}-ellipseList.txt")


def _without_prefix(name: str, images_dir: Path) -> str:
    """Names may or may not begin with the folder that the pictures were unpacked into."""
    return name.removeprefix(f"{ORIGINALS}/") if images_dir.name == ORIGINALS else name


def _lines(path: Path) -> list[str]:
    return [line.strip() for line in read_text(path).splitlines()]


def _rectangles(path: Path, account: Account) -> list[Listed]:
    """One face a line; a picture's lines need not follow each other."""
    rows = []
    for number, line in enumerate(_lines(path), start=1):
        if line:
            name, *cells = line.split(",")
            box = account.box(cells, file=path, where=f"line {number}")
            rows.append((name.strip(), box, number, f"line {number}"))
    return [
        Listed(name, tuple(ListedBox(box, at) for box, at in boxes), row, where)
        for name, boxes, row, where in group(rows)
    ]


def _ellipses(path: Path, account: Account) -> Iterator[Listed]:
    """Blocks of a name, a number of faces and as many ellipses. What breaks that order ends reading: nothing
    after it can be told apart.
    """
    lines = _lines(path)
    at = 0
    while at < len(lines):
        if not lines[at]:
            at += 1
            continue
        name, count_at = lines[at], at + 1
        count = lines[count_at] if count_at < len(lines) else ""
        if not count.isdigit() or count_at + int(count) >= len(lines) + (count == "0"):
            what = f"line {count_at + 1}: {count!r:.30} is no number of faces that follow {name!r:.60}"
            raise BadInput(what, file=path, fix="copy the file again")
        boxes = []
        for number in range(count_at + 1, count_at + 1 + int(count)):
            where = f"line {number + 1}"
            account.num_boxes += 1
            try:
                boxes.append(ListedBox(_ellipse(lines[number].split(), where), where))
            except Fault as fault:
                account.reject_box(fault, path)
        yield Listed(f"{name}.jpg", tuple(boxes), at, f"line {at + 1}")
        at = count_at + 1 + int(count)


def _ellipse(cells: list[str], where: str) -> Box:
    """The box of a line `ra rb theta cx cy 1`, or a Fault."""
    names = ("major radius", "minor radius", "angle", "centre x", "centre y")
    if len(cells) not in (5, 6):
        raise Fault(
            "cells missing", where, f"has {len(cells)} numbers, not 6", "the form is: ra rb theta cx cy 1"
        )
    values = [parse_number(cell, where, name) for cell, name in zip(cells, names, strict=False)]
    if min(values[:2]) <= 0:
        what = f"an ellipse with radii {values[0]:g} and {values[1]:g}"
        raise Fault("radius not above 0", where, what, "correct or remove the row")
    x1, y1, x2, y2 = ellipse_boxes(np.array([values]))[0].tolist()
    return x1, y1, x2, y2


def rect_lists(sets: dict[str, RealSet]) -> dict[str, str]:
    """The published form: {FDDB-folds/FDDB-fold-XX-rectList.txt: text}."""
    texts = {f"{FOLDER}/FDDB-fold-{fold:02d}-rectList.txt": "" for folds in FOLDS.values() for fold in folds}
    for real in sets.values():
        for image, boxes in zip(real.coco.images, real.boxes(), strict=True):
            name = f"{FOLDER}/FDDB-fold-{image.extra['fold']:02d}-rectList.txt"
            texts[name] += "".join(
                f"{image.file_name},{','.join(f'{v:.6f}' for v in box)}\n" for box in boxes
            )
    return texts
