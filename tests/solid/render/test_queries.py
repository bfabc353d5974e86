"""Query views through real Blender."""

import numpy as np

from experiments.solid.annotate import crop_query
from tests.solid.render.worlds import query_scene


def test_every_class_has_views_that_differ_and_crops_that_touch_the_mask(world, renderer):
    """SOLID check 8."""
    for class_id in range(world.meshes.num_classes):
        views = renderer.query(query_scene(world.meshes, class_id))
        assert len(views) == 4
        for view in views:
            assert view.rgb.shape == (32, 32, 3) and view.mask.shape == (32, 32) and view.mask.any()
            rows, columns = np.nonzero(view.mask)
            crop = crop_query(view)
            assert crop.shape == (np.ptp(rows) + 1, np.ptp(columns) + 1, 3)
        assert len({view.rgb.tobytes() for view in views}) == 4


def test_a_view_rendered_again_is_identical(world, renderer, crowd):
    first = renderer.query(query_scene(world.meshes, 2))
    renderer.target(crowd)
    second = renderer.query(query_scene(world.meshes, 2))
    for a, b in zip(first, second, strict=True):
        assert np.array_equal(a.rgb, b.rgb) and np.array_equal(a.mask, b.mask)


def test_nothing_of_a_room_rendered_before_is_in_a_query(world, renderer, crowd):
    renderer.target(crowd)
    (view, *_) = renderer.query(query_scene(world.meshes, 1))
    around = view.rgb[~view.mask]
    corner = np.concatenate([view.rgb[:3, :3].reshape(-1, 3), view.rgb[-3:, -3:].reshape(-1, 3)])
    assert np.ptp(corner, axis=0).max() <= 15  # the grey world; the denoiser leaves a few levels in it
    assert np.abs(np.median(around, axis=0) - np.median(corner, axis=0)).max() <= 5


def test_the_light_moves_with_the_camera(world, renderer):
    brightness = [v.rgb[v.mask].mean() for v in renderer.query(query_scene(world.meshes, 1))]
    assert max(brightness) < 1.3 * min(brightness)  # every side of the ball faces a light
