"""The stage `import`: find the data set, split it as published, keep the subsets that the config asks for.

Writes `data.npz` (dataset.to_arrays) and `splits.json`: counts, class names, digests of the index arrays.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.gafi.data.dataset import ARRAYS, FACTS, SPLITS, count, samples_per_class, to_arrays
from experiments.gafi.data.fetch import fetch
from experiments.gafi.data.load import load_raw
from experiments.gafi.data.locate import find, source_of
from experiments.gafi.data.preprocess import check_size
from experiments.gafi.data.raw import RawDataset
from experiments.gafi.data.split import SPLIT_SEED, Partition, split, take
from suite.arrays import write_arrays
from suite.manifest import write_json
from suite.paths import data_path

if TYPE_CHECKING:
    from suite.stage import Context


def run(ctx: Context) -> None:
    """The stage. The split and the subsets are those of SPLIT_SEED whatever the seed of the run: seeds then
    differ in training alone, and all are scored on the same pictures.
    """
    config = ctx.config
    raw = load_raw(config.dataset, provide(config.dataset, config.SUBSET.folder))
    for section in (config.classifier.DATA, config.gan.DATA):  # before anything is trained on it
        check_size(raw.train.images.shape[1], section)
    sizes = config.SUBSET
    whole = split(raw)
    partition = take(whole, train=sizes.train, val=sizes.val, test=sizes.test, seed=SPLIT_SEED)
    write_arrays(ctx.out / ARRAYS, **to_arrays(partition))
    write_json(ctx.out / FACTS, describe(raw, whole, partition))
    for name, number in count(partition).items():
        ctx.count(name, number)
    ctx.event("imported", dataset=raw.name, **count(partition))


def provide(name: str, folder: str | None) -> Path | None:
    """The folder to read; None: where it is found. Fashion-MNIST is fetched where no copy is found: it is the
    data set of the small scales, which run on a fresh clone. Raises Missing where that cannot be done.
    """
    if folder is not None:
        return data_path(folder)
    if source_of(name).name == "FashionMNIST" and find(name) is None:
        return fetch(name)
    return None


def describe(raw: RawDataset, whole: Partition, partition: Partition) -> dict[str, Any]:
    """What splits.json holds. Nothing in it depends on where the files lie."""
    source = source_of(raw.name)
    counts = count(partition)
    official = (len(whole.trainval.labels), len(whole.test.labels)) == (source.num_train, source.num_test)
    return {
        "dataset": raw.name,
        "licence": source.licence,
        "rule": raw.rule,
        "official_size": official,
        "raw_size": raw.train.images.shape[1],
        "channels": raw.train.images.shape[3],
        "class_names": list(raw.class_names),
        "counts": counts,
        "per_class": {
            name: np.bincount(partition.labels(name), minlength=raw.num_classes).tolist() for name in SPLITS
        },
        "samples_per_class": samples_per_class(counts["train"], raw.num_classes),
        "whole_split_sha256": {name: index_digest(getattr(whole, name)) for name in ("train", "val")},
    }


def index_digest(index: np.ndarray) -> str:
    """SHA-256 of positions as little-endian int64."""
    return hashlib.sha256(np.ascontiguousarray(index, "<i8").tobytes()).hexdigest()
