"""The three-point light rig of a target picture (SOLID, lights): key, fill, back, aimed at one object.

Lights stand over columns of the empty room about as far from the origin as the camera, so a light may be
inside an object, as in the published code. The fill light keeps to the key light's side, the back light to
the side opposite the camera. A back light without a place is left out; without a place for the
key light the scene is drawn again.
"""

from __future__ import annotations

import numpy as np

from experiments.solid.config import SolidConfig
from experiments.solid.layout.failure import LayoutFailure
from experiments.solid.layout.geometry import euler_matrix
from experiments.solid.layout.grid import RoomGrid
from experiments.solid.layout.scene import AreaLight

RADIUS_SHARE = (0.8, 1.0)  # of the camera's horizontal distance from the origin
KEY_HEIGHT, FILL_HEIGHT, BACK_HEIGHT = (2.0, 5.0), (0.1, 1.0), (6.0, 10.0)
FILL_WEDGE, BACK_WEDGE = np.radians(60), np.radians(30)  # half-angles
DEFAULT_SIZE, SPREAD = 0.25, float(np.pi)  # Blender's default area light; only the key light's size is drawn


def in_wedge(points: np.ndarray, direction: np.ndarray, half_angle: float) -> np.ndarray:
    """Whether points (N, 3) lie in the wedge of `direction` (3,) turned about z by +- half_angle.

    The published test uses the full vectors, heights included: with a, b the two sides of the wedge, v is
    inside if (a x v).(a x b) > 0 and (b x v).(b x a) > 0. A high light therefore has a narrower wedge over
    the floor.
    """
    a = euler_matrix((0, 0, -half_angle)) @ direction
    b = euler_matrix((0, 0, half_angle)) @ direction
    across = np.cross(a, b)
    return (np.cross(a, points) @ across > 0) & (np.cross(b, points) @ -across > 0)


def _draw_location(rng: np.random.Generator, columns: np.ndarray, heights: tuple[float, float]) -> np.ndarray:
    """A place over a random column (N, 4), between its ends and the height range.

    Where these do not overlap (a back light under a 6-unit ceiling) the height lies between the two.
    """
    x, y, floor, ceiling = columns[rng.integers(len(columns))]
    ends = max(floor, heights[0]), min(ceiling, heights[1])
    return np.array([x, y, rng.uniform(min(ends), max(ends))])


def three_point_lights(
    rng: np.random.Generator,
    config: SolidConfig,
    *,
    grid: RoomGrid,
    camera_location: np.ndarray,
    targets: list[str],
) -> tuple[AreaLight, ...]:
    """Two or three area lights at one of the named objects. Raises LayoutFailure without a place."""
    layout = config.layout
    target = targets[rng.integers(len(targets))]
    radius = np.hypot(grid.columns[:, 0], grid.columns[:, 1])
    limits = np.array(RADIUS_SHARE) * np.hypot(*camera_location[:2])
    columns = grid.columns[(radius >= limits[0]) & (radius <= limits[1])]
    if not len(columns):
        raise LayoutFailure("no place for the key light")
    lights = []

    def add(role: str, location: np.ndarray, energy: tuple[float, float], size: float) -> None:
        lights.append(
            AreaLight(
                role=role,
                location=tuple(location.tolist()),
                target=target,
                energy=float(rng.uniform(*energy)),
                size=size,
                spread=SPREAD,
            )
        )

    key = _draw_location(rng, columns, KEY_HEIGHT)
    add("key", key, layout.key_light_energy, float(rng.uniform(*layout.key_light_size)))
    # Never empty: the key light's own column is in its wedge.
    beside = columns[in_wedge(columns[:, :3], key, FILL_WEDGE)]
    add("fill", _draw_location(rng, beside, FILL_HEIGHT), layout.fill_light_energy, DEFAULT_SIZE)
    opposite = camera_location * (-1, -1, 1)
    behind = columns[in_wedge(columns[:, :3], opposite, BACK_WEDGE)]
    if len(behind):
        add("back", _draw_location(rng, behind, BACK_HEIGHT), layout.back_light_energy, DEFAULT_SIZE)
    return tuple(lights)
