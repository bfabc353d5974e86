import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.anchor_encoding_reference import encode_reference, iou_with_anchors
from experiments.sample_synthesis.detector.anchors import Anchors, make_anchors
from experiments.sample_synthesis.detector.decode import decode, decode_boxes
from experiments.sample_synthesis.detector.encode import encode_batch_tf, encode_tf
from experiments.sample_synthesis.metrics.compat import Truth, compat_map
from suite.datasets.detections import Detections

SIZE = 64
ANCHORS = make_anchors("tiny", SIZE)
OFFSETS = 1e-4  # float32 against float64; offsets are up to 20
ENCODE = tf.function(
    lambda boxes, number: encode_batch_tf(ANCHORS, boxes, number),
    input_signature=[tf.TensorSpec((None, None, 4)), tf.TensorSpec((None,), tf.int32)],
)


def boxes_of(num: st.SearchStrategy[int]) -> st.SearchStrategy[np.ndarray]:
    """Boxes float32 (m, 4) on an eighth of a pixel: many equal overlaps."""
    corner = st.integers(0, 8 * (SIZE - 4))
    one = st.tuples(corner, corner, st.integers(8, 8 * SIZE), st.integers(8, 8 * SIZE)).map(
        lambda b: [b[0] / 8, b[1] / 8, min((b[0] + b[2]) / 8, SIZE), min((b[1] + b[3]) / 8, SIZE)]
    )
    return num.flatmap(lambda m: st.lists(one, min_size=m, max_size=m)).map(
        lambda rows: np.array(rows, np.float32).reshape(-1, 4)
    )


def padded(images: list[np.ndarray], fill: float) -> tuple[np.ndarray, np.ndarray]:
    most = max(len(boxes) for boxes in images)
    array = np.full((len(images), most, 4), fill, np.float32)
    for row, boxes in zip(array, images, strict=True):
        row[: len(boxes)] = boxes
    return array, np.array([len(boxes) for boxes in images], np.int32)


def one_image(boxes: list[list[float]], anchors: Anchors = ANCHORS) -> tuple[np.ndarray, np.ndarray]:
    array = np.array(boxes, np.float32).reshape(-1, 4)
    targets, weight = encode_tf(anchors, array, len(array))
    return targets.numpy(), weight.numpy()


@settings(max_examples=60, deadline=None)
@given(
    images=st.lists(boxes_of(st.integers(0, 6)), min_size=1, max_size=3),
    fill=st.sampled_from([0.0, -7.0, 30.0, np.nan]),
)
def test_a_batch_is_encoded_as_the_loop_encodes_each_image(images: list[np.ndarray], fill: float) -> None:
    targets, weight = (part.numpy() for part in ENCODE(*padded(images, fill)))
    for number, boxes in enumerate(images):
        expected, kept = encode_reference(ANCHORS.boxes, ANCHORS.centers, ANCHORS.sizes, boxes)
        np.testing.assert_array_equal(targets[number, :, :2], expected[:, :2])
        np.testing.assert_array_equal(weight[number], kept)
        np.testing.assert_allclose(targets[number, :, 2:], expected[:, 2:], atol=OFFSETS)


@settings(max_examples=60, deadline=None)
@given(boxes=boxes_of(st.integers(1, 6)))
def test_every_anchor_is_positive_ignored_or_background(boxes: np.ndarray) -> None:
    targets, weight = one_image(boxes)
    best = np.max([iou_with_anchors(box, ANCHORS.boxes) for box in boxes], axis=0)
    positive = targets[:, 1] == 1
    assert positive[best >= np.float32(0.5)].all()
    assert not positive[best < np.float32(0.3)].any()
    assert positive.sum() - (best >= np.float32(0.5)).sum() <= len(boxes)  # at most one forced per box
    np.testing.assert_array_equal(weight == 0, ~positive & (best >= np.float32(0.3)))
    assert not targets[weight == 0].any()
    np.testing.assert_array_equal(targets[:, 0] == 1, best < np.float32(0.3))


def test_isolated_box_between_the_thresholds_gets_exactly_one_positive() -> None:
    # Long: 64 x 13 px. No anchor has this shape; the best overlap is computed, not assumed.
    box = [0.0, 25.0, 64.0, 38.0]
    best = iou_with_anchors(np.float32(box), ANCHORS.boxes).max()
    assert 0.3 <= best < 0.5
    targets, weight = one_image([box])
    assert targets[:, 1].sum() == 1
    assert (weight == 0).sum() > 0


def test_box_that_overlaps_no_anchor_enough_gets_none() -> None:
    box = [10.0, 10.0, 12.0, 12.0]
    assert iou_with_anchors(np.float32(box), ANCHORS.boxes).max() < 0.3
    targets, weight = one_image([box])
    assert targets[:, 1].sum() == 0
    assert weight.min() == 1


