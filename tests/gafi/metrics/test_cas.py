import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.gafi.metrics.cas import class_scores, gap_points, spread_of_accuracy


def test_the_scores_of_seven_pictures_are_the_ones_counted_by_hand():
    labels = np.array([0, 0, 0, 0, 1, 1, 2])
    scores = class_scores(np.array([0, 0, 0, 1, 1, 0, 2]), labels, num_classes=3)
    assert scores.confusion.tolist() == [[3, 1, 0], [1, 1, 0], [0, 0, 1]]
    assert scores.per_class.tolist() == [0.75, 0.5, 1.0]
    assert scores.accuracy == pytest.approx(5 / 7)
    assert scores.balanced_accuracy == pytest.approx(0.75)


def test_answering_the_common_class_alone_is_accurate_but_not_balanced():
    labels = np.array([0] * 9 + [1])
    scores = class_scores(np.zeros(10, int), labels, num_classes=2)
    assert (scores.accuracy, scores.balanced_accuracy) == (0.9, 0.5)


def test_a_class_without_pictures_has_no_accuracy_and_does_not_enter_the_balanced_one():
    scores = class_scores(np.array([0, 2]), np.array([0, 0]), num_classes=3)
    assert np.isnan(scores.per_class).tolist() == [False, True, True]
    assert scores.balanced_accuracy == 0.5


pairs_of_classes = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40)


@given(pairs_of_classes, st.permutations(range(4)))
def test_renaming_the_classes_renames_the_scores(pairs, names):
    found, labels = np.array(pairs).T
    names = np.array(names)
    one = class_scores(found, labels, num_classes=4)
    other = class_scores(names[found], names[labels], num_classes=4)
    assert other.accuracy == one.accuracy
    assert other.balanced_accuracy == pytest.approx(one.balanced_accuracy)
    np.testing.assert_array_equal(other.confusion[np.ix_(names, names)], one.confusion)
    np.testing.assert_array_equal(other.per_class[names], one.per_class)


@pytest.mark.parametrize(
    ("found", "labels"), [([0, 3], [0, 1]), ([0, 1], [-1, 1]), ([0], [0, 1]), ([], []), ([[0]], [[0]])]
)
def test_columns_that_are_no_classes_are_refused(found, labels):
    with pytest.raises(ValueError, match=r"class is not in 0\.\.2|two equal columns"):
        class_scores(np.array(found, int), np.array(labels, int), num_classes=3)


def test_the_gap_is_in_points_and_negative_where_synthetic_data_win():
    assert gap_points(0.95, 0.9297) == pytest.approx(2.03)
    assert gap_points(0.5, 0.6) == pytest.approx(-10)


def test_the_standard_error_of_an_accuracy_is_that_of_a_share():
    assert spread_of_accuracy(0.5, 100) == pytest.approx(0.05)
    assert spread_of_accuracy(1.0, 100) == 0
