"""One compiled step from latents to scored images.

z -> generator -> classifier -> (image, whether the classifier agrees, its confidence, fingerprint). Batches
have one of two static sizes, the last one padded, so that at most two shapes are ever compiled; classes are
mixed in a batch freely, since in inference no sample depends on the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from keras import ops

from experiments.gafi.classifier.trainer import backend_dtype, decode
from experiments.gafi.nn import backend
from experiments.gafi.nn.backend import Tensor
from experiments.gafi.nn.state import ModelState, apply
from experiments.gafi.sampling.latents import Stddev, StreamKey, scaled_latents
from suite.errors import BadInput

STORES = ("float32", "uint8")
TAIL = 8  # the small size is the batch size over this: what padding wastes at most


class Network(Protocol):
    """A network at a state; `model` is whatever `nn.state.apply` takes."""

    model: Any
    state: ModelState


class Segment(NamedTuple):
    """Candidates number start..stop-1 of a class."""

    label: int
    start: int
    stop: int


@dataclass(frozen=True)
class ScoredBatch:
    """Some candidates, in the order of `segments`; n is their number, images may be longer (padding)."""

    segments: tuple[Segment, ...]
    images: Tensor  # (>= n, H, W, C) on the device: float32 in [-1, 1] or uint8
    agrees: np.ndarray  # (n,) bool: the classifier's first choice is the wanted class
    confidence: np.ndarray  # (n,) float32: its probability of the wanted class
    fingerprint: np.ndarray  # (n,) uint64 of the image at 8 bits; equal images have equal ones


class Scorer:
    """A generator and the classifier that judges it, compiled once for all checkpoints (`with_generator`)."""

    def __init__(
        self,
        generator: Network,
        classifier: Network,
        *,
        batch_size: int,
        store: str = "float32",
        normalize: bool = True,
        xla: bool = False,
    ):
        """generator: its model has `latent_dim`. normalize: images in [-1, 1], else in [0, 1].

        batch_size: of the device; results do not depend on it beyond rounding of the networks.

        store: `float32` or `uint8`, the type of the images. The classifier judges what is stored, so that
        uint8 changes the images by half a grey level at most and never lets one through that it would reject
        later.
        """
        if store not in STORES:
            raise BadInput(f"SAMPLING.store {store}", fix=f"choose {' or '.join(STORES)}")
        if batch_size < 1:
            raise BadInput(f"SAMPLING.batch_size {batch_size}", fix="give at least 1")
        self.latent_dim, self.store = int(generator.model.latent_dim), store
        self.sizes = (batch_size, max(batch_size // TAIL, min(batch_size, TAIL)))
        self.generator = generator.model
        self.state, self._classifier_state = generator.state, classifier.state
        self._score = backend.jit(_score_step(generator.model, classifier.model, store, normalize), xla=xla)
        self._generate = backend.jit(_generate_step(generator.model, store, normalize), xla=xla)

    def with_generator(self, state: ModelState) -> Scorer:
        """The same for another checkpoint of the same architecture."""
        other = object.__new__(Scorer)
        other.__dict__.update(self.__dict__, state=state)
        return other

    def score(
        self, segments: Sequence[Segment], *, stream: StreamKey, stddev: Stddev
    ) -> Iterator[ScoredBatch]:
        """All of `segments` in order; the device works on a batch while the caller has the last one."""
        waiting = None
        for size, parts in cut(segments, self.sizes):
            z, labels = self._inputs(parts, size, stream, stddev)
            outputs = self._score(*self.state, *self._classifier_state, z, labels)
            if waiting is not None:
                yield _fetched(*waiting)
            waiting = (parts, outputs)
        if waiting is not None:
            yield _fetched(*waiting)

    def generate(
        self, segments: Sequence[Segment], *, stream: StreamKey, stddev: Stddev
    ) -> Iterator[tuple[tuple[Segment, ...], Tensor]]:
        """(segments, images (>= n, H, W, C)): the same images again, unscored."""
        for size, parts in cut(segments, self.sizes):
            yield parts, self._generate(*self.state, *self._inputs(parts, size, stream, stddev))

    def _inputs(
        self, parts: Sequence[Segment], size: int, stream: StreamKey, stddev: Stddev
    ) -> tuple[Tensor, Tensor]:
        """Latents (size, dim) float32 and labels (size,) int32 on the device, padded with zeros."""
        z, labels = np.zeros((size, self.latent_dim), np.float32), np.zeros(size, np.int32)
        at = 0
        for label, start, stop in parts:
            to = at + stop - start
            z[at:to] = scaled_latents(stream, label, start, stop, dim=self.latent_dim, stddev=stddev)
            labels[at:to] = label
            at = to
        return ops.convert_to_tensor(z), ops.convert_to_tensor(labels)


def cut(segments: Sequence[Segment], sizes: tuple[int, int]) -> Iterator[tuple[int, tuple[Segment, ...]]]:
    """(batch size, its segments): large batches while they are full, then small ones, the last one padded."""
    left = sum(stop - start for _, start, stop in segments)
    queue = [segment for segment in reversed(segments) if segment.stop > segment.start]
    while left:
        size = sizes[0] if left >= sizes[0] else sizes[1]
        parts, room = [], size
        while room and queue:
            label, start, stop = queue.pop()
            middle = min(stop, start + room)
            parts.append(Segment(label, start, middle))
            room -= middle - start
            if middle < stop:
                queue.append(Segment(label, middle, stop))
        left -= size - room
        yield size, tuple(parts)


def to_uint8(images: Tensor, *, normalize: bool = True) -> Tensor:
    """float32 in [-1, 1] (in [0, 1] without `normalize`) as uint8 0..255, rounded."""
    unit = images * 0.5 + 0.5 if normalize else images
    return ops.cast(ops.round(ops.clip(unit * 255.0, 0.0, 255.0)), "uint8")


def _generate_step(generator: Any, store: str, normalize: bool) -> Any:
    def step(trainable: list, other: list, z: Tensor, labels: Tensor) -> Tensor:
        images, _ = apply(generator, ModelState(trainable, other), (z, labels), training=False)
        images = ops.cast(images, "float32")
        return to_uint8(images, normalize=normalize) if store == "uint8" else images

    return step


def _score_step(generator: Any, classifier: Any, store: str, normalize: bool) -> Any:
    make = _generate_step(generator, store, normalize)

    def step(g_train: list, g_other: list, c_train: list, c_other: list, z: Tensor, labels: Tensor) -> tuple:
        images = make(g_train, g_other, z, labels)
        seen = decode(images, normalize=normalize)
        logits, _ = apply(classifier, ModelState(c_train, c_other), seen, training=False)
        logits = ops.cast(logits, "float32")
        agrees = ops.equal(ops.cast(ops.argmax(logits, axis=-1), "int32"), labels)
        confidence = ops.take_along_axis(ops.softmax(logits), labels[:, None], axis=-1)[:, 0]
        return images, agrees, confidence, _fingerprint(images, normalize)

    return step


def _fingerprint(images: Tensor, normalize: bool) -> Tensor:
    """(n, 2) int32: two sums of the 8-bit pixels with odd random weights, modulo 2^32."""
    grey = images if backend_dtype(images) == "uint8" else to_uint8(images, normalize=normalize)
    pixels = int(np.prod(grey.shape[1:]))
    rng = np.random.Generator(np.random.Philox(key=0))  # fixed: part of the definition, not a chance
    weights = rng.integers(-(2**31), 2**31, (2, 1, pixels), np.int64).astype(np.int32) | np.int32(1)
    flat = ops.cast(ops.reshape(grey, (-1, pixels)), "int32")
    return ops.stack([ops.sum(flat * weight, axis=1) for weight in weights], axis=1)


def _fetched(parts: tuple[Segment, ...], outputs: tuple) -> ScoredBatch:
    """What the device computed, its small parts on the host, without the padding."""
    number = sum(stop - start for _, start, stop in parts)
    images, agrees, confidence, sums = outputs
    agrees, confidence, sums = (value[:number] for value in backend.to_numpy([agrees, confidence, sums]))
    fingerprint = np.ascontiguousarray(sums, np.int32).view(np.uint64)[:, 0]
    return ScoredBatch(parts, images, agrees, confidence, fingerprint)
