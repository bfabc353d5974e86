"""Images encoded per second of CPU time: vectorised matching inside tf.data against a loop over images.

    python -m benchmarks.anchor_encoding                # SSDMobileNet at 300 px, batch 16, one thread
    python -m benchmarks.anchor_encoding --arch resnet50

Run it in the tensorflow environment. Four ways, the same boxes:

    loop        image by image in Python and numpy, anchor by anchor (anchor_encoding_reference.py)
    eager       image by image with eager TensorFlow operations, as the published code does
    tf.data     detector/encode.py, mapped over single images
    batched     the same code, mapped over batches, as training does it

Before anything is timed the targets are compared. CPU time of all threads is taken, so that neighbours on the
machine count little; the ways take turns, and the medians are shown. An iterator's start, which traces and
optimises its graph, is not timed. Boxes are drawn: 1 to 4 per image, sides 0.1 to 0.8 of the image.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

# isort: split
import tensorflow as tf

from benchmarks.anchor_encoding_reference import encode_eager, encode_reference
from experiments.sample_synthesis.detector.anchors import Anchors, make_anchors
from experiments.sample_synthesis.detector.encode import encode_batch_tf, encode_tf
from suite.errors import guard
from suite.seeds import item_rng

MAX_BOXES = 4
TOLERANCE = 1e-3  # of offsets: float32 against float64, in units of the variances


def main() -> None:
    """Command line: see the module docstring."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--arch", default="mobilenet", help="detector; default %(default)s")
    parser.add_argument("--image-size", type=int, default=300, help="pixels; default %(default)s")
    parser.add_argument("--images", type=int, default=256, help="per turn; default %(default)s")
    parser.add_argument("--alone", type=int, default=48, help="of them image by image; default %(default)s")
    parser.add_argument("--batch", type=int, default=16, help="default %(default)s")
    parser.add_argument("--repeats", type=int, default=5, help="turns; default %(default)s")
    args = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    anchors = make_anchors(args.arch, args.image_size)
    boxes, num_boxes = draw_boxes(args.images, args.image_size)
    cpus = f"{platform.machine()}, {len(os.sched_getaffinity(0))} CPUs, 1 thread"
    print(
        f"{cpus}; {args.arch} at {args.image_size} px, {len(anchors)} anchors, batch {args.batch}", flush=True
    )
    singles, batches = datasets(anchors, boxes, num_boxes, args.batch)
    compare(anchors, boxes, num_boxes[: args.alone], batches)
    tensors = [tf.constant(array) for array in (anchors.boxes, anchors.centers, anchors.sizes)]
    iterators, num_batches = [iter(dataset.repeat()) for dataset in (singles, batches)], len(batches)
    alone = list(enumerate(num_boxes[: args.alone]))
    ways = {
        "loop": lambda: [reference(anchors, boxes[i, :k]) for i, k in alone],
        "eager": lambda: [encode_eager(*tensors, tf.constant(boxes[i, :k])) for i, k in alone],
        "tf.data": lambda: take(iterators[0], num_batches),
        "batched": lambda: take(iterators[1], num_batches),
    }
    number = {name: len(alone) if name in ("loop", "eager") else args.images for name in ways}
    rates = {name: number[name] / seconds for name, seconds in take_turns(ways, args.repeats).items()}
    for name, rate in rates.items():
        print(f"{name:9s} {rate:10.0f} images/s of CPU   {rate / rates['loop']:6.1f} x the loop")


def draw_boxes(num_images: int, image_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Padded boxes float32 (n, MAX_BOXES, 4) inside the image and their numbers int32 (n,)."""
    boxes, num_boxes = np.zeros((num_images, MAX_BOXES, 4), np.float32), np.zeros(num_images, np.int32)
    for index in range(num_images):
        rng = item_rng(0, "benchmark.boxes", index)
        num_boxes[index] = rng.integers(1, MAX_BOXES + 1)
        sides = rng.uniform(0.1, 0.8, (MAX_BOXES, 2)) * image_size
        corner = rng.uniform(0, 1, (MAX_BOXES, 2)) * (image_size - sides)
        boxes[index] = np.concatenate([corner, corner + sides], axis=1)
    return boxes, num_boxes


def datasets(
    anchors: Anchors, boxes: np.ndarray, num_boxes: np.ndarray, batch: int
) -> tuple[tf.data.Dataset, tf.data.Dataset]:
    """The pipelines of the two ways in tf.data, one thread each."""
    options = tf.data.Options()
    options.threading.private_threadpool_size = 1
    items = tf.data.Dataset.from_tensor_slices((boxes, num_boxes))
    singles = items.map(lambda one, number: encode_tf(anchors, one, number)).batch(batch)
    batches = items.batch(batch).map(lambda some, numbers: encode_batch_tf(anchors, some, numbers))
    return singles.with_options(options), batches.with_options(options)


def reference(anchors: Anchors, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One image by the loop."""
    return encode_reference(anchors.boxes, anchors.centers, anchors.sizes, boxes)


def compare(anchors: Anchors, boxes: np.ndarray, num_boxes: np.ndarray, encoded: tf.data.Dataset) -> None:
    """Classes and weights must be equal, offsets within TOLERANCE; else a ValueError.

    num_boxes: of the first images, which are compared; `encoded` may have more.
    """
    targets, weight = (np.concatenate(parts) for parts in zip(*encoded.as_numpy_iterator(), strict=True))
    tensors = [tf.constant(array) for array in (anchors.boxes, anchors.centers, anchors.sizes)]
    worst = 0.0
    for index, number in enumerate(num_boxes):
        one = boxes[index, :number]
        for others, kept in (reference(anchors, one), encode_eager(*tensors, tf.constant(one))):
            same = np.array_equal(targets[index, :, :-4], others[:, :-4]) and np.array_equal(
                weight[index], kept
            )
            if not same:
                raise ValueError(f"the ways match image {index} differently")
            worst = max(worst, float(np.abs(targets[index, :, -4:] - others[:, -4:]).max()))
    if worst > TOLERANCE:
        raise ValueError(f"the ways' offsets differ by {worst}")
    positives = targets[..., 1].sum(axis=1).mean()
    print(f"equal classes and weights, offsets within {worst:.1e}; {positives:.1f} positives per image")


def take(iterator: Iterator, number: int) -> None:
    """Take so many elements."""
    for _ in range(number):
        next(iterator)


def take_turns(ways: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median seconds of CPU time of each way."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        way()
    for _ in range(repeats):
        for name, way in ways.items():
            start = time.process_time()
            way()
            seconds[name].append(time.process_time() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


if __name__ == "__main__":
    raise SystemExit(guard(main))
