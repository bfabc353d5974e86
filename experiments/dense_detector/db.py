"""Annotations in one SQLite file: imported once, asked by SQL, no parsing of JSON at every start.

    counts = import_coco("train.db", "instances_train2017.json", split="train")   # adds a split
    with contextlib.closing(open_read_only("train.db")) as conn: ...              # see selection.py
    tree = export_coco("train.db", "train")                                       # a COCO tree again

Boxes are corners (x1, y1, x2, y2) in pixels of the original picture, as written in the source (not rounded,
not clipped; selection.py clips what it hands out). `area` is COCO's area of the mask, `bbox_area` that of the
box. Crowd rows are kept and flagged; a row marked `ignore` (VOC's difficult) is stored as crowd. What cannot
be used is left out and counted: a box without area, one wholly outside its picture, and all that
`suite.datasets.read_coco` refuses. Pictures without annotations are kept. The table `skipped` holds pictures
that verify.py found unusable.

Not covered: masks, captions, licences and other keys of the source. No time of creation is stored, so that
equal sources make equal databases.
"""

from __future__ import annotations

import contextlib
import math
import sqlite3
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from suite.datasets import CocoAnnotation, CocoImage, CocoSet, read_coco
from suite.errors import BadInput
from suite.manifest import file_digest

SCHEMA_VERSION = 1  # PRAGMA user_version
TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE categories (category_id INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL, supercategory TEXT);
CREATE TABLE images (
    image_id INTEGER PRIMARY KEY, file_name TEXT UNIQUE NOT NULL, split TEXT NOT NULL,
    width INTEGER NOT NULL CHECK (width > 0), height INTEGER NOT NULL CHECK (height > 0));
CREATE TABLE annotations (
    annotation_id INTEGER PRIMARY KEY,
    image_id INTEGER NOT NULL REFERENCES images, category_id INTEGER NOT NULL REFERENCES categories,
    x1 REAL NOT NULL, y1 REAL NOT NULL, x2 REAL NOT NULL CHECK (x2 >= x1), y2 REAL NOT NULL CHECK (y2 >= y1),
    area REAL NOT NULL, bbox_area REAL NOT NULL, iscrowd INTEGER NOT NULL CHECK (iscrowd IN (0, 1)));
