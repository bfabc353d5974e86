"""Rotations and projection against SciPy and against themselves backwards."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from experiments.solid.layout.camera import Pinhole
from experiments.solid.layout.geometry import box_corners, euler_matrix, look_at_matrix

angles = st.tuples(*[st.floats(-np.pi, np.pi)] * 3)
coordinates = st.tuples(*[st.floats(-5, 5)] * 3)


@given(angles)
def test_euler_angles_are_about_fixed_axes_in_the_order_x_y_z(euler):
    np.testing.assert_allclose(euler_matrix(euler), Rotation.from_euler("xyz", euler).as_matrix(), atol=1e-12)


@given(coordinates, coordinates)
def test_a_camera_looks_at_its_target_upright(location, target):
    if np.hypot(target[0] - location[0], target[1] - location[1]) < 1e-3:
        return  # a vertical view has no upright
    rotation = look_at_matrix(np.array(location), np.array(target))
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-9)
    assert np.linalg.det(rotation) == pytest.approx(1)
    aim = np.subtract(target, location)
    np.testing.assert_allclose(rotation.T @ aim, (0, 0, -np.linalg.norm(aim)), atol=1e-9)
    assert abs(rotation[2, 0]) < 1e-12 and rotation[2, 1] > 0  # no roll, head up


def pinhole(location=(4.0, -3.0, 1.5), target=(0.5, 0.2, 1.0), resolution=(160, 120)):
    location = np.array(location)
    return Pinhole(location, look_at_matrix(location, np.array(target)), 0.691111, resolution)


@given(st.floats(0, 160), st.floats(0, 120), st.floats(0.2, 50))
def test_a_pixel_and_a_depth_come_back_through_the_projection(x, y, depth):
    camera = pinhole()
    plane = (np.array([x / 160, y / 120]) * 2 - 1) * (1, -1) * camera.tangents * depth
    world = camera.rotation @ np.array([*plane, -depth]) + camera.location
    local = camera.to_camera(world)
    np.testing.assert_allclose(camera.pixels(local), (x, y), atol=1e-6)
    assert -local[2] == pytest.approx(depth)


def test_the_published_lens_sees_30_219_degrees_vertically_at_4_to_3():
    # Published code: 39.598 degrees horizontally.
    np.testing.assert_allclose(2 * np.degrees(np.arctan(pinhole().tangents)), (39.598, 30.219), atol=1e-3)


def test_what_projects_into_the_image_is_what_the_camera_sees():
    camera = pinhole()
    points = np.random.default_rng(0).uniform(-6, 6, (5000, 3))
    local = camera.to_camera(points)
    front = local[:, 2] < 0
    pixels = camera.pixels(local[front])
    inside = ((pixels >= 0) & (pixels <= camera.resolution)).all(axis=1)
    assert 50 < inside.sum() < 4000
    np.testing.assert_array_equal(camera.sees(local)[front], inside)
    assert not camera.sees(local)[~front].any()


def test_a_rectangle_encloses_the_pixels_of_its_points():
    camera = pinhole()
    points = np.random.default_rng(1).uniform(-0.4, 0.4, (200, 3)) + (0.5, 0.2, 1.0)
    pixels = camera.pixels(camera.to_camera(points))
    np.testing.assert_allclose(camera.rectangle(points), [*pixels.min(axis=0), *pixels.max(axis=0)])


def test_a_rectangle_is_clamped_to_the_image():
    x1, y1, x2, y2 = pinhole().rectangle(box_corners(np.array([0.5, 0.2, 1.0]), np.eye(3), np.full(3, 2.5)))
    assert (x1, y1, x2, y2) == (0, 0, 160, 120)


def test_nothing_behind_the_camera_has_a_rectangle():
    camera = pinhole()
    behind = camera.location + camera.rotation[:, 2] * 2
    assert camera.rectangle(box_corners(behind, np.eye(3), np.full(3, 0.5))) is None


def test_nothing_beside_the_image_has_a_rectangle():
    camera = pinhole()
    beside = camera.location - camera.rotation[:, 2] * 2 + camera.rotation[:, 0] * 5
    assert camera.rectangle(box_corners(beside, np.eye(3), np.full(3, 0.5))) is None


@given(st.floats(-0.6, 0.6), st.floats(0.0, 0.3))
def test_a_body_across_the_camera_plane_covers_what_a_dense_sample_of_it_covers(side, ahead):
    # A rod from behind the camera to in front of it: the division by a negative depth must not turn it round.
    camera = pinhole()
    start = np.array([side, 0.1, 1.0])
    end = np.array([0.2, 0.05, -1 - ahead])
    rod = np.array([start, end]) @ camera.rotation.T + camera.location
    sample = start + np.linspace(0, 1, 20001)[:, None] * (end - start)
    pixels = camera.pixels(sample[sample[:, 2] <= -0.1])
    low, high = np.maximum(pixels.min(axis=0), 0), np.minimum(pixels.max(axis=0), camera.resolution)
    found = camera.rectangle(rod)
    if found is None:
        assert (low >= high - 1e-9).any()
    else:
        np.testing.assert_allclose(found, [*low, *high], atol=0.5)  # the sample's spacing at the near plane
