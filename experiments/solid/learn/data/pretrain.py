"""The pre-training loader: target pictures with boxes and masks, and the queries to find on them.

    index = StoreIndex.build(SolidStore.open(store), work / "index")
    for batch in pretrain_loader(store, index, config, seed=seed, start_step=0, stop_step=100):
        ...

A batch depends on (seed, step, rank) only, not on the number of workers or where the run was started. A
picture or query that cannot be read is replaced by another one and counted; see `MAX_DAMAGED_SHARE`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

import suite.compat.detectron2  # noqa: F401

# isort: split
from detectron2.structures import BitMasks, Boxes, Instances

from experiments.solid.config import SolidConfig
from experiments.solid.config_learning import Pretrain
from experiments.solid.learn.data.index import MAX_DAMAGED_SHARE, StoreIndex
from experiments.solid.learn.data.packed import Packed
from experiments.solid.learn.data.queries import Account, derangement, query_order, read_queries
from experiments.solid.learn.data.sampler import ChunkCacheSampler, EpochSampler, Sampler
from experiments.solid.learn.data.transforms import resize_and_flip, resize_query, transform_target
from experiments.solid.learn.data.unseen import seen_rows, unseen_classes
from experiments.solid.learn.data.workers import TIMEOUT, in_workers
from experiments.solid.store.reader import SolidStore
from suite.errors import BadInput
from suite.seeds import item_rng

MIN_DRAWN = 200  # samples after which the share of damaged ones is judged
MAX_TRIES = 20  # pictures in a row that may be unreadable


@dataclass(frozen=True)
class PretrainBatch:
    """One step of one rank, b pictures and Q queries."""

    step: int
    # detectron2's input dicts: "image" uint8 BGR (3, H, W), "instances" with gt_boxes, gt_classes int64 =
    # class id, gt_masks BitMasks; "height", "width" of the stored picture, "image_id" = row of the store
    targets: list[dict]
    queries: list[torch.Tensor]  # uint8 BGR (3, h, w), long side query_size
    query_ids: torch.Tensor  # (Q,) int64: class id of each query
    skipped: int  # samples that could not be read and were replaced


@dataclass(frozen=True)
class _Target:
    """What a worker sends of one picture beside its pixels."""

    row: int
    size: tuple[int, int]  # stored height, width
    boxes: np.ndarray  # (n, 4) float32, resized pixels
    classes: np.ndarray  # (n,) int64
    labels: np.ndarray  # (n,) uint8: values of the kept instances in the label map


@dataclass(frozen=True)
class _Raw:
    """A batch as it crosses from worker to trainer: a label map per picture in place of n masks."""

    step: int
    targets: list[_Target]
    images: Packed
    label_maps: Packed
    query_ids: list[int]
    queries: Packed
    account: Account


class _Fetch:
    """Makes the batch of one (step, rows) request; what a worker process runs."""

    def __init__(
        self,
        store: SolidStore,
        index: StoreIndex,
        settings: Pretrain,
        *,
        seed: int,
        rank: int,
        rows: np.ndarray,
    ) -> None:
        self.store, self.index, self.settings = store, index, settings
        self.seed, self.rank, self.rows = seed, rank, rows

    def __call__(self, request: tuple[int, np.ndarray]) -> _Raw:
        step, rows = request
        account = Account()
        draw = self._rng("augment", step)
        edges = draw.choice(self.settings.short_edges, size=len(rows)).tolist()
        flips = (draw.random(len(rows)) < 0.5) & self.settings.flip
        spare = self._rng("replace", step)
        found = []
        for row, edge, flip in zip(rows.tolist(), edges, flips.tolist(), strict=True):
            found.append(self._target(row, edge, flip, spare, account))
        targets, images, label_maps = zip(*found, strict=True)
        positives = np.concatenate([self.index.classes_of(target.row) for target in targets])
        ids, queries = self._queries(step, positives, account)
        return _Raw(
            step=step,
            targets=list(targets),
            images=Packed.of(images),
            label_maps=Packed.of(label_maps),
            query_ids=ids,
            queries=Packed.of(queries),
            account=account,
        )

    def _rng(self, what: str, step: int) -> np.random.Generator:
        return item_rng(self.seed, f"solid.pretrain.{what}", step, attempt=self.rank)

    def _target(
        self, row: int, edge: int, flip: bool, spare: np.random.Generator, account: Account
    ) -> tuple[_Target, np.ndarray, np.ndarray]:
        """The picture of a row, or of a random other one while it cannot be read."""
        for _ in range(MAX_TRIES):
            account.drawn += 1
            try:
                return load_target(self.store, self.index, row, self.settings, short_edge=edge, flip=flip)
            except BadInput as error:
                account.fault(error)
                row = int(spare.choice(self.rows))
        raise BadInput(f"{MAX_TRIES} pictures in a row cannot be read; first: {account.first_fault}")

    def _queries(
        self, step: int, positives: np.ndarray, account: Account
    ) -> tuple[list[int], list[np.ndarray]]:
        rng = self._rng("queries", step)
        unseen = unseen_classes(self.index.num_classes, self.settings.held_out_models)
        has_query = self.index.has_query & ~unseen
        shown = None
        if self.settings.shuffled_queries:
            # Drawn anew at every step: a network can learn one fixed permutation by heart, which is a signal.
            shown = derangement(np.flatnonzero(has_query), self._rng("shuffled", step))
        ids, queries = read_queries(
            self.store,
            query_order(positives, has_query, rng),
            self.index.shots,
            rng,
            num_queries=min(self.settings.num_queries, int(has_query.sum())),
            size=self.settings.query_size,
            account=account,
            picture_of=shown,
        )
        if not ids:
            raise BadInput(f"no query of any class can be read; first: {account.first_fault}")
        return ids, queries


def load_target(
    store: SolidStore, index: StoreIndex, row: int, settings: Pretrain, *, short_edge: int, flip: bool
) -> tuple[_Target, np.ndarray, np.ndarray]:
    """One target after resizing and flipping: its instances, BGR (3, H, W) picture and (H, W) label map.

    Instances are left out whose box is at or below `min_box` in width or height, whose mask is empty, or
    whose class has no query. MissingSample or BadInput: it cannot be read.
    """
    stored = index.boxes_of(row)
    rgb, label_map = store.read_picture(row, len(stored))
    transform = resize_and_flip(*label_map.shape, short_edge, settings.max_edge, flip)
    image, new_map, boxes = transform_target(rgb, label_map, stored[:, :4], transform)
    width, height = (boxes[:, 2:] - boxes[:, :2]).T
    keep = (width > settings.min_box) & (height > settings.min_box) & index.has_query[stored[:, 4]]
    target = _Target(
        row=row,
        size=label_map.shape,
        boxes=boxes[keep],
        classes=stored[keep, 4].astype(np.int64),
        labels=(np.flatnonzero(keep) + 1).astype(np.uint8),
    )
    return target, image, new_map


def input_dict(
    target: _Target, image: torch.Tensor, label_map: torch.Tensor, device: torch.device | str | None = None
) -> dict:
    """detectron2's input dict of one picture; its n masks are made on `device` from the one label map."""
    label_map = label_map.to(device)
    labels = torch.from_numpy(target.labels).to(label_map.device)
    instances = Instances(tuple(label_map.shape))
    instances.gt_boxes = Boxes(torch.from_numpy(target.boxes).to(label_map.device))
    instances.gt_classes = torch.from_numpy(target.classes).to(label_map.device)
    instances.gt_masks = BitMasks(label_map[None] == labels[:, None, None])
    return {
        "image": image.to(device),
        "instances": instances,
        "height": target.size[0],
        "width": target.size[1],
        "image_id": target.row,
    }


