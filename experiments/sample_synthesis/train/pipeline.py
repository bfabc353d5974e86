"""The input pipeline: positions of items in, batches of pictures and targets out, in tf.data.

read -> decode -> resize (bilinear, aspect ratio not kept) -> batch -> match and encode -> prefetch; all of it
in order, so that a training is a function of its seed. Resized pictures are rounded to whole numbers, with
the cache and without it, so that the cache changes nothing.

    items = MemorySet(FileSet(paths, boxes_xyxy, sizes_wh, image_size=300))
    dataset = batches(items, order, batch=16, encode=lambda boxes, num: encode_batch_tf(anchors, boxes, num))
    for images, targets, weight in dataset: ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from suite.errors import BadInput

Item = tuple[tf.Tensor, tf.Tensor, tf.Tensor]  # image uint8 (S,S,3), boxes float32 (M,4) padded, their number
Encode = Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]  # (n,M,4), (n,) -> targets, weight
PREFETCH = 2  # batches made ahead


class ItemSet(Protocol):
    """Pictures with boxes, both in pixels of the detector's square input."""

    image_size: int  # S
    max_boxes: int  # M, at least 1

    def __len__(self) -> int: ...

    def prepare(self, positions: np.ndarray) -> None:
        """Called once before a dataset is made of these positions."""

    def item(self, position: tf.Tensor) -> Item:
        """Operations that give one item; position: int64 scalar."""


class FileSet:
    """Pictures in files: each is read, decoded and resized whenever it is needed."""

    def __init__(
        self,
        paths: Sequence[Path],
        boxes_xyxy: Sequence[np.ndarray],
        sizes_wh: np.ndarray,
        *,
        image_size: int,
    ) -> None:
        """boxes_xyxy: per picture (m, 4) in its own pixels. sizes_wh: (n, 2), width and height of each."""
        if not len(paths) == len(boxes_xyxy) == len(sizes_wh):
            raise ValueError(f"{len(paths)} paths, {len(boxes_xyxy)} lists of boxes, {len(sizes_wh)} sizes")
        self.paths, self.image_size = [str(path) for path in paths], image_size
        factor = np.tile(image_size / np.asarray(sizes_wh, dtype=np.float64).reshape(-1, 2), 2)
        self.boxes, self.num_boxes = pad_boxes(
            [np.asarray(one).reshape(-1, 4) * f for one, f in zip(boxes_xyxy, factor, strict=True)]
        )
        self.max_boxes = self.boxes.shape[1]
        self._tensors: tuple[tf.Tensor, ...] | None = None

    def __len__(self) -> int:
        return len(self.paths)

    def prepare(self, positions: np.ndarray) -> None:
        """Put paths and boxes where the pipeline finds them."""
        if self._tensors is None:
            self._tensors = tuple(tf.constant(one) for one in (self.paths, self.boxes, self.num_boxes))

    def item(self, position: tf.Tensor) -> Item:
        """Read, decode, resize."""
        paths, boxes, num_boxes = self._tensors
        image = tf.io.decode_image(
            tf.io.read_file(tf.gather(paths, position)), channels=3, expand_animations=False
        )
        image.set_shape((None, None, 3))
        return resize(image, self.image_size), tf.gather(boxes, position), tf.gather(num_boxes, position)


