"""Random reads: the SOLID store against whole-chunk variable-length arrays of 256 as published, in one run.

    python -m benchmarks.zarr_read                # 256 synthetic samples of 640x480, 20 objects; two minutes
    python -m benchmarks.zarr_read --store DIR    # the pictures of a finished create-store folder

Run it in the blender environment. It needs about 6 GB of memory: one published chunk of masks is 256 x 20 x
640 x 480 bytes before compression. Prints samples/s and bytes read per sample of both and the ratios; the
expectation is a ratio of at least 30 in one of them.

One sample is the PNG bytes, the boxes and the masks as an (n, H, W) array; both sides deliver all three.
Decoding the PNG is left out: it costs both the same. "Published" is what zarr 2.10 does for the arrays of
SOLID's create_zarr (object chunks of 256 through numcodecs VLenArray; no compressor for images, Blosc lz4 for
the rest): any access reads and decodes the chunk. Not covered: a cold page cache (both sides read warm files;
on a disk or a network the bytes decide) and a loader that walks through a chunk once it is decoded, as the
published one does.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numcodecs
import numpy as np
from zarr.storage import WrapperStore

from experiments.solid.store.invariants import tight_boxes
from experiments.solid.store.reader import SolidStore
from experiments.solid.store.samples import TargetSample, encode_png
from experiments.solid.store.schema import StoreLayout
from experiments.solid.store.writer import commit_target_shard, create_store, reset_group

CHUNK = 256  # SOLID code, create_zarr
EXPECTED_RATIO = 30
# zarr 2's default compressor, which the published store uses for all but its images.
BLOSC = numcodecs.Blosc(cname="lz4", clevel=5, shuffle=numcodecs.Blosc.SHUFFLE)


def main() -> None:
    """Measure both formats on the same samples and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", type=Path, help="take the samples of this store; default: synthetic ones")
    parser.add_argument("--objects", type=int, default=20, help="objects per synthetic picture, default 20")
    parser.add_argument("--reads", type=int, default=400, help="random reads of our store, default 400")
    parser.add_argument(
        "--published-reads", type=int, default=5, help="random reads of whole chunks, default 5"
    )
    args = parser.parse_args()
    samples = stored_samples(args.store) if args.store else synthetic_samples(args.objects)
    order = np.random.default_rng(1).integers(0, CHUNK, args.reads).tolist()
    with tempfile.TemporaryDirectory() as folder:
        ours = measure_ours(Path(folder) / "ours", samples, order)
        published = measure_published(Path(folder) / "published", samples, order[: args.published_reads])
    height, width = samples[0].label_map.shape
    boxes = np.mean([len(s.bboxes) for s in samples])
    print(f"{CHUNK} samples of {width}x{height}, {boxes:.1f} objects, {machine()}")
    print(f"{'':12} {'samples/s':>12} {'bytes read/sample':>20} {'bytes on disk/sample':>22}")
    for name, row in (("published", published), ("ours", ours)):
        print(f"{name:12} {row[0]:12.2f} {row[1]:20,.0f} {row[2]:22,.0f}")
    speed, read = ours[0] / published[0], published[1] / ours[1]
    verdict = "met" if max(speed, read) >= EXPECTED_RATIO else "NOT met"
    print(f"ratio        {speed:11.0f}x {read:19.0f}x {published[2] / ours[2]:21.1f}x")
    print(f"expectation (>= {EXPECTED_RATIO}x in samples/s or in bytes read): {verdict}")


def measure_ours(
    folder: Path, samples: Sequence[TargetSample], order: Sequence[int]
) -> tuple[float, float, float]:
    """(samples/s, bytes read per sample, bytes on disk per sample) of our store."""
    height, width = samples[0].label_map.shape
    most = max(len(s.bboxes) for s in samples)
    classes = int(max(s.bboxes[:, 4].max() for s in samples)) + 1
    layout = StoreLayout(
        num_images=CHUNK,
        num_classes=classes,
        num_shots=1,
        max_objects=most,
        height=height,
        width=width,
        query_resolution=1,
        shard_size=CHUNK,
        query_shard_size=classes,
    )
    path = create_store(folder, layout, classes_sha256="")
    reset_group(path, "targets", key="benchmark")
    files = commit_target_shard(path, 0, samples)
    store = SolidStore.open(path)
    check_equal(read_ours(store, order[0]), samples[order[0]])
    rate = samples_per_second(lambda i: read_ours(store, i), order)
    counted = SolidStore.open(path, wrap=Counting)
    counted.read_target(0)
    Counting.total = 0
    for index in order[:50]:
        counted.read_target(index)
    return rate, Counting.total / 50, sum(f.stat().st_size for f in files) / CHUNK


def read_ours(store: SolidStore, index: int) -> tuple[bytes, np.ndarray, np.ndarray]:
    """PNG bytes, (n, 5) boxes, (n, H, W) masks of one sample."""
    sample = store.read_target(index)
    return sample.image, sample.bboxes, sample.masks()


