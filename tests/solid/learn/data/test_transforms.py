import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from experiments.solid.learn.data.transforms import (
    label_boxes,
    resize_and_flip,
    resize_query,
    resized_shape,
    to_bgr,
    transform_target,
)
from experiments.solid.store.invariants import tight_boxes

label_maps = hnp.arrays(
    np.uint8, st.tuples(st.integers(4, 30), st.integers(4, 30)), elements=st.integers(0, 3)
)


@given(h=st.integers(1, 500), w=st.integers(1, 500), short=st.integers(8, 200), most=st.integers(8, 300))
def test_the_short_edge_is_met_or_the_long_one_is_at_its_limit(h, w, short, most):
    new = resized_shape(h, w, short, most)
    assert min(new) >= 1
    assert max(new) <= max(most, 1)
    if short * max(h, w) / min(h, w) <= most:
        assert min(new) == short
    else:
        assert max(new) == most
    if min(new) > 1:
        assert abs(new[0] / h * w - new[1]) <= 0.5 * (1 + max(w / h, h / w))


def test_the_published_sizes():
    # SOLID code: 640x480 at the short edges 640 and 800; a query crop with its long side at 224.
    assert resized_shape(480, 640, 640, 1333) == (640, 853)
    assert resized_shape(480, 640, 800, 1333) == (800, 1067)
    assert resized_shape(18, 36, 224, 224) == (112, 224)
    assert resized_shape(480, 1600, 800, 1333) == (400, 1333)


@given(label_map=label_maps, seed=st.integers(0, 99), flip=st.booleans(), edge=st.integers(3, 60))
def test_boxes_are_tight_around_the_transformed_masks(label_map, seed, flip, edge):
    rgb = np.random.default_rng(seed).integers(0, 256, (*label_map.shape, 3), dtype=np.uint8)
    before, areas = tight_boxes(label_map, 3)
    before[areas == 0] = 0
    transform = resize_and_flip(*label_map.shape, edge, 90, flip)
    image, new_map, boxes = transform_target(rgb, label_map, before, transform)
    assert image.shape[1:] == new_map.shape == resized_shape(*label_map.shape, edge, 90)
    expected, new_areas = tight_boxes(new_map, 3)
    expected[new_areas == 0] = 0
    assert boxes.tolist() == expected.tolist()
    assert set(np.unique(new_map)) <= set(np.unique(label_map))
    assert new_map.flags.writeable


@given(label_map=label_maps)
def test_a_flip_mirrors_picture_mask_and_boxes(label_map):
    h, w = label_map.shape
    rgb = np.repeat(label_map[..., None], 3, axis=2)
    before, areas = tight_boxes(label_map, 3)
    before[areas == 0] = 0
    plain, flipped = (
        transform_target(rgb, label_map, before, resize_and_flip(h, w, min(h, w), 99, flip))
        for flip in (False, True)
    )
    assert (plain[1] == label_map).all()  # the same size: nothing is resampled
    assert (flipped[0] == plain[0][:, :, ::-1]).all()
    assert (flipped[1] == plain[1][:, ::-1]).all()
    mirrored = plain[2][:, [2, 1, 0, 3]] * [-1, 1, -1, 1] + [w, 0, w, 0]
    assert flipped[2][areas > 0].tolist() == mirrored[areas > 0].tolist()


def test_a_box_is_looked_for_near_its_old_place_only():
    label_map = np.zeros((20, 20), np.uint8)
    label_map[3:5, 4:8] = 1
    label_map[15, 15] = 1
    assert label_boxes(label_map, np.array([[4, 3, 8, 5]])).tolist() == [[4, 3, 8, 5]]
    assert label_boxes(label_map, np.array([[0, 0, 20, 20]])).tolist() == [[4, 3, 16, 16]]


def test_pictures_become_bgr_with_channels_first():
    rgb = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    bgr = to_bgr(rgb)
    assert bgr.shape == (3, 2, 4)
    assert (bgr[0] == rgb[:, :, 2]).all()
    assert (bgr[2] == rgb[:, :, 0]).all()
    assert bgr.flags.c_contiguous


@given(h=st.integers(1, 80), w=st.integers(1, 80), size=st.integers(4, 64))
def test_the_long_side_of_a_query_is_query_size(h, w, size):
    query = resize_query(np.full((h, w, 3), (10, 20, 30), np.uint8), size)
    assert max(query.shape[1:]) == size
    assert query.shape[0] == 3
    assert (query.reshape(3, -1).T == (30, 20, 10)).all()