class MemorySet:
    """A FileSet whose resized pictures are kept: each file is decoded once, when it is first needed."""

    def __init__(self, files: FileSet) -> None:
        self.files, self.image_size, self.max_boxes = files, files.image_size, files.max_boxes
        # Memory is taken page by page as pictures come, so what a training never touches costs nothing.
        self._images = np.empty((len(files), self.image_size, self.image_size, 3), dtype=np.uint8)
        self._there = np.zeros(len(files), dtype=bool)

    def __len__(self) -> int:
        return len(self.files)

    def prepare(self, positions: np.ndarray) -> None:
        """Decode what is not there yet."""
        wanted = np.unique(positions)
        wanted = wanted[~self._there[wanted]]
        for place, image in zip(wanted, images(self.files, wanted, batch=1), strict=True):
            self._images[place] = image[0]
        self._there[wanted] = True

    def item(self, position: tf.Tensor) -> Item:
        """Copy from memory."""
        return _from_host(self._pick, position, (self.image_size, self.image_size), self.max_boxes)

    def items(self, positions: tf.Tensor) -> Item:
        """The same of a whole batch: one call into Python instead of one per picture."""
        size, num = self.image_size, positions.shape[0]
        return _from_host(self._pick, positions, (size, size), self.max_boxes, leading=(num,))

    def _pick(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self._images[index], self.files.boxes[index], self.files.num_boxes[index]


class StreamSet:
    """Synthetic images that are made while training, item i of the stream at position i.

    The boxes and the order are those of the files that the stage `synth` writes; the pictures differ from
    them by what JPEG loses, as nothing is compressed here.
    """

    def __init__(
        self, stream: Any, num_items: int, *, source_size: int, max_boxes: int, image_size: int
    ) -> None:
        """stream: has `item(i)` with `image` uint8 (source_size, source_size, 3) and `boxes` (m, 4), xyxy."""
        self._stream, self._num_items, self._source_size = stream, num_items, source_size
        self.max_boxes, self.image_size = max_boxes, image_size

    def __len__(self) -> int:
        return self._num_items

    def prepare(self, positions: np.ndarray) -> None:
        """Nothing is kept."""

    def item(self, position: tf.Tensor) -> Item:
        """Make a sample, resize it."""
        size = self._source_size

        def draw(index: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            sample = self._stream.item(int(index))
            boxes, num_boxes = pad_boxes([sample.boxes * (self.image_size / size)], self.max_boxes)
            return sample.image, boxes[0], num_boxes[0]

        image, boxes, num_boxes = _from_host(draw, position, (size, size), self.max_boxes)
        return resize(image, self.image_size), boxes, num_boxes


class JoinedSet:
    """Two sets, the second behind the first; of the arm `mixed`."""

    def __init__(self, first: ItemSet, second: ItemSet) -> None:
        self.first, self.second, self.image_size = first, second, first.image_size
        self.max_boxes = max(first.max_boxes, second.max_boxes)

    def __len__(self) -> int:
        return len(self.first) + len(self.second)

    def prepare(self, positions: np.ndarray) -> None:
        """Prepare both for their share."""
        behind = positions >= len(self.first)
        self.first.prepare(positions[~behind])
        self.second.prepare(positions[behind] - len(self.first))

    def item(self, position: tf.Tensor) -> Item:
        """From the set that the position lies in."""

        def padded(of: ItemSet, place: tf.Tensor) -> Item:
            image, boxes, num_boxes = of.item(place)
            return image, tf.pad(boxes, [[0, self.max_boxes - of.max_boxes], [0, 0]]), num_boxes

        border = len(self.first)
        return tf.cond(
            position < border,
            lambda: padded(self.first, position),
            lambda: padded(self.second, position - border),
        )


def batches(
    items: ItemSet, order: np.ndarray, *, batch: int, encode: Encode, start: int = 0, threads: int = 1
) -> Iterator[tuple[tf.Tensor, tf.Tensor, tf.Tensor]]:
    """Yields (images uint8 (batch,S,S,3), targets, weight) of the items in `order`, from batch `start` on.

    order: positions int64; those that do not fill a last batch are left out. Raises BadInput naming the file
    that cannot be decoded.
    """
    dataset = _items(items, order[start * batch :], threads, batch=batch, drop_remainder=True)
    dataset = dataset.map(lambda image, boxes, num: (image, *encode(boxes, num)))
    return _yield(dataset, items, order, threads)


def images(items: ItemSet, positions: np.ndarray, *, batch: int, threads: int = 1) -> Iterator[tf.Tensor]:
    """Yields the pictures at these positions, uint8 (up to batch,S,S,3), in order. Raises BadInput."""
    dataset = _items(items, positions, threads, batch=batch, drop_remainder=False)
    return _yield(dataset.map(lambda image, *_: image), items, positions, threads)


def _items(
    items: ItemSet, positions: np.ndarray, threads: int, *, batch: int, drop_remainder: bool
) -> tf.data.Dataset:
    items.prepare(positions)
    dataset = tf.data.Dataset.from_tensor_slices(np.asarray(positions, dtype=np.int64))
    if isinstance(items, MemorySet):
        return dataset.batch(batch, drop_remainder=drop_remainder).map(items.items)
    dataset = dataset.map(items.item, num_parallel_calls=threads, deterministic=True)
    return dataset.batch(batch, drop_remainder=drop_remainder)


def _yield(dataset: tf.data.Dataset, items: ItemSet, positions: np.ndarray, threads: int) -> Iterator[Any]:
    try:
        yield from dataset.prefetch(PREFETCH).with_options(_options(threads))
    except (tf.errors.InvalidArgumentError, tf.errors.NotFoundError):
        blame(items, positions)
        raise


def blame(items: ItemSet, positions: np.ndarray) -> None:
    """Raise BadInput for the first picture at these positions that cannot be read; return if all can."""
    if isinstance(items, JoinedSet):
        behind = positions >= len(items.first)
        blame(items.first, positions[~behind])
        blame(items.second, positions[behind] - len(items.first))
    files = items.files if isinstance(items, MemorySet) else items
    if not isinstance(files, FileSet):
        return
    for place in np.unique(positions):
        path = files.paths[place]
        try:
            tf.io.decode_image(tf.io.read_file(path), channels=3, expand_animations=False)
        except (tf.errors.InvalidArgumentError, tf.errors.NotFoundError):
            raise BadInput("cannot be decoded", file=path, fix="put it back, or make it again") from None


def resize(image: tf.Tensor, image_size: int) -> tf.Tensor:
    """uint8 (h,w,3) -> uint8 (S,S,3): bilinear without smoothing before it, as `tf.image.resize` does."""
    resized = tf.image.resize(image, (image_size, image_size), method="bilinear")
    return tf.cast(tf.round(resized), tf.uint8)


def pad_boxes(boxes: Sequence[np.ndarray], max_boxes: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Lists of (m, 4) -> float32 (n, M, 4), zeros behind each list, and lengths int32 (n,); M >= 1."""
    num_boxes = np.array([len(one) for one in boxes], dtype=np.int32)
    padded = np.zeros((len(boxes), max_boxes or max(1, num_boxes.max(initial=1)), 4), dtype=np.float32)
    for row, one in zip(padded, boxes, strict=True):
        row[: len(one)] = one
    return padded, num_boxes


def _from_host(
    make: Callable[..., Any],
    position: tf.Tensor,
    size_hw: tuple[int, int],
    max_boxes: int,
    *,
    leading: tuple[int | None, ...] = (),
) -> Item:
    """What Python code makes of positions: image uint8 of `size_hw`, boxes float32, their number int32."""
    kinds = (tf.uint8, tf.float32, tf.int32)
    image, boxes, num_boxes = tf.numpy_function(make, [position], kinds, stateful=False)
    image.set_shape((*leading, *size_hw, 3))
    boxes.set_shape((*leading, max_boxes, 4))
    num_boxes.set_shape(leading)
    return image, boxes, num_boxes


def _options(threads: int) -> tf.data.Options:
    options = tf.data.Options()
    options.deterministic = True
    options.autotune.enabled = False  # measured choices would differ from run to run
    options.threading.private_threadpool_size = max(2, threads)
    return options
