"""Annotation from id maps, checked against loops over pixels."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from experiments.solid.annotate import annotate, crop_query, matrix_euler, order_of_appearance
from experiments.solid.layout.geometry import euler_matrix, look_at_matrix
from experiments.solid.layout.scene import SCHEMA, Box, Camera, PlacedObject, Rules, Scene, World

NUM_OBJECTS, NUM_CLASSES = 5, 3
RULES = Rules(near=False, overlap=False, depth_order=False)
IDENTITY = np.eye(3)
ANGLE = st.floats(-np.pi, np.pi)

id_maps = npst.arrays(
    np.int32,
    st.tuples(st.integers(1, 9), st.integers(1, 12)),
    elements=st.integers(0, NUM_OBJECTS),
)


def scene_of(num_objects: int, eulers=None, camera_rotation=IDENTITY) -> Scene:
    rotation = tuple(tuple(row) for row in np.asarray(camera_rotation).tolist())
    objects = tuple(
        PlacedObject(
            name=str(k), class_id=k % NUM_CLASSES, euler=tuple(eulers[k]) if eulers else (0.0, 0.0, 0.0),
            size=1.0, scale=1.0, location=(0.0, 0.0, 0.0), obb=Box((0.5, 0.5, 0.5)), rules=RULES, tries=1,
        )
        for k in range(num_objects)
    )  # fmt: skip
    return Scene(
        schema=SCHEMA, kind="target", seed=0, index=0, attempt=0, resolution=(12, 9), fov=0.7,
        camera=Camera((0.0, 0.0, 5.0), rotation, (0.0, 0.0, 0.0)), room=None, world=World((0.0, 0.0, 0.0),
        1.0), objects=objects, lights=(), shots=(), attempted=num_objects, drawn=(), camera_tries=1,
        cycles_seed=0,
    )  # fmt: skip


def areas_of(ids: np.ndarray, extra: int = 0) -> np.ndarray:
    return np.bincount(ids.ravel(), minlength=NUM_OBJECTS + 1)[1:] + extra


@given(id_maps)
def test_boxes_are_the_tight_half_open_boxes_of_their_masks(ids):
    found = annotate(ids, areas_of(ids), scene_of(NUM_OBJECTS))
    height, width = ids.shape
    for label, (x1, y1, x2, y2, class_id) in enumerate(found.bboxes, start=1):
        rows, columns = np.nonzero(found.label_map == label)
        assert (x1, y1, x2, y2) == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert 0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height and 0 <= class_id < NUM_CLASSES


@given(id_maps)
def test_the_label_map_renumbers_the_ids_and_nothing_else(ids):
    scene = scene_of(NUM_OBJECTS)
    found = annotate(ids, areas_of(ids), scene)
    order = order_of_appearance(ids)
    assert found.label_map.dtype == np.uint8 and found.label_map.shape == ids.shape
    assert np.array_equal(np.concatenate([[0], order])[found.label_map], ids)
    assert found.bboxes[:, 4].tolist() == [scene.objects[k - 1].class_id for k in order]
    assert len(found.bboxes) == len(set(ids[ids > 0].tolist()))


@given(id_maps)
def test_rows_come_in_the_order_of_appearance(ids):
    seen = dict.fromkeys(ids.ravel().tolist())
    assert order_of_appearance(ids).tolist() == [k for k in seen if k]
    labels = dict.fromkeys(annotate(ids, areas_of(ids), scene_of(NUM_OBJECTS)).label_map.ravel().tolist())
    assert [k for k in labels if k] == sorted(k for k in labels if k)


@given(id_maps, st.integers(0, 50))
def test_visibility_and_ratio_are_shares_of_pixels(ids, extra):
    found = annotate(ids, areas_of(ids, extra), scene_of(NUM_OBJECTS))
    for label, (x1, y1, x2, y2, _) in enumerate(found.bboxes, start=1):
        area = (found.label_map == label).sum()
        assert found.visibility[label - 1] == np.float32(area / (area + extra))
        assert found.mask_bbox_ratio[label - 1] == np.float32(area / ((x2 - x1) * (y2 - y1)))
    for shares in (found.visibility, found.mask_bbox_ratio):
        assert shares.dtype == np.float32 and ((shares > 0) & (shares <= 1)).all()


def test_an_empty_map_has_no_rows():
    found = annotate(np.zeros((4, 5), dtype=np.int32), np.zeros(2, dtype=np.int32), scene_of(2))
    assert found.bboxes.shape == (0, 5) and found.angles.shape == (0, 3)
    assert found.visibility.shape == found.mask_bbox_ratio.shape == (0,)
    assert not found.label_map.any()


def test_a_visible_area_larger_than_the_area_alone_is_refused():
    with pytest.raises(ValueError, match="exceed"):
        annotate(np.ones((2, 2), dtype=np.int32), np.array([3]), scene_of(1))


def test_an_id_without_an_object_is_refused():
    with pytest.raises(ValueError, match="id 2"):
        annotate(np.full((2, 2), 2, dtype=np.int32), np.array([4]), scene_of(1))


@given(st.tuples(ANGLE, ANGLE, ANGLE))
def test_euler_angles_give_the_rotation_back(euler):
    rotation = euler_matrix(np.array(euler))
    (again,) = matrix_euler(rotation[None])
    assert np.abs(euler_matrix(again) - rotation).max() < 1e-5  # gimbal lock is cut off at 1e-6


def test_angles_are_those_of_the_object_as_the_camera_sees_it():
    camera = look_at_matrix(np.array([3.0, -4.0, 2.0]), np.zeros(3))
    eulers = [(0.3, -0.2, 2.0), (1.0, 0.5, -2.5)]
    found = annotate(np.array([[2, 1]]), np.array([1, 1]), scene_of(2, eulers, camera))
    for row, euler in zip(found.angles, (eulers[1], eulers[0]), strict=True):
        assert np.allclose(
            euler_matrix(row.astype(float)), camera.T @ euler_matrix(np.array(euler)), atol=1e-6
        )


def test_an_object_turned_like_the_camera_has_no_angles():
    euler = (0.4, 0.2, -1.0)
    found = annotate(np.array([[1]]), np.array([1]), scene_of(1, [euler], euler_matrix(np.array(euler))))
    assert np.abs(found.angles).max() < 1e-6


def test_a_scene_may_hold_fully_hidden_objects():
    ids = np.array([[0, 3], [3, 3]], dtype=np.int32)
    found = annotate(ids, np.array([0, 0, 3]), dataclasses.replace(scene_of(3)))
    assert found.bboxes.tolist() == [[0, 0, 2, 2, 2]]
    assert found.visibility.tolist() == [1.0]


@given(npst.arrays(bool, st.tuples(st.integers(1, 8), st.integers(1, 8))))
def test_a_crop_touches_the_mask_on_all_four_sides(mask):
    rgb = np.arange(mask.size * 3, dtype=np.uint8).reshape(*mask.shape, 3)
    crop = crop_query(SimpleNamespace(rgb=rgb, mask=mask))
    inside = crop_query(SimpleNamespace(rgb=np.stack([mask] * 3, axis=2), mask=mask))
    if not mask.any():
        assert crop is None
        return
    assert inside[0].any() and inside[-1].any() and inside[:, 0].any() and inside[:, -1].any()
    assert inside[..., 0].sum() == mask.sum()
    assert crop.shape == inside.shape and crop.dtype == np.uint8
