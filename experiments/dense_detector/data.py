"""Pictures and boxes as batches of tensors.

    dataset = DetectionDataset(selection, "train2017", size_wh=(128, 64), grey=True)
    for batch in batches(dataset, 16, seed=0, epoch=3, shuffle=True, flip=0.5, workers=2): ...

A picture is decoded, made grey (or RGB), stretched to size_wh (bilinear; the aspect is not kept, as
published), scaled to [0, 1], flipped and jittered by chance, then normalised. Its boxes follow, and boxes,
labels and ignore regions are filtered together: their lengths always agree. With `cache` the stretched
picture stays in memory as uint8, so that each file is decoded once however long the training.

What an item looks like depends on (seed, epoch, index), the order on (seed, epoch): neither on the number of
workers nor on where an epoch was resumed. Workers are threads (Pillow decodes and resizes outside Python's
lock), and the selection is in memory: no database connection crosses into them.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from experiments.dense_detector.augment import Item, vary
from experiments.dense_detector.selection import ImageRecord, Selection
from suite.errors import BadInput
from suite.seeds import item_rng

# Mean and standard deviation of pixels in [0, 1]: the published ones for grey, ImageNet's for RGB.
GREY_NORM = ((0.456,), (0.225,))
RGB_NORM = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@dataclass(frozen=True, eq=False)
class Batch:
    """N pictures with up to M boxes and K ignore regions each (M, K >= 1; rows beyond a picture's own are 0
    and not valid). Boxes are corners in pixels of the resized picture.
    """

    images: Tensor  # float32 (N, C, H, W)
    boxes: Tensor  # float32 (N, M, 4)
    labels: Tensor  # int64 (N, M)
    valid: Tensor  # bool (N, M)
    ignore: Tensor  # float32 (N, K, 4)
    ignore_valid: Tensor  # bool (N, K)
    image_ids: list[int]
    sizes: Tensor  # float32 (N, 2): width and height of the original pictures


class DetectionDataset:
    """The pictures of a selection, by index 0..n-1 in the order of their ids."""

    def __init__(
        self,
        selection: Selection,
        images_dir: str | Path,
        *,
        size_wh: tuple[int, int],
        grey: bool = True,
        normalise: bool = True,
        cache: bool = True,
    ) -> None:
        """`size_wh`: width and height to stretch to; `grey`: one channel, else RGB; `normalise`: subtract the
        mean and divide by the deviation, else pixels in [0, 1]; `cache`: keep decoded pictures (C*H*W bytes
        each).
        """
        self.selection, self.images_dir = selection, Path(images_dir)
        self.size_wh, self.grey = size_wh, grey
        channels = 1 if grey else 3
        mean, std = (GREY_NORM if grey else RGB_NORM) if normalise else ((0.0,) * channels, (1.0,) * channels)
        self._mean, self._std = (torch.tensor(v).view(1, channels, 1, 1) for v in (mean, std))
        self._items = [resized_item(image, size_wh) for image in selection.images]
        shape = (len(selection), channels, size_wh[1], size_wh[0])
        self._cache = np.empty(shape, np.uint8) if cache else None
        self._is_cached = np.zeros(len(selection), bool)

    def __len__(self) -> int:
        return len(self.selection)

    def picture(self, index: int) -> np.ndarray:
        """One stretched picture uint8 (C, H, W), from the cache once it was decoded."""
        if self._cache is None:
            return self._decode(index)
        if not self._is_cached[index]:
            self._cache[index] = self._decode(index)
            self._is_cached[index] = True
        return self._cache[index]

    def batch(
        self, indices: Sequence[int], *, seed: int = 0, epoch: int = 0, flip: float = 0.0, jitter: float = 0.0
    ) -> Batch:
        """The pictures of `indices`, varied by chance as in augment.py."""
        images = torch.from_numpy(np.stack([self.picture(i) for i in indices])).float().div_(255)
        items = [self._items[i] for i in indices]
        images, items = vary(images, items, indices, seed=seed, epoch=epoch, flip=flip, jitter=jitter)
        return collate(
            images.sub_(self._mean).div_(self._std), items, [self.selection.images[i] for i in indices]
        )

    def _decode(self, index: int) -> np.ndarray:
        record = self.selection.images[index]
        return decode_picture(
            self.images_dir / record.file_name, (record.width, record.height), self.size_wh, grey=self.grey
        )


def decode_picture(
    path: Path, original_wh: tuple[int, int] | None, size_wh: tuple[int, int], *, grey: bool
) -> np.ndarray:
    """A picture file as uint8 (C, H, W), stretched to `size_wh`.

    Raises BadInput where the file is missing, damaged, or of another size than `original_wh` (None: any).
    """
    leave_out = "run `verify`, which puts it on the skip list, or copy it again"
    try:
        with Image.open(path) as picture:
            found_wh = picture.size
            pixels = picture.convert("L" if grey else "RGB")
    except FileNotFoundError:
        raise BadInput("no such picture", file=path, fix="check the folder, or run `verify`") from None
    # Pillow's decoders raise these for damaged files; SyntaxError comes from its PNG reader.
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise BadInput(f"does not decode ({str(error):.80})", file=path, fix=leave_out) from None
    if original_wh is not None and found_wh != original_wh:
        what = f"is {found_wh[0]}x{found_wh[1]}, the database says {original_wh[0]}x{original_wh[1]}"
        raise BadInput(what, file=path, fix=leave_out)
    array = np.asarray(pixels.resize(size_wh, Image.Resampling.BILINEAR))
    return array[None] if grey else np.ascontiguousarray(array.transpose(2, 0, 1))


def scale_boxes(boxes: np.ndarray, from_wh: tuple[int, int], to_wh: tuple[int, int]) -> np.ndarray:
    """Corners (n, 4) in a picture of size `from_wh` -> the same, float32, in one stretched to `to_wh`."""
    factors = np.array([to_wh[0] / from_wh[0], to_wh[1] / from_wh[1]] * 2)
    return (boxes * factors).astype(np.float32)


def resized_item(image: ImageRecord, size_wh: tuple[int, int]) -> Item:
    """Boxes, labels and ignore regions of a record in resized pixels, those without area left out."""
    original_wh = (image.width, image.height)
    boxes, ignore = (scale_boxes(b, original_wh, size_wh) for b in (image.boxes, image.ignore))
    keep, keep_ignore = (((b[:, 2:] - b[:, :2]) > 0).all(axis=1) for b in (boxes, ignore))
    return Item(boxes[keep], image.labels[keep], ignore[keep_ignore])


def collate(images: Tensor, items: Sequence[Item], records: Sequence[ImageRecord]) -> Batch:
    """Pad the boxes of the pictures to a common length, with masks that tell which rows are real."""
    boxes, valid = _pad([item.boxes for item in items])
    ignore, ignore_valid = _pad([item.ignore for item in items])
    labels = torch.zeros(valid.shape, dtype=torch.int64)
    labels[valid] = torch.from_numpy(np.concatenate([item.labels for item in items]))
    sizes = torch.tensor([[r.width, r.height] for r in records], dtype=torch.float32)
    return Batch(images, boxes, labels, valid, ignore, ignore_valid, [r.image_id for r in records], sizes)


def _pad(lists: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
    """Boxes (n_i, 4) of N pictures -> float32 (N, max(1, max n_i), 4) and bool (N, max(1, max n_i))."""
    lengths = torch.tensor([len(boxes) for boxes in lists])
    valid = torch.arange(max(1, int(lengths.max()))) < lengths[:, None]
    padded = torch.zeros(*valid.shape, 4)
    padded[valid] = torch.from_numpy(np.concatenate(lists))
    return padded, valid


# --- order ---


def num_batches(dataset: DetectionDataset, batch_size: int) -> int:
    """Batches of an epoch; the last may be smaller."""
    return math.ceil(len(dataset) / batch_size)


def epoch_order(length: int, *, seed: int, epoch: int, shuffle: bool) -> np.ndarray:
    """Indices int64 (length,) in the order of an epoch."""
    return item_rng(seed, "dense.shuffle", epoch).permutation(length) if shuffle else np.arange(length)


def batches(
    dataset: DetectionDataset,
    batch_size: int,
    *,
    seed: int = 0,
    epoch: int = 0,
    first: int = 0,
    shuffle: bool = False,
    flip: float = 0.0,
    jitter: float = 0.0,
    workers: int = 0,
) -> Iterator[Batch]:
    """The batches of one epoch from number `first` on; `workers` threads prepare them ahead (0: none)."""
    order = epoch_order(len(dataset), seed=seed, epoch=epoch, shuffle=shuffle)
    parts = [order[at : at + batch_size].tolist() for at in range(first * batch_size, len(order), batch_size)]
    chance = {"seed": seed, "epoch": epoch, "flip": flip, "jitter": jitter}
    if workers == 0:
        yield from (dataset.batch(part, **chance) for part in parts)
        return
    pool, ahead = ThreadPoolExecutor(workers), deque[Future[Batch]]()
    try:
        for part in parts:
            ahead.append(pool.submit(dataset.batch, part, **chance))
            if len(ahead) > 2 * workers:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
