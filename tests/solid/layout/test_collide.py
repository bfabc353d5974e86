"""Separating axes and polygon cutting against a linear programme, and the properties both must have."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from scipy.spatial.transform import Rotation

from experiments.solid.layout.clipping import SolidBox
from experiments.solid.layout.collide import boxes_meet_boxes, boxes_meet_triangles
from experiments.solid.layout.geometry import box_corners

MARGIN = 1e-6  # bodies closer to touching than this (as a share of their size) are not judged


def touching_factor(box, generators, constant, bounds):
    """Factor by which `box` must grow to touch the body {constant + generators @ w}, by an LP."""
    center, rotation, half = box
    count = generators.shape[1]
    # Unknowns: u (3, place inside the box), w (place inside the other body), s (the factor).
    equal = np.hstack([rotation * half, -generators, np.zeros((3, 1))])
    limits = np.zeros((6, 3 + count + 1))
    for axis in range(3):
        limits[2 * axis, axis], limits[2 * axis + 1, axis] = 1, -1
    limits[:, -1] = -1
    solution = linprog(
        np.eye(3 + count + 1)[-1],
        A_ub=limits,
        b_ub=np.zeros(6),
        A_eq=equal,
        b_eq=constant - center,
        bounds=[(None, None)] * 3 + bounds + [(0, None)],
    )
    assert solution.status == 0
    return solution.fun


def box_factor(box, other):
    return touching_factor(box, other[1] * other[2], other[0], [(-1, 1)] * 3)


def triangle_factor(box, triangle):
    a, b, c = triangle
    # a + w1 (b - a) + w2 (c - b) with 0 <= w2 <= w1 <= 1, written with w1 = w2 + w3.
    generators = np.stack([c - a, b - a], axis=1)
    center, rotation, half = box
    equal = np.hstack([rotation * half, -generators, np.zeros((3, 1))])
    limits = np.zeros((7, 6))
    for axis in range(3):
        limits[2 * axis, axis], limits[2 * axis + 1, axis] = 1, -1
    limits[:6, -1] = -1
    limits[6, 3:5] = 1
    solution = linprog(
        np.eye(6)[-1],
        A_ub=limits,
        b_ub=[0] * 6 + [1],
        A_eq=equal,
        b_eq=a - center,
        bounds=[(None, None)] * 3 + [(0, 1)] * 2 + [(0, None)],
    )
    assert solution.status == 0
    return solution.fun


def random_box(rng, *, spread):
    turn = Rotation.random(random_state=int(rng.integers(2**31))).as_matrix()
    if rng.random() < 0.2:
        turn = np.eye(3)  # parallel edges: the cross products vanish
    return rng.uniform(-spread, spread, 3), turn, rng.uniform(0.02, 1.0, 3)


def meets_box(box, other):
    return bool(
        boxes_meet_boxes(
            box[0][None],
            box[1],
            box[2],
            other_centers=other[0][None],
            other_rotations=other[1][None],
            other_half_extents=other[2][None],
        )[0]
    )


def solid(box):
    return SolidBox(box[0], box[1].T, box[2])


seeds = st.integers(0, 2**32 - 1)


@settings(max_examples=150, deadline=None)
@given(seeds)
def test_boxes_meet_exactly_when_the_linear_programme_says_so(seed):
    rng = np.random.default_rng(seed)
    box, other = random_box(rng, spread=0.8), random_box(rng, spread=0.8)
    factor = box_factor(box, other)
    assume(abs(factor - 1) > MARGIN)
    assert meets_box(box, other) == (factor < 1)
    assert solid(box).meets_box(solid(other)) == (factor < 1)


@settings(max_examples=150, deadline=None)
@given(seeds)
def test_a_box_meets_a_triangle_exactly_when_the_linear_programme_says_so(seed):
    rng = np.random.default_rng(seed)
    box, triangle = random_box(rng, spread=0.6), rng.uniform(-1.5, 1.5, (3, 3))
    if rng.random() < 0.3:
        triangle[:, int(rng.integers(3))] = rng.uniform(-1, 1)  # parallel to a coordinate plane, as walls are
    factor = triangle_factor(box, triangle)
    assume(abs(factor - 1) > MARGIN)
    assert bool(boxes_meet_triangles(box[0][None], box[1], box[2], triangle[None])[0]) == (factor < 1)
    assert solid(box).meets_triangle(triangle) == (factor < 1)


@settings(max_examples=50, deadline=None)
@given(seeds)
def test_meeting_is_symmetric_and_unchanged_by_moving_both(seed):
    rng = np.random.default_rng(seed)
    box, other = random_box(rng, spread=0.8), random_box(rng, spread=0.8)
    assume(abs(box_factor(box, other) - 1) > MARGIN)
    turn, shift = Rotation.random(random_state=seed % 2**31).as_matrix(), rng.uniform(-3, 3, 3)
    moved = [(turn @ center + shift, turn @ rotation, half) for center, rotation, half in (box, other)]
    assert meets_box(box, other) == meets_box(other, box) == meets_box(*moved)


@settings(max_examples=30, deadline=None)
@given(seeds)
def test_many_places_at_once_give_what_each_gives_alone(seed):
    rng = np.random.default_rng(seed)
    _, rotation, half = random_box(rng, spread=1)
    centers, triangles = (
        rng.uniform(-3, 3, (40, 3)),
        rng.uniform(-3, 3, (1, 3, 3)) + rng.normal(size=(25, 3, 3)),
    )
    together = boxes_meet_triangles(centers, rotation, half, triangles)
    alone = [
        any(boxes_meet_triangles(center[None], rotation, half, triangle[None])[0] for triangle in triangles)
        for center in centers
    ]
    np.testing.assert_array_equal(together, alone)
    others = [random_box(rng, spread=3) for _ in range(6)]
    stacked = dict(
        zip(
            ("other_centers", "other_rotations", "other_half_extents"),
            (np.array(part) for part in zip(*others, strict=True)),
            strict=True,
        )
    )
    together = boxes_meet_boxes(centers, rotation, half, **stacked)
    np.testing.assert_array_equal(
        together, [any(meets_box((center, rotation, half), other) for other in others) for center in centers]
    )


def test_a_box_inside_another_and_a_triangle_inside_a_box_meet():
    big = (np.zeros(3), np.eye(3), np.ones(3))
    small = (np.array([0.2, 0.1, 0.0]), Rotation.from_euler("xyz", (1, 2, 3)).as_matrix(), np.full(3, 0.1))
    assert meets_box(big, small) and meets_box(small, big)
    assert solid(big).meets_box(solid(small)) and solid(small).meets_box(solid(big))
    triangle = np.array([(0, 0, 0), (0.1, 0, 0), (0, 0.1, 0)], dtype=float)
    assert boxes_meet_triangles(np.zeros((1, 3)), np.eye(3), np.ones(3), triangle[None])[0]
    assert solid(big).meets_triangle(triangle)


def test_a_flat_box_can_be_hit():
    # A sheet of paper has a half-extent of 0; it still may not stand in a wall.
    sheet = (np.zeros(3), Rotation.from_euler("xyz", (0.3, 0.2, 0.1)).as_matrix(), np.array([0.5, 0.5, 0.0]))
    wall = np.array([[(0.1, -3, -3), (0.1, 3, -3), (0.1, 0, 5)]], dtype=float)
    assert boxes_meet_triangles(sheet[0][None], sheet[1], sheet[2], wall)[0]
    assert not boxes_meet_triangles(sheet[0][None] - (0.5, 0, 0), sheet[1], sheet[2], wall)[0]
    assert meets_box(sheet, (np.array([0.2, 0.0, 0.0]), np.eye(3), np.full(3, 0.1)))


def test_bodies_that_touch_meet():
    one, beside = (np.zeros(3), np.eye(3), np.ones(3)), (np.array([2.0, 0, 0]), np.eye(3), np.ones(3))
    assert meets_box(one, beside)
    wall = np.array([[(1, -3, -3), (1, 3, -3), (1, 0, 5)]], dtype=float)
    assert boxes_meet_triangles(np.zeros((1, 3)), np.eye(3), np.ones(3), wall)[0]


def test_nothing_meets_in_an_empty_room():
    assert not boxes_meet_triangles(np.zeros((3, 3)), np.eye(3), np.ones(3), np.zeros((0, 3, 3))).any()


def test_a_box_without_a_place_meets_nothing():
    assert boxes_meet_triangles(np.zeros((0, 3)), np.eye(3), np.ones(3), np.zeros((5, 3, 3))).shape == (0,)


@given(st.tuples(*[st.floats(-np.pi, np.pi)] * 3), st.tuples(*[st.floats(0.1, 2)] * 3))
def test_a_box_holds_its_corners_and_its_cut_leaves_its_faces_whole(euler, half):
    rotation = Rotation.from_euler("xyz", euler).as_matrix()
    box = SolidBox(np.ones(3), rotation.T, np.array(half) * (1 + 1e-9))
    corners = box_corners(np.ones(3), rotation, np.array(half))
    assert all(box.holds(corner) for corner in corners)
    assert {tuple(np.round(c, 6)) for face in box.faces for c in face} == {
        tuple(np.round(c, 6)) for c in np.ones(3) + (corners - 1) * (1 + 1e-9)
    }
    for face in box.faces:
        edges = np.roll(face, -1, axis=0) - face
        assert np.linalg.norm(edges.sum(axis=0)) < 1e-9
        assert edges[0] @ edges[1] == pytest.approx(0, abs=1e-9)  # a rectangle, its corners in order
