"""The voxel grid against closed forms, and "fits" against dense references."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_erosion
from scipy.signal import fftconvolve
from scipy.spatial.transform import Rotation

from experiments.solid.layout.failure import LayoutFailure
from experiments.solid.layout.grid import FreeSpace, box_lattice, room_grid
from experiments.solid.layout.surfaces import horizontal_patches

seeds = st.integers(0, 2**32 - 1)


def dense_kernel(rotation, half_extents, stride):
    """All offsets inside the widened box, one by one: odd counts, (2kz+1, 2ky+1, 2kx+1) bool."""
    reach = int(np.ceil((np.linalg.norm(half_extents) + stride) / stride))
    steps = np.arange(-reach, reach + 1)
    z, y, x = np.meshgrid(steps, steps, steps, indexing="ij")
    local = np.stack([x, y, z], axis=-1) * stride @ rotation
    return (np.abs(local) <= half_extents + stride / 2 + 1e-9).all(axis=-1)


def random_pose(rng, largest=0.9):
    turn = Rotation.random(random_state=int(rng.integers(2**31))).as_matrix()
    return (np.eye(3) if rng.random() < 0.15 else turn), rng.uniform(0, largest, 3) * rng.integers(0, 2, 3)


@settings(max_examples=100, deadline=None)
@given(seeds)
def test_the_runs_of_a_lattice_are_the_points_inside_the_widened_box(seed):
    rotation, half = random_pose(np.random.default_rng(seed))
    lattice = box_lattice(rotation, half, 0.2)
    kernel = dense_kernel(rotation, half, 0.2)
    middle = kernel.shape[0] // 2
    rebuilt = np.zeros_like(kernel)
    for dz, dy, first, last in zip(lattice.dz, lattice.dy, lattice.first, lattice.last, strict=True):
        rebuilt[middle + dz, middle + dy, middle + first : middle + last + 1] = True
    np.testing.assert_array_equal(rebuilt, kernel)
    assert lattice.size == kernel.sum() >= 1
    assert kernel[middle, middle, middle]
    np.testing.assert_array_equal(kernel, kernel[::-1, ::-1, ::-1])  # centred


@settings(max_examples=40, deadline=None)
@given(seeds)
def test_fits_passes_the_same_cells_as_a_dense_erosion_and_an_fft_correlation(seed):
    rng = np.random.default_rng(seed)
    valid = rng.random((12, 15, 17)) < 0.97
    valid[:, 3:9, 4:13] |= rng.random() < 0.5
    rotation, half = random_pose(rng)
    kernel = dense_kernel(rotation, half, 0.25)
    fits = (
        FreeSpace(valid).fits(np.arange(valid.size), box_lattice(rotation, half, 0.25)).reshape(valid.shape)
    )
    np.testing.assert_array_equal(fits, binary_erosion(valid, kernel, border_value=0))
    # The published procedure, with a threshold in place of the float equality.
    inside = fftconvolve(valid.astype(np.float64), kernel[::-1, ::-1, ::-1].astype(np.float64), mode="full")
    middle = kernel.shape[0] // 2
    inside = inside[tuple(slice(middle, middle + size) for size in valid.shape)]
    np.testing.assert_array_equal(fits, inside > kernel.sum() - 0.5)


@settings(max_examples=40, deadline=None)
@given(seeds)
def test_carving_occupies_the_box_and_nothing_else(seed):
    rng = np.random.default_rng(seed)
    space = FreeSpace(np.ones((14, 15, 16), bool))
    rotation, half = random_pose(rng, largest=0.6)
    lattice = box_lattice(rotation, half, 0.25)
    fitting = np.flatnonzero(space.fits(np.arange(space.valid.size), lattice))
    if not fitting.size:
        return
    cell = int(rng.choice(fitting))
    space.carve(cell, lattice)
    points = np.stack(np.unravel_index(np.arange(space.valid.size), space.shape)[::-1], axis=-1)
    local = (points - points[cell]) * 0.25 @ rotation
    expected = ~(np.abs(local) <= half + 0.125 + 1e-9).all(axis=1)
    np.testing.assert_array_equal(space.valid.ravel(), expected)
    fresh = FreeSpace(space.valid)  # the running index was renewed where it had to be
    other = box_lattice(*random_pose(rng, largest=0.6), 0.25)
    cells = np.arange(space.valid.size)
    np.testing.assert_array_equal(space.fits(cells, other), fresh.fits(cells, other))


@pytest.mark.parametrize("half", [(0.0, 0.0, 0.0), (1e-4, 1e-4, 0.4), (0.0, 0.5, 0.5)])
def test_small_and_thin_boxes_still_occupy_cells(half):
    # The published lattice starts at a corner and is empty for these.
    rotation = Rotation.from_euler("xyz", (0.5, 0.4, 0.3)).as_matrix()
    space = FreeSpace(np.ones((9, 9, 9), bool))
    space.carve(4 * 81 + 4 * 9 + 4, box_lattice(rotation, np.array(half), 0.255))
    assert not space.valid[4, 4, 4]


def test_a_box_room_is_free_between_floor_and_ceiling(make_rooms):
    room = make_rooms({"plain": {}}).rooms[0]
    grid = room_grid(room, 12.0, 4)
    assert grid.stride == pytest.approx(12 / 47)
    assert grid.valid.all()
    assert (grid.x[0], grid.x[-1], grid.y[0], grid.y[-1], grid.z[0]) == (-6, 6, -6, 6, 0)
    assert grid.z[-1] <= 6 < grid.z[-1] + grid.stride
    assert len(grid.columns) == 48 * 48
    np.testing.assert_allclose(grid.columns[:, 2:], np.tile([0, grid.z[-1]], (48 * 48, 1)))


def test_without_a_ceiling_a_room_is_free_to_the_top_of_the_grid(make_rooms):
    grid = room_grid(make_rooms({"open": {"ceiling": False}}).rooms[0], 12.0, 4)
    assert grid.z[-1] == 12 and grid.valid.all()


def test_the_highest_floor_counts(make_rooms):
    grid = room_grid(make_rooms({"stepped": {"platform": 0.7}}).rooms[0], 12.0, 4)
    x, y, floor, _ = grid.columns.T
    on_step = (x > 0) & (y > 0)
    np.testing.assert_allclose(floor[~on_step], 0)
    np.testing.assert_allclose(floor[on_step], np.ceil(0.7 / grid.stride) * grid.stride)


def test_coordinates_are_those_of_the_cell(make_rooms):
    grid = room_grid(make_rooms({"plain": {}}).rooms[0], 12.0, 4)
    cells = np.random.default_rng(0).integers(grid.valid.size, size=50)
    for cell, (x, y, z) in zip(cells, grid.coordinates(cells), strict=True):
        k, j, i = np.unravel_index(cell, grid.valid.shape)
        assert (x, y, z) == (grid.x[i], grid.y[j], grid.z[k])


def test_a_ceiling_under_the_floor_leaves_nothing_free(make_rooms):
    room = make_rooms({"flat": {"height": -1.0}}).rooms[0]
    with pytest.raises(LayoutFailure, match="no free cell"):
        room_grid(room, 12.0, 4)


def quad(x, y, z, size):
    corners = [(x, y, z), (x + size, y, z), (x + size, y + size, z), (x, y + size, z)]
    return np.array([[corners[i] for i in (0, 1, 2)], [corners[i] for i in (0, 2, 3)]], dtype=float)


def test_patches_are_joined_over_edges_and_not_over_corners():
    mesh = np.concatenate([quad(0, 0, 0, 1), quad(1, 0, 0, 1), quad(2, 1, 0, 1), quad(5, 5, 2, 1)])
    assert sorted(len(patch) for patch in horizontal_patches(mesh)) == [2, 2, 4]


def test_small_patches_steep_faces_and_faces_without_area_are_left_out():
    ramp = quad(0, 0, 0, 1) @ Rotation.from_euler("x", 30, degrees=True).as_matrix().T
    gentle = quad(0, 3, 0, 1) @ Rotation.from_euler("x", 25, degrees=True).as_matrix().T
    line = np.zeros((1, 3, 3))
    small = quad(7, 7, 0, 0.3)  # area 0.09 < 0.1
    patches = horizontal_patches(np.concatenate([ramp, gentle, line, small, quad(9, 9, 0, 0.4)[:, ::-1]]))
    assert len(patches) == 2  # the gentle slope and the large patch, which faces down
    np.testing.assert_allclose(patches[0], gentle)
