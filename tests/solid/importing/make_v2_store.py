"""Makes `store_v2`, a miniature of the published store, with the library that wrote the published one.

    python3 -m venv /tmp/zarr2
    /tmp/zarr2/bin/pip install 'zarr==2.18.7' 'numcodecs==0.15.2' 'numpy<2' pillow
    /tmp/zarr2/bin/python tests/solid/importing/make_v2_store.py tests/solid/importing/store_v2

Same arrays, element types, codecs and chunk rules as SOLID's `create_zarr.py`; 4 rows per chunk instead of
256, and 32 x 24 pixels. The functions below tell the tests what is in it; nothing but `main` needs zarr 2.
"""

from __future__ import annotations

import io
import sys

import numpy as np
from PIL import Image

NUM_IMAGES, NUM_CLASSES, NUM_SHOTS, CHUNK = 14, 6, 3, 4
HEIGHT, WIDTH, QUERY_SIDE = 24, 32, 20

NEVER_WRITTEN = (8, 9, 10, 11)  # the whole third chunk: its files do not exist
NULL = (2,)  # a `None` among written rows of the first chunk: reads back as an empty array
FLAG_LOST = (5,)  # whole, but `valids` says no: two jobs wrote the flag's chunk at once
MASK_SHORT = (6,)  # one mask fewer than boxes
OVERLAP = (7,)  # two masks share pixels
QUERY_NULL = (1,)  # a class whose views are all null
QUERY_ABSENT = (4, 5)  # the second chunk of the queries was never written
GOOD = tuple(
    i
    for i in range(NUM_IMAGES)
    if i not in NEVER_WRITTEN and i not in NULL and i not in MASK_SHORT and i not in OVERLAP
)


def png(pixels: np.ndarray) -> bytes:
    """(h, w, 3) uint8 as a PNG file."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def picture(index: int) -> np.ndarray:
    """(24, 32, 3) uint8 of picture `index`."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([(x * 8) % 256, (y * 10) % 256, np.full_like(x, index * 15)], axis=-1).astype(np.uint8)


def masks(index: int) -> np.ndarray:
    """(n, 24, 32) bool, 1 to 3 visible masks: a square, a smaller one in front of it, a bar."""
    count = 1 + index % 3
    found = np.zeros((count, HEIGHT, WIDTH), bool)
    found[0, 2:12, 3 : 13 + index % 4] = True
    if count > 1:
        found[1, 6:16, 8:12] = True
        if index not in OVERLAP:
            found[0] &= ~found[1]
    if count > 2:
        found[2, 20:22, index : index + 5] = True
    return found


def boxes(index: int) -> np.ndarray:
    """(n, 5) int32: x1, y1, x2, y2 half-open, class."""
    rows = []
    for k, mask in enumerate(masks(index)):
        y, x = np.nonzero(mask)
        rows.append([x.min(), y.min(), x.max() + 1, y.max() + 1, (index + 2 * k) % NUM_CLASSES])
    return np.array(rows, np.int32)


def statistics(index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Visibility (n,), mask / box ratio (n,), angles (3 n,), all float32."""
    rows, found = boxes(index), masks(index)
    area = (rows[:, 2] - rows[:, 0]) * (rows[:, 3] - rows[:, 1])
    ratio = (found.sum(axis=(1, 2)) / area).astype(np.float32)
    visibility = np.linspace(1, 0.5, len(rows)).astype(np.float32)
    return visibility, ratio, (np.arange(3 * len(rows)) / 7 - index / 10).astype(np.float32)


def view(class_id: int, shot: int) -> np.ndarray:
    """A query crop, (h, w, 3) uint8."""
    side = QUERY_SIDE - shot
    return np.full((side, 5 + class_id, 3), 20 * class_id + 5 * shot, np.uint8)


def main(path: str) -> None:
    """Write the store as create_zarr.py and the two writers do."""
    import numcodecs
    import zarr

    root = zarr.open(path, mode="w")

    def variable(name: str, shape: tuple[int, ...], kind: str, **options: object) -> zarr.Array:
        codec = numcodecs.VLenArray(kind)
        return root.create_dataset(
            name, shape=shape, dtype=object, object_codec=codec, chunks=CHUNK, fill_value=None, **options
        )

    valids = root.create_dataset("valids", shape=(NUM_IMAGES,), dtype=bool, fill_value=False)
    arrays = {
        "images": variable("images", (NUM_IMAGES,), "i1", compressor=None),
        "bboxes": variable("bboxes", (NUM_IMAGES,), "i4"),
        "masks": variable("masks", (NUM_IMAGES,), "i1"),
        "visibilities": variable("visibilities", (NUM_IMAGES,), "f4"),
        "mask_bbox_ratios": variable("mask_bbox_ratios", (NUM_IMAGES,), "f4"),
        "angles": variable("angles", (NUM_IMAGES,), "f4"),
    }
    queries = variable("queries", (NUM_CLASSES, NUM_SHOTS), "i1", compressor=None)
    query_ids = root.create_dataset("query_ids", shape=(NUM_CLASSES,), dtype=np.int64)
    query_ids[:] = np.arange(NUM_CLASSES)
    root.create_dataset("scenenet_models", shape=(NUM_IMAGES,), dtype="S128")

    for index in range(NUM_IMAGES):
        if index in NEVER_WRITTEN or index in NULL:
            continue
        kept = masks(index)[:-1] if index in MASK_SHORT else masks(index)
        values = (np.frombuffer(png(picture(index)), np.int8), boxes(index).ravel())
        values += (kept.astype(np.int8).ravel(), *statistics(index))
        for array, value in zip(arrays.values(), values, strict=True):
            array[index] = value
        valids[index] = index not in FLAG_LOST
    for class_id in range(NUM_CLASSES):
        if class_id in QUERY_NULL or class_id in QUERY_ABSENT:
            continue
        row = np.empty(NUM_SHOTS, dtype=object)
        for shot in range(NUM_SHOTS):
            row[shot] = np.frombuffer(png(view(class_id, shot)), np.int8)
        queries[class_id, :] = row


if __name__ == "__main__":
    main(sys.argv[1])
