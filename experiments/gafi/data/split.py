"""Train, validation and test, as published, and stratified subsets of them.

Three rules. `stratified`: validation is a stratified part of the training pictures, as many as there are test
pictures (Fashion-MNIST, CIFAR). `cinic`: train and valid together are shuffled, then 10,000 are held out,
stratified; test is shuffled too. `given`: the data set brings its own validation pictures (DermaMNIST, a
user's npz).

The split must be the published one, picture by picture, or a score on validation is no longer the published
score. It was made with scikit-learn's `train_test_split(stratify=..., random_state=0)`; `stratified_split`
gives the same indices with numpy's legacy generator, whose streams numpy keeps fixed
(tests/gafi/data/test_split.py has digests).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from experiments.gafi.data.raw import Part, RawDataset
from suite.errors import BadInput
from suite.seeds import item_rng

SPLIT_SEED = 0  # published: random_state=0 whatever the seed of the run
CINIC_VAL = 10_000  # published


@dataclass(frozen=True)
class Partition:
    """All pictures that may be learnt from, which of them are train and val, and the test pictures."""

    trainval: Part  # in the order in which merged data is read
    train: np.ndarray  # int64 positions in trainval, in published order
    val: np.ndarray
    test: Part

    def labels(self, split: str) -> np.ndarray:
        """int64 classes of `train`, `val` or `test`, in order."""
        return self.test.labels if split == "test" else self.trainval.labels[getattr(self, split)]


def split(raw: RawDataset, *, cinic_val: int = CINIC_VAL) -> Partition:
    """The published split of a data set. Raises BadInput where there are too few pictures for it."""
    if raw.rule == "stratified":
        train, val = stratified_split(raw.train.labels, len(raw.test.labels), seed=SPLIT_SEED)
        return Partition(raw.train, train, val, raw.test)
    if raw.val is None:
        raise ValueError(f"rule {raw.rule!r} needs validation pictures")
    both = Part(*(np.concatenate(pair) for pair in zip(raw.train, raw.val, strict=True)))
    if raw.rule == "given":
        positions = np.arange(len(both.labels))
        cut = len(raw.train.labels)
        return Partition(both, positions[:cut], positions[cut:], raw.test)
    both, test = shuffled(both, seed=SPLIT_SEED), shuffled(raw.test, seed=SPLIT_SEED)
    train, val = stratified_split(both.labels, cinic_val, seed=SPLIT_SEED)
    return Partition(both, train, val, test)


def shuffled(part: Part, *, seed: int) -> Part:
    """The same pictures in the order of scikit-learn's `shuffle(random_state=seed)`."""
    order = np.arange(len(part.labels))
    np.random.RandomState(seed).shuffle(order)
    return Part(part.images[order], part.labels[order])


def stratified_split(labels: np.ndarray, num_held_out: int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions (kept, held out), int64, as scikit-learn's `train_test_split(test_size=num_held_out,
    stratify=labels, random_state=seed)`.

    labels: int (N,). Raises BadInput where a class has fewer than two pictures or a side would have fewer
    pictures than there are classes.
    """
    labels = np.asarray(labels)
    _, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    num_kept = len(labels) - num_held_out
    if counts.min() < 2 or min(num_kept, num_held_out) < len(counts):
        raise BadInput(
            f"{len(labels)} pictures of {len(counts)} classes do not split {num_kept} : {num_held_out}",
            fix="two pictures of each class are the least, and as many on each side as there are classes",
        )
    rng = np.random.RandomState(seed)
    kept_of = _shares(counts, num_kept, rng)
    held_of = _shares(counts - kept_of, num_held_out, rng)
    by_class = np.split(np.argsort(inverse, kind="stable"), np.cumsum(counts)[:-1])
    kept, held_out = [], []
    for members, num_of_class, num_held in zip(by_class, kept_of, held_of, strict=True):
        order = members[rng.permutation(len(members))]
        kept.append(order[:num_of_class])
        held_out.append(order[num_of_class : num_of_class + num_held])
    return rng.permutation(np.concatenate(kept)), rng.permutation(np.concatenate(held_out))


def _shares(counts: np.ndarray, total: int, rng: np.random.RandomState) -> np.ndarray:
    """How many of each class make `total` in all, in proportion; what rounding down leaves goes to the
    largest remainders, by lot among equal ones.
    """
    exact = counts / counts.sum() * total
    shares = np.floor(exact)
    left = int(total - shares.sum())
    remainders = exact - shares
    for value in np.unique(remainders)[::-1]:
        if left == 0:
            break
        equal = np.flatnonzero(remainders == value)
        chosen = rng.choice(equal, size=min(len(equal), left), replace=False)
        shares[chosen] += 1
        left -= len(chosen)
    return shares.astype(int)


def subset(labels: np.ndarray, size: int | None, *, seed: int, stream: str) -> np.ndarray:
    """Positions of a stratified subset, ascending, so that the order of the pictures stays.

    labels: int (N,). size: None = all. Each class gives its share, largest remainders first; the subset of a
    class is a prefix of one permutation, so a smaller subset lies inside a larger one where the classes are
    equally many. Raises BadInput if there are not so many pictures, or fewer than one for each class.
    """
    if size is None or size == len(labels):
        return np.arange(len(labels))
    classes, counts = np.unique(labels, return_counts=True)
    if not len(classes) <= size <= len(labels):
        raise BadInput(
            f"SUBSET.{stream}={size} of {len(labels)} pictures of {len(classes)} classes",
            fix=f"choose {len(classes)} to {len(labels)}, or leave it out for all",
        )
    exact = counts * size / len(labels)
    shares = np.maximum(np.floor(exact).astype(int), 1)
    while shares.sum() < size:  # the class that lacks most, the lower number among equal ones
        shares[np.argmax(exact - shares)] += 1
    while shares.sum() > size:  # the least of one gave too many: from the class that has most
        shares[np.argmax(np.where(shares > 1, shares - exact, -np.inf))] -= 1
    chosen = [
        item_rng(seed, f"gafi.subset.{stream}", int(name)).permutation(np.flatnonzero(labels == name))[:share]
        for name, share in zip(classes, shares, strict=True)
    ]
    return np.sort(np.concatenate(chosen))


def take(
    partition: Partition, *, train: int | None, val: int | None, test: int | None, seed: int
) -> Partition:
    """The partition with so many pictures in each split; what is left of train and val is the merged data."""
    chosen = {
        name: subset(partition.labels(name), size, seed=seed, stream=name)
        for name, size in (("train", train), ("val", val), ("test", test))
    }
    kept_train, kept_val = partition.train[chosen["train"]], partition.val[chosen["val"]]
    rows = np.sort(np.concatenate([kept_train, kept_val]))
    trainval = Part(partition.trainval.images[rows], partition.trainval.labels[rows])
    test_part = Part(partition.test.images[chosen["test"]], partition.test.labels[chosen["test"]])
    return replace(
        partition, trainval=trainval, test=test_part,
        train=np.searchsorted(rows, kept_train), val=np.searchsorted(rows, kept_val),
    )  # fmt: skip