def make_sampler(
    index: StoreIndex, settings: Pretrain, *, seed: int, rank: int = 0, world_size: int = 1
) -> Sampler:
    """The order that `settings.sampler` names, over the pictures that are not held out."""
    rows = seen_rows(index, settings.held_out, settings.held_out_models)
    common = {"seed": seed, "rank": rank, "world_size": world_size}
    if settings.sampler == "epoch":
        return EpochSampler(rows, settings.batch_size, **common)
    return ChunkCacheSampler(
        rows,
        settings.batch_size,
        shard_size=index.layout.shard_size,
        cache_size=settings.cache_size,
        **common,
    )


def pretrain_loader(
    store_path: Path,
    index: StoreIndex,
    config: SolidConfig,
    *,
    seed: int,
    rank: int = 0,
    world_size: int = 1,
    start_step: int = 0,
    stop_step: int | None = None,
    device: torch.device | str | None = None,
    timeout: float = TIMEOUT,
) -> Generator[PretrainBatch]:
    """The batches of steps `start_step`..`stop_step` - 1 (default: `pretrain.iterations`) of one rank.

    `device`: where images, boxes and masks are put; queries stay in main memory. `timeout`: seconds without a
    batch after which Missing is raised, as it is when a worker dies. BadInput at the call: the index is of
    another store, too few pictures for a batch; during iteration: more than 5 % of the samples are damaged.
    """
    store = SolidStore.open(store_path)
    index.check(store)
    settings = config.pretrain
    sampler = make_sampler(index, settings, seed=seed, rank=rank, world_size=world_size)
    if settings.shuffled_queries:
        derangement(np.flatnonzero(index.has_query), np.random.default_rng(0))  # raises where there is none
    fetch = _Fetch(store, index, settings, seed=seed, rank=rank, rows=sampler.items)
    steps = range(start_step, settings.iterations if stop_step is None else stop_step)
    raws = in_workers(
        fetch, ((step, sampler.batch(step)) for step in steps), workers=settings.workers, timeout=timeout
    )
    return _batches(raws, store.path, device)


