"""The published splits picture by picture, and stratified subsets of them.

The digests are SHA-256 of the positions as little-endian int64 that scikit-learn 1.9.1 gave on numpy 2.4.6:
`train_test_split(np.arange(n), test_size=m, stratify=labels, random_state=seed)` and
`shuffle(np.arange(1000), random_state=0)`. There, 200 random cases of 2 to 11 classes agreed as well.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.gafi.data.idx import read_idx
from experiments.gafi.data.locate import find, has_official_files
from experiments.gafi.data.raw import Part, RawDataset
from experiments.gafi.data.split import shuffled, split, stratified_split, subset, take
from experiments.gafi.data.stage import index_digest
from suite.errors import BadInput

SQUARES = np.arange(997) ** 2 % 97 % 7
FEW = np.repeat(np.arange(7), [3, 3, 3, 5, 5, 9, 11])
CASES = {  # labels, held out, seed, digests of kept and held out
    "CIFAR10's size": (
        np.arange(50_000) * 7919 % 10, 10_000, 0,
        "031a48d3467912e906d9e92192eb23cb8aa043f6d38f890ecd7ad6bab6f389a8",
        "b9d39edccdcc4667e9f39a0b9149eb8b4dd4c4908790feb04f10edc3031e1104",
    ),
    "CIFAR100's size": (
        np.arange(50_000) * 7919 % 100, 10_000, 0,
        "7cd4f94ab9ebfd7ec17ea24d7fbdae4d10f928c08d7e79c97d6dd5038ff7d8de",
        "496565a768659a50a3efaca85ea6c26941ef5f4ee0f682ad28fc4f0c28824983",
    ),
    "CINIC10's size": (
        np.repeat(np.arange(10), 18_000), 10_000, 0,
        "d8e763e6f2233660af4cbf8596bbcd9db7ead021e8c89651e4ccbbba57cc4d39",
        "87eacf434941f74e6bf488b7343f59c23d1b96c49618764721bed6e1860c6872",
    ),
    "uneven classes": (
        SQUARES, 301, 0,
        "4fafa965fa57c16b678a51a5f317f0a412cd490c170560e657a58c838409d0ea",
        "eca13f7a14eedb9fd81dcb052e9b310735e9686b1ad1482d1eec50e0e7f447f5",
    ),
    "equal remainders, by lot": (
        FEW, 13, 0,
        "4c0024355d0c15433b0b7233ea0153de9e9d84830ff2effd0a42f2a04f233eaf",
        "2ea1498a1a761c8e428ddbd23fe340b78a62dcaab575937b2c5f7699ce3b5339",
    ),
    "another seed": (
        FEW, 12, 3,
        "086a849fe742f1f34f86e4ce322191427418e99d730a51ea19f890943851f085",
        "7b2a161fababcc8dac20beade1b8477536c5f7e57ffb5500c1714658ce58b458",
    ),
}  # fmt: skip
FASHION = (  # the 60,000 labels of Fashion-MNIST, 10,000 held out
    "6d7ceab8727a860c939f7d28f1186de9ca1408c1bc6aea3e4ab5985506b37893",
    "d04152aec18685889d96d1642332b730157e065db519e6b233a082e87ce6a838",
)
SHUFFLED_1000 = "246c2d91f597c4a959c432803f3b5ee0f2f0d8f66c6d6433e8ca87131e8201ff"


@pytest.mark.parametrize("case", CASES)
def test_the_stratified_split_is_that_of_scikit_learn(case):
    labels, num_held_out, seed, kept, held_out = CASES[case]
    found = stratified_split(labels, num_held_out, seed=seed)
    assert [index_digest(index) for index in found] == [kept, held_out]


def test_the_split_of_fashion_mnist_is_the_published_one():
    folder = find("FashionMNIST")
    if folder is None or not has_official_files(folder):
        pytest.skip("Fashion-MNIST is not on this machine (make fetch-fashion-mnist)")
    path = next(path for path in sorted(folder.glob("train-labels*")))
    found = stratified_split(read_idx(path, 1), 10_000, seed=0)
    assert tuple(index_digest(index) for index in found) == FASHION


def test_the_shuffle_is_that_of_scikit_learn():
    labels = np.arange(1000)
    found = shuffled(Part(labels * 2, labels), seed=0)
    assert index_digest(found.labels) == SHUFFLED_1000
    assert np.array_equal(found.images, found.labels * 2)


labelled = st.integers(2, 6).flatmap(
    lambda k: st.lists(st.integers(0, k - 1), min_size=2 * k, max_size=60).map(
        lambda more: np.array([*range(k), *range(k), *more])
    )
)


@given(labels=labelled, share=st.floats(0.1, 0.9), seed=st.integers(0, 99))
@settings(max_examples=60)
def test_a_split_uses_each_picture_once_and_keeps_the_shares_of_the_classes(labels, share, seed):
    num_classes = len(set(labels.tolist()))
    num = int(np.clip(share * len(labels), num_classes, len(labels) - num_classes))
    kept, held_out = stratified_split(labels, num, seed=seed)
    assert len(held_out) == num
    assert np.array_equal(np.sort(np.concatenate([kept, held_out])), np.arange(len(labels)))
    exact = np.bincount(labels) * num / len(labels)
    assert np.abs(np.bincount(labels[held_out], minlength=num_classes) - exact).max() < 2


@pytest.mark.parametrize(("labels", "num"), [([0, 0, 1], 1), ([0, 0, 1, 1], 1), ([0, 0, 1, 1], 3)])
def test_a_split_that_cannot_hold_every_class_is_one_line(labels, num):
    with pytest.raises(BadInput, match="classes do not split"):
        stratified_split(np.array(labels), num, seed=0)


def raw(rule: str, num_val: int = 20) -> RawDataset:
    """Pictures of one pixel that carry their position: train 0.., val 100.., test 200.. ."""

    def part(first: int, num: int) -> Part:
        values = (first + np.arange(num)).astype(np.uint8)
        return Part(values.reshape(-1, 1, 1, 1), np.arange(num) % 2)

    val = None if rule == "stratified" else part(100, num_val)
    return RawDataset("CINIC10", part(0, 40), val, part(200, 10), ("a", "b"), rule)


def values(partition, split_name):
    part = partition.test if split_name == "test" else partition.trainval
    index = slice(None) if split_name == "test" else getattr(partition, split_name)
    return part.images[index].ravel().tolist()


def test_without_a_validation_part_as_many_pictures_are_held_out_as_there_are_test_pictures():
    partition = split(raw("stratified"))
    assert len(partition.train) == 30 and len(partition.val) == 10
    assert sorted(values(partition, "train") + values(partition, "val")) == list(range(40))
    assert np.array_equal(
        partition.trainval.images.ravel(), np.arange(40)
    )  # merged: in the order of the files
    assert values(partition, "test") == list(range(200, 210))


def test_a_given_validation_part_stays_and_merged_data_is_train_then_val():
    partition = split(raw("given"))
    assert values(partition, "train") == list(range(40)) and values(partition, "val") == list(range(100, 120))
    assert partition.trainval.images.ravel().tolist() == [*range(40), *range(100, 120)]


def test_cinic_is_stacked_and_shuffled_before_it_is_split_and_its_test_pictures_are_shuffled_too():
    partition = split(raw("cinic"), cinic_val=12)
    order = np.arange(60)
    np.random.RandomState(0).shuffle(order)
    stacked = np.array([*range(40), *range(100, 120)])
    assert partition.trainval.images.ravel().tolist() == stacked[order].tolist()
    kept, held_out = stratified_split(partition.trainval.labels, 12, seed=0)
    assert np.array_equal(partition.train, kept) and np.array_equal(partition.val, held_out)
    order = np.arange(10)
    np.random.RandomState(0).shuffle(order)
    assert values(partition, "test") == (200 + order).tolist()


def test_too_few_pictures_for_the_10000_of_cinic_are_one_line():
    with pytest.raises(BadInput, match="60 pictures of 2 classes do not split"):
        split(raw("cinic"))


# --- subsets ---


@given(labels=labelled, share=st.floats(0, 1), seed=st.integers(0, 5))
@settings(max_examples=60)
def test_a_subset_has_its_size_every_class_and_the_order_of_the_whole(labels, share, seed):
    num_classes = len(set(labels.tolist()))
    size = int(np.clip(share * len(labels), num_classes, len(labels)))
    found = subset(labels, size, seed=seed, stream="train")
    assert len(found) == size and (np.diff(found) > 0).all()
    counts = np.bincount(labels[found], minlength=num_classes)
    assert counts.min() >= 1
    exact = np.bincount(labels) * size / len(labels)
    if exact.min() >= 1:
        assert np.abs(counts - exact).max() < 1


def test_subsets_are_those_of_their_seed_and_stream_and_lie_inside_each_other():
    labels = np.arange(200) % 10
    found = subset(labels, 50, seed=0, stream="train")
    assert np.array_equal(found, subset(labels, 50, seed=0, stream="train"))
    assert not np.array_equal(found, subset(labels, 50, seed=1, stream="train"))
    assert not np.array_equal(found, subset(labels, 50, seed=0, stream="val"))
    assert set(found) < set(subset(labels, 120, seed=0, stream="train"))
    assert np.array_equal(subset(labels, None, seed=0, stream="train"), np.arange(200))


@pytest.mark.parametrize("size", [9, 201, 0])
def test_a_subset_without_every_class_or_larger_than_the_whole_is_one_line(size):
    with pytest.raises(
        BadInput, match=rf"SUBSET\.val={size} of 200 pictures of 10 classes; choose 10 to 200"
    ):
        subset(np.arange(200) % 10, size, seed=0, stream="val")


def test_taking_subsets_keeps_the_published_order_and_drops_the_rest_from_merged_data():
    whole = split(raw("stratified"))
    small = take(whole, train=12, val=4, test=6, seed=0)
    assert [len(values(small, name)) for name in ("train", "val", "test")] == [12, 4, 6]
    for name in ("train", "val", "test"):
        before = values(whole, name)
        places = [before.index(value) for value in values(small, name)]
        assert places == sorted(places)
    merged = small.trainval.images.ravel().tolist()
    assert merged == sorted(values(small, "train") + values(small, "val"))


def test_no_subset_changes_nothing():
    whole = split(raw("cinic"), cinic_val=12)
    same = take(whole, train=None, val=None, test=None, seed=0)
    assert all(values(same, name) == values(whole, name) for name in ("train", "val", "test"))
    assert np.array_equal(same.trainval.images, whole.trainval.images)
