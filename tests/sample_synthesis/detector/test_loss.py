import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from experiments.sample_synthesis.detector.build import build_detector
from experiments.sample_synthesis.detector.loss import detection_loss, hard_examples, l2_loss, smooth_l1

POSITIVE, BACKGROUND, IGNORED = [0.0, 1.0], [1.0, 0.0], [0.0, 0.0]


def logit(probability: float) -> float:
    """Second logit beside 0 that gives the second class this probability."""
    return math.log(probability / (1 - probability))


def batch(rows: list[tuple[float, list[float], list[float]]]) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """One image from rows (probability of the object, class target, difference of the four offsets)."""
    outputs = [[0.0, logit(p), *difference] for p, _, difference in rows]
    targets = [[*kind, 0.0, 0.0, 0.0, 0.0] for _, kind, _ in rows]
    weight = [float(sum(kind)) for _, kind, _ in rows]
    return tf.constant([outputs]), tf.constant([targets]), tf.constant([weight])


def test_three_anchors_give_the_closed_form() -> None:
    rows = [
        (0.8, POSITIVE, [0.5, -0.25, 2.0, 0.0]),
        (0.3, BACKGROUND, [9.0, 9.0, 9.0, 9.0]),
        (0.6, IGNORED, [9.0, 9.0, 9.0, 9.0]),
    ]
    class_loss, box_loss = detection_loss(*batch(rows))
    # N = 1. Focal: the positive's and the background's (1 - p)^2 ln p; smooth L1: 0.125 + 0.03125 + 1.5 + 0.
    expected = -(0.2**2 * math.log(0.8) + 0.3**2 * math.log(0.7))
    assert float(class_loss) == pytest.approx(expected, rel=1e-5)
    assert float(box_loss) == pytest.approx(1.65625, rel=1e-6)


def test_both_terms_are_divided_by_the_positives_of_the_whole_batch() -> None:
    one = (0.8, POSITIVE, [0.5, 0.0, 0.0, 0.0])
    single = detection_loss(*batch([one]))
    parts = [batch([one, one]), batch([one, (0.5, IGNORED, [0.0] * 4)])]
    together = detection_loss(*(tf.concat(some, axis=0) for some in zip(*parts, strict=True)))
    np.testing.assert_allclose(together, single, rtol=1e-6)  # three equal positives, N = 3


@pytest.mark.parametrize("kind", ["focal", "ohem"])
def test_without_positives_the_loss_is_finite_and_the_divisor_1(kind: str) -> None:
    class_loss, box_loss = detection_loss(*batch([(0.3, BACKGROUND, [5.0] * 4)] * 2), kind=kind)
    focal = -2 * 0.3**2 * math.log(0.7)
    assert float(class_loss) == pytest.approx(focal if kind == "focal" else 0.0, rel=1e-5)
    assert float(box_loss) == 0.0


def test_ignored_anchors_have_no_gradient() -> None:
    outputs, targets, weight = batch([(0.8, POSITIVE, [0.5] * 4), (0.6, IGNORED, [2.0] * 4)])
    with tf.GradientTape() as tape:
        tape.watch(outputs)
        total = tf.add_n(detection_loss(outputs, targets, weight))
    gradient = tape.gradient(total, outputs).numpy()[0]
    assert not gradient[1].any()
    assert gradient[0].all()


def test_certain_and_wrong_stays_finite() -> None:
    outputs, targets, weight = batch([(0.5, POSITIVE, [0.0] * 4)])
    outputs = tf.constant([[[200.0, -200.0, 0, 0, 0, 0]]])
    with tf.GradientTape() as tape:
        tape.watch(outputs)
        class_loss, _ = detection_loss(outputs, targets, weight)
    assert float(class_loss) == pytest.approx(-math.log(1e-8), rel=1e-4)
    assert np.isfinite(tape.gradient(class_loss, outputs)).all()


@given(st.floats(-50, 50, width=32))
def test_smooth_l1_is_quadratic_below_1_and_linear_above(difference: float) -> None:
    expected = difference**2 / 2 if abs(difference) < 1 else abs(difference) - 0.5
    assert float(smooth_l1(tf.constant(difference))) == pytest.approx(expected, rel=1e-5, abs=1e-12)


def test_ohem_keeps_three_hardest_negatives_per_positive_of_each_image() -> None:
    entropy = tf.constant([[9.0, 1, 5, 3, 4, 2, 8], [1.0, 2, 3, 4, 5, 6, 7]])
    positive = tf.constant([[0.0, 1, 0, 0, 0, 0, 0], [0.0] * 7])
    weight = tf.constant([[1.0, 1, 1, 1, 1, 1, 0], [1.0] * 7])
    kept = hard_examples(entropy, positive, weight).numpy()
    np.testing.assert_array_equal(kept, [[1, 1, 1, 0, 1, 0, 0], [0] * 7])


def test_ohem_is_cross_entropy_over_the_kept() -> None:
    rows = [(0.8, POSITIVE, [0.0] * 4), *[(p, BACKGROUND, [0.0] * 4) for p in (0.1, 0.5, 0.2, 0.3)]]
    class_loss, _ = detection_loss(*batch(rows), kind="ohem")
    expected = -(math.log(0.8) + math.log(0.5) + math.log(0.7) + math.log(0.8))
    assert float(class_loss) == pytest.approx(expected, rel=1e-5)


def test_l2_is_the_factor_times_the_sum_of_squared_head_kernels() -> None:
    model = build_detector("tiny", image_size=32, l2=5e-4, seed=3)
    kernels = [v for v in model.trainable_variables if "head" in v.path and v.name == "kernel"]
    assert len(kernels) == 8
    expected = 5e-4 * sum(float(np.square(kernel.numpy()).sum()) for kernel in kernels)
    assert float(l2_loss(model)) == pytest.approx(expected, rel=1e-5)
    assert float(l2_loss(build_detector("tiny", image_size=32, l2=0.0, seed=3))) == 0.0