def _batches(
    raws: Generator[_Raw], path: Path, device: torch.device | str | None
) -> Generator[PretrainBatch]:
    total = Account()
    with contextlib.closing(raws):
        for raw in raws:
            total.add(raw.account)
            if total.drawn >= MIN_DRAWN and total.skipped > MAX_DAMAGED_SHARE * total.drawn:
                what = f"{total.skipped} of {total.drawn} samples cannot be read; first: {total.first_fault}"
                raise BadInput(what, file=path, fix="run check --repair, then targets and queries")
            pictures = zip(raw.targets, raw.images.unpack(), raw.label_maps.unpack(), strict=True)
            yield PretrainBatch(
                step=raw.step,
                targets=[input_dict(*picture, device) for picture in pictures],
                queries=raw.queries.unpack(),
                query_ids=torch.tensor(raw.query_ids, dtype=torch.int64),
                skipped=raw.account.skipped,
            )


def held_out_batches(
    store_path: Path,
    index: StoreIndex,
    config: SolidConfig,
    *,
    rows: Sequence[int] | np.ndarray | None = None,
    device: torch.device | str | None = None,
) -> Iterator[list[dict]]:
    """detectron2's input dicts of pictures for measuring: not flipped, the middle one of `short_edges`.

    `rows`: which targets, default the held-out ones; in their order, `batch_size` at a time. Unreadable ones
    are left out; BadInput if none can be read.
    """
    store, settings = SolidStore.open(store_path), config.pretrain
    index.check(store)
    rows = index.held_out_rows(settings.held_out) if rows is None else np.asarray(rows)
    edge = sorted(settings.short_edges)[len(settings.short_edges) // 2]
    account, batch = Account(drawn=len(rows)), []
    for row in rows.tolist():
        try:
            target, image, label_map = load_target(store, index, row, settings, short_edge=edge, flip=False)
        except BadInput as error:
            account.fault(error)
            continue
        batch.append(input_dict(target, torch.from_numpy(image), torch.from_numpy(label_map), device))
        if len(batch) == settings.batch_size:
            yield batch
            batch = []
    if batch:
        yield batch
    if account.drawn and account.skipped == account.drawn:
        raise BadInput(f"none of {account.drawn} pictures can be read; first: {account.first_fault}")


def read_query_pictures(
    store: SolidStore, ids: Sequence[int] | np.ndarray, config: SolidConfig, *, shot: int = 0
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Queries of the given classes, for a full bank: ids (q,) int64 and uint8 BGR (3, h, w) pictures.

    View `shot` of each class, or the next one that can be read; classes without any are left out.
    """
    account, found = Account(), ([], [])
    shots = np.arange(store.layout.num_shots)
    for class_id in np.asarray(ids).tolist():
        for candidate in np.roll(shots, -shot).tolist():
            try:
                picture = resize_query(store.read_query(class_id, candidate), config.pretrain.query_size)
            except BadInput as error:
                account.fault(error)
                continue
            found[0].append(class_id)
            found[1].append(torch.from_numpy(picture))
            break
    return torch.tensor(found[0], dtype=torch.int64), found[1]
