"""Train, validation and test as the stages read them: prepared when asked for, and each asking counted.

    dataset = read_dataset(ctx.inputs["import"], config.classifier.DATA, merged=False)
    dataset.x_train, dataset.y_train        # float32 (N, S, S, C), int64 (N,)
    dataset.splits.reads["test"]            # how often test pictures were asked for
"""

from __future__ import annotations

import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments.gafi.data.preprocess import DataSettings, check_size, preprocess, sized
from experiments.gafi.data.raw import Part, RawDataset
from experiments.gafi.data.split import SPLIT_SEED, Partition, split, take
from suite.errors import BadInput
from suite.manifest import read_json
from suite.seeds import item_rng

ARRAYS, FACTS = "data.npz", "splits.json"  # what the stage `import` writes
DESCRIBED = {"dataset", "class_names", "counts", "raw_size", "channels"}  # of FACTS: what is read here
IMPORT_AGAIN = "run the stage `import` again"
SPLITS = ("train", "val", "test")


class Splits(Mapping[str, Part]):
    """{"train", "val", "test"}: Part, prepared at the first reading. `reads` counts every reading by name.

    Merged, the published rule makes the test pictures the validation pictures: reading `val` then counts as
    `test`.
    """

    def __init__(
        self, arrays: Mapping[str, np.ndarray], data: DataSettings, *, merged: bool, as_uint8: bool
    ) -> None:
        self.reads: Counter[str] = Counter()
        self._arrays, self._data = arrays, data
        self._merged, self._as_uint8 = merged, as_uint8
        self._ready: dict[str, Part] = {}

    def __getitem__(self, name: str) -> Part:
        if name not in SPLITS:
            raise KeyError(name)
        name = "test" if self._merged and name == "val" else name
        self.reads[name] += 1
        if name not in self._ready:
            self._ready[name] = self._prepare(name)
        return self._ready[name]

    def __iter__(self):
        return iter(SPLITS)

    def __len__(self) -> int:
        return len(SPLITS)

    def _prepare(self, name: str) -> Part:
        group = "test" if name == "test" else "trainval"
        images, labels = self._arrays[f"{group}_images"], self._arrays[f"{group}_labels"]
        if group == "trainval" and not self._merged:
            rows = self._arrays[f"{name}_index"]
            images, labels = images[rows], labels[rows]
        if self._as_uint8:
            return Part(sized(images, self._data), labels)
        noise = item_rng(SPLIT_SEED, "gafi.dequantize", 0) if name == "train" else None
        return Part(preprocess(images, self._data, noise=noise), labels)


@dataclass(frozen=True)
class Dataset:
    """A data set ready for training.

    Images float32 (N, S, S, C), in [-1, 1] where DATA.normalize is set, or uint8 if asked for; labels int64
    (N,).
    """

    name: str
    splits: Splits
    class_names: tuple[str, ...]
    channels: int
    image_size: int
    counts: Mapping[str, int]  # pictures by split; reading this reads none

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @property
    def x_train(self) -> np.ndarray:
        return self.splits["train"].images

    @property
    def y_train(self) -> np.ndarray:
        return self.splits["train"].labels

    @property
    def x_val(self) -> np.ndarray:
        return self.splits["val"].images

    @property
    def y_val(self) -> np.ndarray:
        return self.splits["val"].labels

    @property
    def x_test(self) -> np.ndarray:
        return self.splits["test"].images

    @property
    def y_test(self) -> np.ndarray:
        return self.splits["test"].labels

    def samples_per_class(self, class_samples: int | None = None) -> int:
        """n_c: `PIPELINE.class_samples` if set, else training pictures / classes, rounded down."""
        return samples_per_class(self.counts["train"], self.num_classes, class_samples)


def samples_per_class(num_train: int, num_classes: int, class_samples: int | None = None) -> int:
    """n_c, the synthetic pictures of each class (GaFi, published code). Raises BadInput below 1."""
    found = class_samples if class_samples is not None else num_train // num_classes
    if found < 1:
        raise BadInput(
            f"{found} synthetic pictures of each class", fix="set PIPELINE.class_samples to 1 or more"
        )
    return found


def to_arrays(partition: Partition) -> dict[str, np.ndarray]:
    """What `data.npz` holds: bytes as they were read, and the positions of train and val among them."""
    return {
        "trainval_images": partition.trainval.images,
        "trainval_labels": partition.trainval.labels,
        "train_index": partition.train,
        "val_index": partition.val,
        "test_images": partition.test.images,
        "test_labels": partition.test.labels,
    }


def make_dataset(
    data: DataSettings, subset: Any, raw: RawDataset, *, merged: bool = False, as_uint8: bool = False
) -> Dataset:
    """Straight from the files' content. subset: has `train`, `val`, `test` (None = all)."""
    partition = take(split(raw), train=subset.train, val=subset.val, test=subset.test, seed=SPLIT_SEED)
    return _dataset(
        to_arrays(partition), data, raw.class_names, name=raw.name, counts=count(partition),
        side=raw.train.images.shape[1], channels=raw.train.images.shape[3], merged=merged, as_uint8=as_uint8,
    )  # fmt: skip


def read_dataset(stage_folder: Path, data: DataSettings, *, merged: bool, as_uint8: bool = False) -> Dataset:
    """From the folder of the stage `import`. Raises BadInput where it holds another data set.

    merged: train and val together are train, test is val (what the published GANs learn from).
    as_uint8: pictures resized and padded but not scaled; `preprocess.scaled` is what is left to do.
    """
    folder = Path(stage_folder)
    facts = read_json(folder / FACTS)
    if not isinstance(facts, dict) or not DESCRIBED <= facts.keys():
        raise BadInput("is missing or damaged", file=folder / FACTS, fix=IMPORT_AGAIN)
    if facts["dataset"] != data.dataset:
        what = f"holds {facts['dataset']}, DATA.dataset is {data.dataset}"
        raise BadInput(what, file=folder / ARRAYS, fix="run the stage `import` of this data set")
    return _dataset(
        _Archive(folder / ARRAYS), data, tuple(facts["class_names"]), name=facts["dataset"],
        counts=facts["counts"], side=facts["raw_size"], channels=facts["channels"], merged=merged,
        as_uint8=as_uint8,
    )  # fmt: skip


class _Archive(Mapping[str, np.ndarray]):
    """The arrays of `data.npz`, each read when it is asked for. Raises BadInput for a damaged one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._arrays = self._reading(lambda: np.load(path, allow_pickle=False))

    def __getitem__(self, name: str) -> np.ndarray:
        return self._reading(lambda: self._arrays[name])

    def __iter__(self):
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def _reading(self, read: Callable[[], Any]) -> Any:
        try:
            return read()
        except (OSError, ValueError, LookupError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            what = f"cannot be read ({type(error).__name__})"
            raise BadInput(what, file=self._path, fix=IMPORT_AGAIN) from None


def count(partition: Partition) -> dict[str, int]:
    """Pictures of each split."""
    return {name: len(partition.labels(name)) for name in SPLITS}


def _dataset(
    arrays: Mapping[str, np.ndarray],
    data: DataSettings,
    class_names: tuple[str, ...],
    *,
    name: str,
    counts: Mapping[str, int],
    side: int,
    channels: int,
    merged: bool,
    as_uint8: bool,
) -> Dataset:
    check_size(side, data)
    if merged:
        counts = {"train": counts["train"] + counts["val"], "val": counts["test"], "test": counts["test"]}
    splits = Splits(arrays, data, merged=merged, as_uint8=as_uint8)
    return Dataset(name, splits, class_names, channels, data.image_size, counts)
