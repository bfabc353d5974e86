import numpy as np
import pytest

from experiments.gafi.metrics.inception_score import inception_score


def test_sure_of_every_class_equally_often_scores_the_number_of_classes():
    assert inception_score(np.eye(7)[np.arange(70) % 7]) == pytest.approx(7)


def test_the_same_answer_to_every_picture_scores_one():
    assert inception_score(np.tile([0.2, 0.5, 0.3], (9, 1))) == pytest.approx(1)
    assert inception_score(np.tile([0.0, 1.0], (9, 1))) == pytest.approx(1)


def test_two_half_sure_answers_give_their_closed_form():
    """p = (a, 1 - a) and mirrored, marginal uniform: exp(ln 2 - H(a))."""
    a = 0.9
    entropy = -(a * np.log(a) + (1 - a) * np.log(1 - a))
    assert inception_score(np.array([[a, 1 - a], [1 - a, a]])) == pytest.approx(np.exp(np.log(2) - entropy))


def test_no_pictures_are_refused():
    with pytest.raises(ValueError, match="rows of class probabilities"):
        inception_score(np.zeros((0, 3)))