def measure_published(
    folder: Path, samples: Sequence[TargetSample], order: Sequence[int]
) -> tuple[float, float, float]:
    """The same three figures of one chunk as zarr 2 writes it."""
    folder.mkdir()
    height, width = samples[0].label_map.shape
    columns = {
        "images": [np.frombuffer(s.image, np.int8) for s in samples],
        "bboxes": [s.bboxes.ravel() for s in samples],
        "masks": [s.masks().view(np.int8).ravel() for s in samples],
    }
    for name in list(columns):
        (folder / name).write_bytes(encode_chunk(name, columns.pop(name)))

    def read(index: int) -> tuple[bytes, np.ndarray, np.ndarray]:
        image, bboxes, masks = (decode_chunk(name, (folder / name).read_bytes())[index] for name in DTYPES)
        return image.tobytes(), bboxes.reshape(-1, 5), masks.reshape(-1, height, width)

    check_equal(read(order[0]), samples[order[0]])
    size = sum(f.stat().st_size for f in folder.iterdir())
    return samples_per_second(read, order), size, size / CHUNK


DTYPES = {"images": "i1", "bboxes": "i4", "masks": "i1"}  # SOLID code, create_zarr


def encode_chunk(name: str, arrays: Sequence[np.ndarray]) -> bytes:
    """One object chunk: VLenArray, then the array's compressor."""
    chunk = np.empty(len(arrays), dtype=object)
    chunk[:] = arrays
    data = numcodecs.VLenArray(DTYPES[name]).encode(chunk)
    return bytes(data) if name == "images" else bytes(BLOSC.encode(data))


def decode_chunk(name: str, data: bytes) -> np.ndarray:
    """All arrays of a chunk, as any access to zarr 2's object arrays yields them."""
    return numcodecs.VLenArray(DTYPES[name]).decode(data if name == "images" else BLOSC.decode(data))


def samples_per_second(read: Callable[[int], object], order: Sequence[int]) -> float:
    """Rate over the whole order, after one read that is not counted."""
    read(order[0])
    started = time.perf_counter()
    for index in order:
        read(index)
    return len(order) / (time.perf_counter() - started)


def check_equal(found: tuple[bytes, np.ndarray, np.ndarray], sample: TargetSample) -> None:
    """Both formats must return the very sample."""
    assert found[0] == sample.image
    assert (found[1] == sample.bboxes).all()
    assert (found[2] == sample.masks()).all()


class Counting(WrapperStore):
    """Counts the bytes of every read."""

    total = 0

    async def get(self, key, prototype, byte_range=None):
        found = await self._store.get(key, prototype, byte_range)
        Counting.total += 0 if found is None else len(found)
        return found


def stored_samples(path: Path) -> list[TargetSample]:
    """256 samples of a store, repeated from the first where it holds fewer."""
    store = SolidStore.open(path)
    good = np.flatnonzero(store.valid("targets"))
    return [store.read_target(int(good[i % len(good)])) for i in range(CHUNK)]


def synthetic_samples(num_objects: int) -> list[TargetSample]:
    """256 pictures of 640x480: overlapping ellipses with noise textures, on such a background."""
    return [synthetic_sample(np.random.default_rng([index, 7]), num_objects) for index in range(CHUNK)]


def synthetic_sample(rng: np.random.Generator, num_objects: int) -> TargetSample:
    """One picture: background and objects each a window of smooth noise; labels where objects are visible."""
    height, width = 480, 640
    texture = smooth_noise(rng, 1024)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    label_map = np.zeros((height, width), np.uint8)
    rgb = window(rng, texture, height, width)
    for _ in range(num_objects):
        angle, a, b = rng.uniform(0, np.pi), *rng.uniform(20, 90, 2)
        u, v = x - rng.uniform(0, width), y - rng.uniform(0, height)
        along, across = u * np.cos(angle) + v * np.sin(angle), v * np.cos(angle) - u * np.sin(angle)
        inside = (along / a) ** 2 + (across / b) ** 2 < 1
        label_map[inside] = label_map.max() + 1
        rgb[inside] = window(rng, texture, height, width)[inside]
    present = np.unique(label_map[label_map > 0])
    label_map = np.searchsorted(present, label_map, side="right").astype(np.uint8)
    boxes, areas = tight_boxes(label_map, len(present))
    n = len(boxes)
    return TargetSample(
        image=encode_png(rgb),
        label_map=label_map,
        bboxes=np.column_stack([boxes, rng.integers(0, 32, n)]).astype(np.int32),
        visibility=np.ones(n, np.float32),
        mask_bbox_ratio=(areas / ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))).astype(
            np.float32
        ),
        angles=np.zeros((n, 3), np.float32),
        attempts=1,
        scene="{" + "0" * 12000 + "}",  # the size of a scene file
    )


def smooth_noise(rng: np.random.Generator, side: int) -> np.ndarray:
    """(side, side, 3) float32 in 0..1 with a 1/f^1.5 spectrum, as natural textures have."""
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]) + 1 / side
    noise = rng.standard_normal((3, side, side)).astype(np.float32)
    field = np.fft.irfft2(np.fft.rfft2(noise) * frequency**-1.5, s=(side, side))
    low, high = field.min(axis=(1, 2), keepdims=True), field.max(axis=(1, 2), keepdims=True)
    return ((field - low) / (high - low)).transpose(1, 2, 0).astype(np.float32)


def window(rng: np.random.Generator, texture: np.ndarray, height: int, width: int) -> np.ndarray:
    """A random (height, width, 3) uint8 window with a random tint."""
    y, x = rng.integers(0, len(texture) - height), rng.integers(0, len(texture) - width)
    return (texture[y : y + height, x : x + width] * rng.uniform(80, 255, 3)).astype(np.uint8)


def machine() -> str:
    """Cores and versions, for the line above the table."""
    versions = f"numpy {np.__version__}, numcodecs {numcodecs.__version__}"
    return f"{os.cpu_count()} cores {platform.machine()}, {versions}"


if __name__ == "__main__":
    main()
