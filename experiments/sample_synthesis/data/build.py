"""From a list of pictures and boxes to a checked RealSet: every picture is decoded once, every box compared
with it.

A box that leaves its picture is clipped and counted as such where at least half of it lies inside; otherwise
it is a fault of the row. A picture that has lost all its boxes is left out: it would teach that its object is
none.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path, PurePosixPath

from PIL import Image

from experiments.sample_synthesis.data.types import Account, Box, Listed, RealSet
from suite.datasets import CocoAnnotation, CocoCategory, CocoImage, CocoSet
from suite.datasets.faults import Fault
from suite.errors import BadInput

PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".pgm", ".ppm")
MIN_INSIDE = 0.5  # share of a box's area
EDGE = 1.0  # pixels; published boxes count from 0 or 1 and may stand out by as much
CHUNK = 64  # pictures decoded ahead


def build(
    listed: Sequence[Listed],
    *,
    images_dir: Path,
    split: str,
    label: str,
    source: str,
    account: Account,
    file: Path,
    threads: int = 1,
) -> RealSet:
    """Check the listed pictures and their boxes. `file`: the list, for messages. Raises BadInput: no pictures
    in the folder, nothing left, or a damaged item where `account` does not skip these.
    """
    check_folder(images_dir)
    images: list[CocoImage] = []
    annotations: list[CocoAnnotation] = []
    names: set[str] = set()
    clipped_before = account.clipped
    for item, found in _decoded(listed, images_dir, threads):
        account.num_images += 1
        if isinstance(found, Fault) or item.file_name in names:
            account.reject_image(found if isinstance(found, Fault) else _twice(item), file)
            continue
        names.add(item.file_name)
        width, height, facts = found
        boxes = _fitting(item, width, height, account, file)
        if not boxes:
            account.intake.follow("image without a good box")
            continue
        image = CocoImage(
            len(images) + 1, item.file_name, width, height, {**item.extra, **facts, "row": item.row}
        )
        images.append(image)
        annotations += [
            _annotation(len(annotations) + n, image.id, box) for n, box in enumerate(boxes, start=1)
        ]
    skipped = account.close()
    if not images:
        raise BadInput("lists no usable picture", file=file, fix="check which file this is")
    info = {"info": {"source": source, "split": split, "clipped_boxes": account.clipped - clipped_before}}
    coco = CocoSet(tuple(images), tuple(annotations), (CocoCategory(1, label),), info=info, skipped=skipped)
    return RealSet(coco, images_dir, split, source)


def check_folder(images_dir: Path) -> None:
    """Raises BadInput unless the folder is there and holds at least one picture, at any depth."""
    if not images_dir.is_dir():
        raise BadInput("no such folder of pictures", file=images_dir, fix="put the pictures there")
    if not any(path.suffix.lower() in PICTURES for path in images_dir.rglob("*")):
        raise BadInput("a folder without pictures", file=images_dir, fix="put the pictures there")


def read_picture(path: Path, subject: str) -> tuple[int, int, dict[str, object]]:
    """Width, height, and {bytes, sha256} of a picture that decodes whole; Fault otherwise."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise Fault(
            "missing picture", subject, f"{path} does not exist", "check the folder of pictures"
        ) from None
    try:
        with Image.open(io.BytesIO(data)) as picture:
            picture.load()
            width, height = picture.size
    # Pillow's decoders raise these for damaged files; SyntaxError comes from its PNG reader.
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = str(error).replace(str(path), "") or type(error).__name__
        what = f"{path} does not decode ({reason:.80})"
        raise Fault("unreadable picture", subject, what, "copy it again") from None
    return width, height, {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _decoded(
    listed: Sequence[Listed], images_dir: Path, threads: int
) -> Iterator[tuple[Listed, tuple[int, int, dict[str, object]] | Fault]]:
    """Every item with its size or its fault, in order; a few are decoded ahead."""

    def check(item: Listed) -> tuple[int, int, dict[str, object]] | Fault:
        try:
            _check_name(item)
            return read_picture(images_dir / item.file_name, item.where)
        except Fault as fault:
            return fault

    if threads == 1:
        yield from ((item, check(item)) for item in listed)
        return
    rest = iter(listed)
    with ThreadPoolExecutor(threads) as pool:
        while chunk := list(islice(rest, CHUNK)):
            yield from zip(chunk, pool.map(check, chunk), strict=True)


def _check_name(item: Listed) -> None:
    path = PurePosixPath(item.file_name)
    if not path.name or path.is_absolute() or ".." in path.parts or "\0" in item.file_name:
        what = f"picture {item.file_name!r:.60} is outside the folder of pictures"
        raise Fault(
            "image outside the folder", item.where, what, "name it relative to the folder, without .."
        )


def _twice(item: Listed) -> Fault:
    return Fault(
        "duplicate picture", item.where, f"{item.file_name} is listed twice", "list each picture once"
    )


def _fitting(item: Listed, width: int, height: int, account: Account, file: Path) -> list[Box]:
    """The boxes of a picture, clipped to it where they leave it."""
    good = []
    for listed in item.boxes:
        clipped, inside = clip(listed.xyxy, width, height)
        if inside < MIN_INSIDE:
            x1, y1, x2, y2 = listed.xyxy
            what = f"box ({x1:g}, {y1:g})-({x2:g}, {y2:g}) is outside {item.file_name} of {width}x{height}"
            fault = Fault(
                "box outside the image", listed.where, what, "clip it, or check the order of the columns"
            )
            account.reject_box(fault, file)
            continue
        if max(abs(a - b) for a, b in zip(clipped, listed.xyxy, strict=True)) > EDGE:
            account.clipped += 1
            good.append(clipped)
        else:
            good.append(listed.xyxy)
    return good


def clip(box: Box, width: float, height: float) -> tuple[Box, float]:
    """The part of a box inside a picture, and the share of its area that this is (0: nothing)."""
    x1, y1, x2, y2 = box
    inner = (max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height)))
    sides = (inner[2] - inner[0], inner[3] - inner[1])
    if min(sides) <= 0:
        return box, 0.0
    return inner, sides[0] / (x2 - x1) * (sides[1] / (y2 - y1))


def _annotation(number: int, image_id: int, box: Box) -> CocoAnnotation:
    x1, y1, x2, y2 = box
    width, height = x2 - x1, y2 - y1
    return CocoAnnotation(number, image_id, 1, (x1, y1, width, height), width * height)


def group(
    rows: Iterable[tuple[str, Box | None, int, str]],
) -> list[tuple[str, list[tuple[Box, str]], int, str]]:
    """Rows (picture, box or None where it was left out, place, where) by picture, in order of first sight."""
    found: dict[str, tuple[str, list[tuple[Box, str]], int, str]] = {}
    for name, box, place, where in rows:
        entry = found.setdefault(name, (name, [], place, where))
        if box is not None:
            entry[1].append((box, where))
    return list(found.values())
