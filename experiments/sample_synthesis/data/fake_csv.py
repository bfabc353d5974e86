"""A folder of synthetic images in the published layout, as `synth` and the published generators write it.

    <folder>/images/00001.jpg ...
    <folder>/qr_codes_fake.csv     image_id,xmin,ymin,xmax,ymax,label, a row per object
"""

from __future__ import annotations

from pathlib import Path

from experiments.sample_synthesis.data.build import build, group
from experiments.sample_synthesis.data.tablefile import read_rows
from experiments.sample_synthesis.data.types import Account, Listed, ListedBox, RealSet
from experiments.sample_synthesis.names import ALL
from suite.errors import BadInput

NEEDED = ("image_id", "xmin", "ymin", "xmax", "ymax", "label")


def read_fake(folder: Path, name: str, *, threads: int = 1) -> RealSet:
    """The images of object `name` with their boxes, in the order of their numbers.

    Raises BadInput: no such list, a column too many or too few, boxes of another object, damaged items.
    """
    known, path = ALL[name], _list_of(folder, name)
    account = Account(folder)
    rows = []
    for line, row in read_rows(path, needed=NEEDED):
        where = f"line {line}"
        if row["label"] != known.label:
            what = f"{where}: label {row['label']!r:.30}, not {known.label}"
            raise BadInput(what, file=path, fix="name a folder of this object")
        box = account.box([row[column] for column in NEEDED[1:5]], file=path, where=where)
        rows.append((str(row["image_id"]).strip(), box, line, where))
    listed = [
        Listed(f"{key}.jpg", tuple(ListedBox(box, at) for box, at in boxes), place, where)
        for place, (key, boxes, _, where) in enumerate(sorted(group(rows), key=lambda entry: entry[0]))
    ]
    return build(
        listed, images_dir=folder / "images", split="train", label=known.label, source="folder",
        account=account, file=path, threads=threads,
    )  # fmt: skip


def count_fake(folder: Path, name: str) -> int:
    """How many images the list names; `read_fake` gives so many, unless some are damaged. Raises BadInput."""
    path = _list_of(folder, name)
    found = {str(row["image_id"]).strip() for _, row in read_rows(path, needed=NEEDED)}
    if not found:
        raise BadInput("lists no image", file=path, fix=f"make it with `synth --object {name}`")
    return len(found)


def _list_of(folder: Path, name: str) -> Path:
    path = folder / ALL[name].csv
    if not path.is_file():
        raise BadInput("no such list of boxes", file=path, fix=f"make it with `synth --object {name}`")
    return path
