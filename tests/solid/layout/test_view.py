"""The cells in view: the same as by a test of every cell, for any camera."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.solid.layout.camera import Pinhole
from experiments.solid.layout.geometry import euler_matrix, look_at_matrix
from experiments.solid.layout.grid import room_grid
from experiments.solid.layout.view import row_ranges, seen_cells


def by_testing_every_cell(grid, camera, valid):
    cells = np.flatnonzero(valid)
    return cells[camera.sees(camera.to_camera(grid.coordinates(cells)))]


def assert_same(grid, camera, valid):
    cells, local = seen_cells(grid, camera, valid)
    np.testing.assert_array_equal(cells, by_testing_every_cell(grid, camera, valid))
    np.testing.assert_allclose(local, camera.to_camera(grid.coordinates(cells)), atol=1e-12)
    return len(cells)


coordinate = st.floats(-7, 7)
angle = st.floats(-np.pi, np.pi)


@settings(max_examples=60, deadline=None)
@given(
    location=st.tuples(coordinate, coordinate, coordinate),
    euler=st.tuples(angle, angle, angle),
    fov=st.floats(0.1, 2.5),
    holes=st.integers(0, 2**31),
)
def test_every_camera_sees_what_a_test_of_every_cell_says(rooms, location, euler, fov, holes):
    grid = room_grid(rooms.rooms[1], 12.0, 2)
    camera = Pinhole(np.array(location), euler_matrix(np.array(euler)), fov, (64, 48))
    valid = grid.valid & (np.random.default_rng(holes).random(grid.valid.shape) < 0.7)
    assert_same(grid, camera, valid)


@pytest.mark.parametrize("target", [(1, 0, 1), (-1, 0, 1), (0, 1, 1), (0, -1, 1), (3, 3, 1)])
def test_cameras_along_the_axes_of_the_grid_see_what_a_test_of_every_cell_says(rooms, target):
    grid = room_grid(rooms.rooms[0], 12.0, 4)
    location = np.array([0.0, 0.0, 1.0])
    camera = Pinhole(location, look_at_matrix(location, np.array(target)), np.pi / 2, (64, 64))
    assert assert_same(grid, camera, grid.valid) > 1000


def test_rows_beside_the_view_are_left_out_without_a_look_at_their_cells(rooms):
    grid = room_grid(rooms.rooms[0], 12.0, 4)
    location = np.array([-5.0, 0.0, 1.0])
    camera = Pinhole(location, look_at_matrix(location, np.array([0.0, 0.0, 1.0])), 0.69, (64, 48))
    first, last = row_ranges(grid, camera)
    looked_at = np.maximum(last - first + 1, 0).sum()
    seen = len(by_testing_every_cell(grid, camera, np.ones_like(grid.valid)))
    assert seen <= looked_at < 1.5 * seen < 0.5 * grid.valid.size