def test_second_box_with_the_same_best_anchor_is_forced_on_its_next_one() -> None:
    # By hand: three anchors in a row, A = [0,10], B = [4,14], C = [30,40] in x, all [0,10] in y.
    rows = np.array([[0, 0, 10, 10], [4, 0, 14, 10], [30, 0, 40, 10]], np.float32)
    anchors = Anchors(rows, (rows[:, :2] + rows[:, 2:]) / 2, rows[:, 2:] - rows[:, :2], 40)
    # First box = A (IoU 1). Second, [-1, 9]: IoU with A 9/11, with B 5/15. It has to take B.
    targets, _ = one_image([[0, 0, 10, 10], [-1, 0, 9, 10]], anchors)
    np.testing.assert_array_equal(targets[:, 1], [1, 1, 0])
    np.testing.assert_allclose(targets[0, 2:], 0, atol=1e-6)
    np.testing.assert_allclose(targets[1, 2:], [(4 - 9) / 10 / 0.1, 0, 0, 0], atol=1e-5)


def test_offsets_follow_the_published_formula() -> None:
    anchors = Anchors(*(np.array([v], np.float32) for v in ([0, 0, 20, 10], [10, 5], [20, 10])), 20)
    targets, _ = one_image([[1, 0, 19, 12]], anchors)
    # By hand: centre (10, 6), size (18, 12).
    expected = [0, (6 - 5) / 10 / 0.1, np.log(18 / 20) / 0.2, np.log(12 / 10) / 0.2]
    np.testing.assert_allclose(targets[0, 2:], expected, rtol=1e-5, atol=1e-6)


def test_image_without_boxes_is_all_background() -> None:
    targets, weight = encode_tf(ANCHORS, np.zeros((0, 4), np.float32), 0)
    assert targets.numpy().sum() == len(ANCHORS)
    assert targets.numpy()[:, 0].min() == 1
    assert weight.numpy().min() == 1


def test_a_box_without_area_matches_nothing() -> None:
    targets, weight = one_image([[20, 20, 20, 40]])
    assert np.isfinite(targets).all()
    assert targets[:, 1].sum() == 0
    assert weight.min() == 1


def test_labels_choose_the_class() -> None:
    boxes = np.array([[[0, 0, 30, 30], [32, 32, 64, 64]]], np.float32)
    targets, _ = encode_batch_tf(ANCHORS, boxes, np.array([2]), labels=np.array([[2, 1]]), num_classes=3)
    centers = ANCHORS.centers
    found = targets.numpy()[0]
    assert (centers[found[:, 2] == 1] < 32).all()
    assert (centers[found[:, 1] == 1] > 32).all()
    assert found.shape == (len(ANCHORS), 7)
    assert min(found[:, 1].sum(), found[:, 2].sum()) > 0


def test_mapped_in_tf_data_over_single_images_and_over_batches_gives_the_same() -> None:
    rng = np.random.default_rng(4)
    corner = rng.uniform(0, 32, (6, 3, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(8, 32, (6, 3, 2))], axis=-1).astype(np.float32)
    items = tf.data.Dataset.from_tensor_slices((boxes, np.array([3, 1, 0, 2, 3, 2], np.int32)))
    singles = items.map(lambda one, number: encode_tf(ANCHORS, one, number)).batch(3)
    batches = items.batch(3).map(lambda some, numbers: encode_batch_tf(ANCHORS, some, numbers))
    for single, batch in zip(singles.as_numpy_iterator(), batches.as_numpy_iterator(), strict=True):
        np.testing.assert_array_equal(single[0], batch[0])
        np.testing.assert_array_equal(single[1], batch[1])


def spread_boxes(size: int) -> list[list[float]]:
    """Three boxes apart, of three sizes and shapes."""
    shares = ([0.05, 0.05, 0.3, 0.45], [0.5, 0.1, 0.95, 0.4], [0.2, 0.55, 0.85, 0.97])
    return [[size * value for value in box] for box in shares]


@pytest.mark.parametrize(
    ("arch", "size"), [("mobilenet", 300), ("resnet50", 300), ("mobilenetv2", 320), ("tiny", 96)]
)
def test_decoding_perfect_outputs_gives_the_boxes_back(arch: str, size: int) -> None:
    anchors = make_anchors(arch, size)
    targets, weight = one_image(spread_boxes(size), anchors)
    positive = targets[:, 1] == 1
    every = decode_boxes(targets[positive, 2:], anchors.centers[positive], anchors.sizes[positive])
    nearest = np.abs(every[:, None] - np.float32(spread_boxes(size))).max(axis=2).min(axis=1)
    assert nearest.max() < 1e-3  # px
    outputs = targets.copy()
    outputs[:, :2] = np.where(positive[:, None], [-20, 20], [20, -20])
    (found,) = decode(outputs[None], anchors)
    order = np.argsort(found.boxes[:, 1])
    np.testing.assert_allclose(found.boxes[order], sorted(spread_boxes(size), key=lambda b: b[1]), atol=1e-3)
    assert found.scores.min() > 0.999
    one = np.ones(len(found.boxes), np.int64)
    truth = Truth(one, one, np.float64(spread_boxes(size)))
    detections = Detections(one, one, scores=found.scores, boxes_xyxy=found.boxes)
    assert compat_map(truth, detections).mean == 1.0
    assert weight.sum() < len(weight)
