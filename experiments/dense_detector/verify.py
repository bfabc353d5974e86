"""Finds pictures that cannot be trained on, before training meets them, and puts them on the skip list.

    report = verify("train.db", "train2017", split="train", workers=2)

Every picture is decoded whole. One that is missing, empty, damaged (a JPEG that is cut off), or of another
size than the database says goes into the table `skipped` with the reason; selection.py leaves it out from
then on. A picture that was mended since the last time comes off the list again. The files stay untouched.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from experiments.dense_detector.db import check_split, open_read_only, open_to_write, transaction
from suite.datasets import CocoImage
from suite.datasets.faults import NUM_EXAMPLES, Fault
from suite.datasets.pictures import check_picture
from suite.errors import BadInput
from suite.progress import Progress

OF_SPLIT = "WHERE :split IS NULL OR split = :split"


@dataclass(frozen=True)
class Verification:
    """How many pictures were looked at, how many are unusable by kind of fault, and the first of them."""

    num_images: int
    faults: dict[str, int]
    examples: tuple[str, ...]

    @property
    def num_skipped(self) -> int:
        """Pictures now on the skip list."""
        return sum(self.faults.values())


def verify(
    db_path: str | Path,
    images_dir: str | Path,
    *,
    split: str | None = None,
    workers: int = 2,
    max_bad_share: float = 0.01,
) -> Verification:
    """Check the pictures of a split (None: of the whole database) and write the skip list.

    `workers`: threads that decode. Raises BadInput where more than `max_bad_share` of the pictures are
    unusable (the list is written all the same) and where the folder is missing.
    """
    if not Path(images_dir).is_dir():
        raise BadInput("no such folder of pictures", file=images_dir, fix="check the path")
    images = _images(db_path, split)
    faults = {image_id: fault for image_id, fault in _faults(images, Path(images_dir), workers) if fault}
    with contextlib.closing(open_to_write(db_path)) as conn, transaction(conn):
        conn.executemany("DELETE FROM skipped WHERE image_id = ?", [(image.id,) for image in images])
        # without the folder's name, so that the list is the same wherever the pictures lie
        rows = [
            (image_id, f"{fault.kind}: {fault.what}".replace(f"{images_dir}/", ""))
            for image_id, fault in faults.items()
        ]
        conn.executemany("INSERT INTO skipped VALUES (?, ?)", rows)
    examples = tuple(str(fault) for fault in list(faults.values())[:NUM_EXAMPLES])
    kinds = Counter(fault.kind for fault in faults.values())
    if len(faults) > max_bad_share * len(images):
        what = f"{len(faults)} of {len(images)} pictures are unusable; first: {examples[0]}"
        raise BadInput(what, file=images_dir, fix="check the folder, or permit a larger share")
    return Verification(len(images), dict(sorted(kinds.items())), examples)


def skip_list(db_path: str | Path, split: str | None = None) -> list[tuple[str, str]]:
    """(file name, reason) of the skipped pictures of a split, in the order of the ids."""
    query = "SELECT file_name, reason FROM skipped JOIN images USING (image_id)"
    with contextlib.closing(open_read_only(db_path)) as conn:
        return [tuple(row) for row in conn.execute(f"{query} {OF_SPLIT} ORDER BY image_id", {"split": split})]


def _images(db_path: str | Path, split: str | None) -> list[CocoImage]:
    query = f"SELECT image_id, file_name, width, height FROM images {OF_SPLIT} ORDER BY image_id"
    with contextlib.closing(open_read_only(db_path)) as conn:
        if split is not None:
            check_split(conn, split, db_path)
        return [CocoImage(*row) for row in conn.execute(query, {"split": split})]


def _faults(images: list[CocoImage], folder: Path, workers: int) -> Iterator[tuple[int, Fault | None]]:
    def check(image: CocoImage) -> Fault | None:
        try:
            check_picture(image, folder, deep=True)
        except Fault as fault:
            return fault
        return None

    with ThreadPoolExecutor(workers) as pool, Progress(len(images), "verify") as progress:
        for image, fault in zip(images, pool.map(check, images), strict=True):
            progress.advance()
            yield image.id, fault
