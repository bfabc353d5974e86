import numpy as np
import pytest

from experiments.gafi.metrics.features import Features
from experiments.gafi.metrics.netdistance import class_means, cross_entropy, net_distance


def answers(labels, sure, num_classes):
    """Probabilities that give the label `sure` and share the rest."""
    p = np.full((len(labels), num_classes), (1 - sure) / (num_classes - 1))
    p[np.arange(len(labels)), labels] = sure
    return p


def test_equal_sets_have_distance_zero():
    labels = np.arange(12) % 3
    one = Features(np.random.default_rng(0).normal(size=(12, 4)), answers(labels, 0.7, 3))
    found = net_distance(one, one, real_labels=labels, fake_labels=labels, num_classes=3)
    assert (found.probability, found.feature) == (0, 0)


@pytest.mark.parametrize("num_classes", [7, 10, 100])
def test_the_sum_runs_over_all_classes_of_the_data_set(num_classes):
    """Features of class c move by c along one axis: sum of c^2; entropies: (ln 0.5 - ln 0.8)^2."""
    labels = {"real_labels": np.arange(3 * num_classes) % num_classes, "fake_labels": np.arange(num_classes)}
    moved = np.stack([labels["fake_labels"], 0 * labels["fake_labels"]], axis=1)
    real = Features(np.zeros((3 * num_classes, 2)), answers(labels["real_labels"], 0.8, num_classes))
    fake = Features(moved, answers(labels["fake_labels"], 0.5, num_classes))
    found = net_distance(real, fake, **labels, num_classes=num_classes)
    assert found.feature == pytest.approx(sum(c**2 for c in range(num_classes)))
    assert found.probability == pytest.approx((np.log(0.5) - np.log(0.8)) ** 2)


def test_class_means_are_the_means_of_the_classes():
    means = class_means(np.array([[0.0, 2], [4, 6], [1, 1]]), np.array([1, 1, 0]), 2)
    assert means.tolist() == [[1, 1], [2, 4]]


def test_a_missing_class_is_refused_by_its_number():
    with pytest.raises(ValueError, match="no picture of class 1"):
        class_means(np.zeros((2, 2)), np.array([0, 2]), 3)


def test_one_sure_mistake_does_not_make_the_entropy_infinite():
    assert np.isfinite(cross_entropy(np.array([[1.0, 0.0]]), np.array([1])))
