"""Synthetic images as files, in the published layout, and as COCO JSON.

    <out>/images/00001.jpg ...     numbered from 1; JPEG
    <out>/qr_codes_fake.csv        image_id,xmin,ymin,xmax,ymax,label: a row per object, integers
    <out>/coco.json                the same boxes

Images are written by ranges of items. Each range keeps a journal with a line per finished image, from which
it goes on after a kill; the lists are made from the journals. As an item depends on its number alone, neither
the ranges nor the number of processes change a byte. The tables say nothing of slots or masks.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, wait
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from experiments.sample_synthesis.names import ALL, label_of
from experiments.sample_synthesis.synth.stream import SampleStream
from suite.datasets.coco import write_coco, write_text
from suite.datasets.records import CocoAnnotation, CocoCategory, CocoImage, CocoSet
from suite.family import process_pool
from suite.tables import csv_text

COLUMNS = ("image_id", "xmin", "ymin", "xmax", "ymax", "label")
COCO_FILE = "coco.json"
IMAGES = "images"
RANGE = 64  # items that a worker takes at a time
IDS_PER_IMAGE = 1000  # annotation k of image i has the id 1000 i + k, in whatever shard it is

StreamMaker = Callable[[], SampleStream]


@dataclass(frozen=True)
class Row:
    """What is to know of a written image."""

    item: int  # from 0
    boxes: tuple[tuple[int, int, int, int], ...]  # xyxy
    redrawn: int


@dataclass(frozen=True)
class Totals:
    """What was written."""

    images: int
    boxes: int
    redrawn: int


def image_id(item: int) -> str:
    """The published number of item `item` (from 0): five digits or more, from 00001."""
    return f"{item + 1:05d}"


def jpeg(image: np.ndarray, quality: int) -> bytes:
    """An image uint8 (h, w, 3) as a JPEG file, by Pillow, as published."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def write_range(
    stream: SampleStream,
    items: range,
    *,
    out: Path,
    journal: Path,
    check_stop: Callable[[], None] = lambda: None,
    advance: Callable[[], None] = lambda: None,
) -> list[Row]:
    """Write the images of `items` that the journal does not hold yet; the rows of all of them.

    `check_stop`: called between two images; what it raises ends the range, whose journal then holds the rest.
    """
    (out / IMAGES).mkdir(parents=True, exist_ok=True)
    quality = stream.config.synthesis.jpeg_quality
    rows = read_journal(journal, items)
    with journal.open("a", encoding="utf-8") as lines:
        for item in items[len(rows) :]:
            check_stop()
            sample = stream.item(item)
            (out / IMAGES / f"{image_id(item)}.jpg").write_bytes(jpeg(sample.image, quality))
            rows.append(Row(item, tuple(map(tuple, sample.boxes.tolist())), sample.redrawn))
            lines.write(json.dumps([item, rows[-1].boxes, sample.redrawn]) + "\n")
            lines.flush()
            advance()
    return rows


def read_journal(journal: Path, items: range) -> list[Row]:
    """The rows of the first items that are finished. A line that a kill cut off is taken out of the file."""
    if not journal.exists():
        return []
    rows = []
    whole = 0
    for line in journal.read_bytes().splitlines(keepends=True):
        if not line.endswith(b"\n") or len(rows) == len(items):
            break
        item, boxes, redrawn = json.loads(line)
        if item != items[len(rows)]:
            break
        rows.append(Row(item, tuple(map(tuple, boxes)), redrawn))
        whole += len(line)
    with journal.open("r+b") as stream:
        stream.truncate(whole)
    return rows


# --- the lists ---


def write_lists(out: Path, rows: Iterable[Row], *, name: str, size: int, csv_name: str) -> Totals:
    """Write the CSV and coco.json of `rows`; images are `size` pixels a side."""
    rows = sorted(rows, key=lambda row: row.item)
    write_text(out / csv_name, boxes_csv(rows, label_of(name)))
    write_coco(out / COCO_FILE, coco_set(rows, label=label_of(name), size=size))
    return Totals(len(rows), sum(len(row.boxes) for row in rows), sum(row.redrawn for row in rows))