CREATE TABLE skipped (image_id INTEGER PRIMARY KEY REFERENCES images, reason TEXT NOT NULL);
CREATE INDEX annotations_image ON annotations (image_id);
CREATE INDEX annotations_category ON annotations (category_id, image_id);
CREATE INDEX annotations_area ON annotations (area);
"""


@dataclass(frozen=True)
class ImportCounts:
    """What an import wrote, and what it left out by kind of fault (`examples`: the first lines)."""

    images: int
    annotations: int
    categories: int
    crowd: int
    images_without_annotations: int
    rejected: dict[str, int]
    examples: tuple[str, ...] = ()


def import_coco(
    db_path: str | Path, json_path: str | Path, *, split: str, max_bad_share: float = 0.01
) -> ImportCounts:
    """Add a COCO file as `split`, in one transaction: all of it or, after any error, nothing.

    Raises BadInput for a file that is no COCO, for more than `max_bad_share` unusable pictures or
    annotations, and for a split, an id or a file name that the database holds already.
    """
    json_path = Path(json_path)
    coco = read_coco(
        json_path, on_bad="skip", max_bad_share=max_bad_share, box_tolerance=math.inf, masks=False
    )
    return write_set(db_path, coco, split=split, source=json_path, max_bad_share=max_bad_share)


def write_set(
    db_path: str | Path, coco: CocoSet, *, split: str, source: Path, max_bad_share: float
) -> ImportCounts:
    """Write a checked set as `split`; `source` is the file it came from, named in `meta` and in errors."""
    usable = [a for a in coco.annotations if _touches(a, coco.image_by_id[a.image_id])]
    rejected = Counter(coco.skipped.counts)
    outside = len(coco.annotations) - len(usable)
    if outside:
        rejected["box outside the image"] += outside
    if outside > max_bad_share * len(coco.annotations):
        what = f"{outside} of {len(coco.annotations)} boxes lie outside their pictures"
        raise BadInput(what, file=source, fix="bbox is [x, y, width, height] in pixels; mend the file")
    is_new = not Path(db_path).exists()
    conn = create(db_path) if is_new else _connect(db_path, mode="rw")
    try:
        with contextlib.closing(conn), transaction(conn):
            _insert(conn, coco, usable, split)
            facts = {"source": source.name, "sha256": file_digest(source)}
            facts = [(f"{split}.{key}", value) for key, value in facts.items()]
            conn.executemany("INSERT INTO meta VALUES (?, ?)", facts)
    except BaseException as error:
        if is_new:
            Path(db_path).unlink(missing_ok=True)
        if not isinstance(error, sqlite3.IntegrityError):
            raise
        fix = "give each split a name, ids and file names of its own, or a database of its own"
        what = f"split {split!r} collides with what is there ({error})"
        raise BadInput(what, file=db_path, fix=fix) from None
    with_annotations = {a.image_id for a in usable}
    return ImportCounts(
        images=len(coco.images),
        annotations=len(usable),
        categories=len(coco.categories),
        crowd=sum(a.iscrowd or a.ignore for a in usable),
        images_without_annotations=len(coco.images) - len(with_annotations),
        rejected=dict(sorted(rejected.items())),
        examples=coco.skipped.examples,
    )


def _touches(annotation: CocoAnnotation, image: CocoImage) -> bool:
    x, y, width, height = annotation.box_xywh
    return x < image.width and y < image.height and x + width > 0 and y + height > 0


def _insert(conn: sqlite3.Connection, coco: CocoSet, usable: list[CocoAnnotation], split: str) -> None:
    known = dict(conn.execute("SELECT category_id, name FROM categories"))
    other = [c for c in coco.categories if known.get(c.id, c.name) != c.name]
    if other:
        what = f"category {other[0].id} is {known[other[0].id]!r} there and {other[0].name!r} here"
        raise BadInput(what, fix="import sets of other classes into a database of their own")
    categories = [(c.id, c.name, c.supercategory) for c in coco.categories if c.id not in known]
    conn.executemany("INSERT INTO categories VALUES (?, ?, ?)", categories)
    images = ((i.id, i.file_name, split, i.width, i.height) for i in coco.images)
    conn.executemany("INSERT INTO images VALUES (?, ?, ?, ?, ?)", images)
    conn.executemany("INSERT INTO annotations VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", map(_row, usable))


def _row(annotation: CocoAnnotation) -> tuple[Any, ...]:
    x, y, width, height = annotation.box_xywh
    ids = (annotation.id, annotation.image_id, annotation.category_id)
    crowd = int(annotation.iscrowd or annotation.ignore)
    return (*ids, x, y, x + width, y + height, annotation.area, width * height, crowd)


def export_coco(db_path: str | Path, split: str) -> dict[str, Any]:
    """A split as a COCO tree: {"images": [...], "annotations": [...], "categories": [...]}, sorted by id."""
    with contextlib.closing(open_read_only(db_path)) as conn:
        check_split(conn, split, db_path)
        query = "SELECT image_id AS id, file_name, width, height FROM images WHERE split = ? ORDER BY id"
        images = [dict(row) for row in conn.execute(query, (split,))]
        query = "SELECT category_id AS id, name, supercategory FROM categories ORDER BY id"
        categories = [dict(row) for row in conn.execute(query)]
        query = "SELECT a.* FROM annotations a JOIN images i USING (image_id) WHERE i.split = ? ORDER BY 1"
        annotations = [
            {
                "id": row["annotation_id"],
                "image_id": row["image_id"],
                "category_id": row["category_id"],
                "bbox": [row["x1"], row["y1"], row["x2"] - row["x1"], row["y2"] - row["y1"]],
                "area": row["area"],
                "iscrowd": row["iscrowd"],
            }
            for row in conn.execute(query, (split,))
        ]
    return {"images": images, "annotations": annotations, "categories": categories}


# --- connections ---


def create(path: str | Path) -> sqlite3.Connection:
    """An empty database of our schema; BadInput where a file stands already."""
    if Path(path).exists():
        raise BadInput("stands already", file=path, fix="choose another name, or remove it")
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    conn = _open(path, "rwc")
    with transaction(conn):
        for statement in TABLES.split(";\n"):
            conn.execute(statement)
        conn.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    return conn


def open_read_only(path: str | Path) -> sqlite3.Connection:
    """A connection that cannot write; rows answer to column names. One per process: never across a fork."""
    return _connect(path, mode="ro")


def open_to_write(path: str | Path) -> sqlite3.Connection:
    """A connection to an existing database that commits each statement unless told otherwise."""
    return _connect(path, mode="rw")


def check_split(conn: sqlite3.Connection, split: str, path: str | Path) -> None:
    """BadInput that names the splits there are, unless `split` is one of them."""
    known = [row[0] for row in conn.execute("SELECT DISTINCT split FROM images ORDER BY split")]
    if split not in known:
        what = f"holds no split {split!r}"
        raise BadInput(what, file=path, fix=f"choose one of {', '.join(known)}" if known else "import one")


def _connect(path: str | Path, *, mode: str) -> sqlite3.Connection:
    if not Path(path).is_file():
        raise BadInput("no such database", file=path, fix="check the path, or make it with `import`")
    conn = _open(path, mode)
    try:
        version = conn.execute("PRAGMA user_version").fetchone()[0]
        known = conn.execute("SELECT count(*) FROM sqlite_master WHERE name = 'annotations'").fetchone()[0]
    except sqlite3.DatabaseError as error:
        conn.close()
        raise BadInput(f"not an SQLite database ({error})", file=path, fix="make it with `import`") from None
    if version != SCHEMA_VERSION or not known:
        conn.close()
        if version > SCHEMA_VERSION:
            what = f"has schema {version}, this program reads up to {SCHEMA_VERSION}"
            raise BadInput(what, file=path, fix="update the program, or import the annotations again")
        raise BadInput("holds no annotations of ours", file=path, fix="make it with `import`")
    return conn


def _open(path: str | Path, mode: str) -> sqlite3.Connection:
    # isolation_level=None: the module begins no transactions of its own, `transaction` does
    try:
        conn = sqlite3.connect(f"{Path(path).resolve().as_uri()}?mode={mode}", uri=True, isolation_level=None)
    except sqlite3.OperationalError as error:
        fix = "check the folder and its rights"
        raise BadInput(f"cannot be opened ({error})", file=path, fix=fix) from None
    conn.row_factory = sqlite3.Row
    conn.execute("PRAGMA foreign_keys = ON")
    return conn


@contextlib.contextmanager
def transaction(conn: sqlite3.Connection) -> Iterator[None]:
    """All statements of the block, or after any error none of them."""
    conn.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        conn.execute("ROLLBACK")
        raise
    conn.execute("COMMIT")
