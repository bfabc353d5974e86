import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.sample_synthesis.data.fddb import fddb
from experiments.sample_synthesis.data.splits import (
    check_disjoint,
    differences,
    keep_first,
    permutation,
    select,
    subset,
)
from suite.errors import BadInput
from tests.sample_synthesis.data.lookalikes import write_fddb


@given(num=st.integers(1, 300), data=st.data())
def test_subsets_are_nested_and_hold_n_different_images(num, data):
    large = data.draw(st.integers(1, num))
    small = data.draw(st.integers(1, large))
    one, other = subset(num, small), subset(num, large)
    assert one.tolist() == other[:small].tolist()
    assert len(set(other.tolist())) == large
    assert set(other.tolist()) <= set(range(num))
    assert sorted(subset(num, num).tolist()) == list(range(num))


def test_the_subset_is_the_published_permutation_of_seed_2020():
    # np.random.seed(2020); np.random.permutation(467)[:10] of any NumPy since 1.7
    assert subset(467, 10).tolist() == np.random.RandomState(2020).permutation(467)[:10].tolist()
    assert subset(467, 10).tolist() == permutation(467, 2020)[:10].tolist()
    assert subset(467, 10).tolist() != subset(467, 10, seed=2021).tolist()


def test_the_first_rows_are_those_of_the_list_that_the_images_were_taken_from():
    assert subset(6, 3, first_rows=True).tolist() == [0, 1, 2]
    rows = np.array([5, 0, 9, 2, 7, 1])
    assert subset(6, 3, first_rows=True, rows=rows).tolist() == [1, 5, 3]


@pytest.mark.parametrize("n", [0, 7])
def test_a_subset_of_none_or_of_more_than_all_is_refused(n):
    with pytest.raises(BadInput, match=f"a subset of {n} of 6 training images; choose 1 to 6"):
        subset(6, n)


def test_selected_images_keep_their_boxes_and_are_numbered_anew(tmp_path):
    real = fddb(write_fddb(tmp_path))["valid"]
    chosen = select(real, np.array([4, 2]))
    assert [image.id for image in chosen.coco.images] == [1, 2]
    assert [annotation.id for annotation in chosen.coco.annotations] == [1, 2, 3, 4, 5]
    assert chosen.paths() == [real.paths()[4], real.paths()[2]]
    assert [b.tolist() for b in chosen.boxes()] == [real.boxes()[4].tolist(), real.boxes()[2].tolist()]
    assert keep_first(real, 2).paths() == real.paths()[:2]
    assert keep_first(real, None) is keep_first(real, 99) is real


def test_an_image_in_two_splits_is_refused(tmp_path):
    sets = fddb(write_fddb(tmp_path))
    check_disjoint(sets)
    with pytest.raises(BadInput, match="img_0.jpg: is in the splits train and valid"):
        check_disjoint({**sets, "valid": sets["train"]})


def test_differences_from_the_published_counts_name_split_and_both_numbers(tmp_path):
    assert "fddb: 15 images in train, published 1449" in differences(fddb(write_fddb(tmp_path)))