def boxes_csv(rows: Iterable[Row], label: str) -> str:
    """A line per object, in the published columns."""
    lines = [
        dict(zip(COLUMNS, (image_id(row.item), *box, label), strict=True))
        for row in rows
        for box in row.boxes
    ]
    return csv_text(lines) if lines else ",".join(COLUMNS) + "\n"


def coco_set(rows: Iterable[Row], *, label: str, size: int) -> CocoSet:
    """The same as COCO records; one class, number 1."""
    rows = tuple(rows)
    images = (
        CocoImage(row.item + 1, f"{IMAGES}/{image_id(row.item)}.jpg", size, size) for row in rows
    )  # fmt: skip
    annotations = (_annotation(row, number, box) for row in rows for number, box in enumerate(row.boxes))
    return CocoSet(tuple(images), tuple(annotations), (CocoCategory(1, label),))


def _annotation(row: Row, number: int, box: tuple[int, int, int, int]) -> CocoAnnotation:
    xywh = (float(box[0]), float(box[1]), float(box[2] - box[0]), float(box[3] - box[1]))
    image = row.item + 1
    return CocoAnnotation(IDS_PER_IMAGE * image + number, image, 1, xywh, area=xywh[2] * xywh[3])


# --- several processes ---


def synthesise(
    make_stream: StreamMaker,
    *,
    name: str,
    total: int,
    out: Path,
    work: Path,
    workers: int = 1,
    check_stop: Callable[[], None] = lambda: None,
    advance: Callable[[int], None] = lambda items: None,
) -> Totals:
    """Write items 0 .. total - 1 and their lists into `out`, by `workers` processes.

    `make_stream`: called once per process, so it must be picklable (functools.partial of a module's
    function). `work`: folder of the journals; the same folder goes on where a killed call ended. `check_stop`
    is asked between images with one worker, between ranges of 64 images with several. `advance` gets numbers
    of finished items.
    """
    work.mkdir(parents=True, exist_ok=True)
    ranges = [range(start, min(start + RANGE, total)) for start in range(0, total, RANGE)]
    journals = [work / f"{items.start:08d}.jsonl" for items in ranges]
    tasks = list(zip(ranges, journals, strict=True))
    stream = make_stream()
    if workers == 1:
        for items, journal in tasks:
            write_range(stream, items, out=out, journal=journal, check_stop=check_stop)
            advance(len(items))
    else:
        for number in _in_processes(make_stream, tasks, out, workers, check_stop):
            advance(number)
    rows = [row for items, journal in tasks for row in read_journal(journal, items)]
    size = stream.config.synthesis.image_size
    return write_lists(out, rows, name=name, size=size, csv_name=ALL[name].csv)


def _in_processes(
    make_stream: StreamMaker,
    tasks: list[tuple[range, Path]],
    out: Path,
    workers: int,
    check_stop: Callable[[], None],
) -> Iterator[int]:
    """Numbers of items, range by range, as they are finished."""
    with process_pool(workers, _begin, (make_stream,)) as pool:
        waiting = {pool.submit(_do, items, out, journal) for items, journal in tasks}
        try:
            while waiting:
                done, waiting = wait(waiting, timeout=1.0, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
                check_stop()
        except BaseException:  # a stop, a failed range: those under way are finished and kept, no more begun
            pool.shutdown(cancel_futures=True)
            raise


_STREAMS: list[SampleStream] = []  # of a worker process: one, made by _begin


def _begin(make_stream: StreamMaker) -> None:
    cv2.setNumThreads(1)  # the processes are the parallelism
    _STREAMS.append(make_stream())


def _do(items: range, out: Path, journal: Path) -> int:
    write_range(_STREAMS[0], items, out=out, journal=journal)
    return len(items)
