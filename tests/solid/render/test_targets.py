"""Target pictures through real Blender: ids, areas alone, annotation, light, textures."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from experiments.solid.annotate import annotate
from experiments.solid.render import cycles
from experiments.solid.render.solo import solo_groups
from tests.solid.render.raytrace import at_edges, trace_ids
from tests.solid.render.worlds import WHITE, camera_at, placed, target_scene


@pytest.fixture(scope="module")
def rendered(renderer, crowd):
    return renderer.target(crowd)


def only(scene, *numbers, room=False):
    """The scene with some of its objects, by default without its room."""
    objects = tuple(scene.objects[i] for i in numbers)
    lights = tuple(dataclasses.replace(light, target=objects[0].name) for light in scene.lights)
    return dataclasses.replace(scene, objects=objects, lights=lights, room=scene.room if room else None)


def test_shapes_and_types(rendered, crowd):
    width, height = crowd.resolution
    assert rendered.rgb.shape == (height, width, 3) and rendered.rgb.dtype == np.uint8
    assert rendered.ids.shape == (height, width) and rendered.ids.dtype == np.int32
    assert rendered.solo_areas.shape == (len(crowd.objects),) and rendered.solo_areas.dtype == np.int32


def test_ids_equal_a_ray_tracer_but_for_edge_pixels(rendered, crowd, world):
    expected = trace_ids(crowd, world.meshes, world.rooms.rooms[0])
    assert set(np.unique(expected)) == {0, 1, 2, 3, 4, 5}
    differ = rendered.ids != expected
    assert not (differ & ~at_edges(expected)).any()
    assert differ.mean() < 0.002  # a sample lies within 0.005 pixels of where the ray went


def test_every_sample_annotates_within_its_bounds(rendered, crowd, world):
    """SOLID checks 1 to 3: boxes, masks, classes, shares."""
    found = annotate(rendered.ids, rendered.solo_areas, crowd)
    height, width = rendered.ids.shape
    assert len(found.bboxes) == len(np.unique(rendered.ids[rendered.ids > 0])) >= 1
    x1, y1, x2, y2, classes = found.bboxes.T
    assert ((x1 >= 0) & (x1 < x2) & (x2 <= width) & (y1 >= 0) & (y1 < y2) & (y2 <= height)).all()
    assert ((classes >= 0) & (classes < world.meshes.num_classes)).all()
    for shares in (found.visibility, found.mask_bbox_ratio):
        assert ((shares > 0) & (shares <= 1)).all()
    assert found.visibility.min() < 1  # this scene has occlusion in it


def test_a_visible_mask_lies_within_the_mask_alone(rendered, crowd, renderer):
    for number in range(len(crowd.objects)):
        alone = renderer.ids(only(crowd, number)) == 1
        assert not ((rendered.ids == number + 1) & ~alone).any()


def test_areas_alone_are_those_of_one_render_per_object(rendered, crowd, renderer):
    areas = [(renderer.ids(only(crowd, number)) == 1).sum() for number in range(len(crowd.objects))]
    assert rendered.solo_areas.tolist() == areas


def test_removing_the_nearest_object_never_lowers_visibility(crowd, renderer):
    places = np.array([placed_object.location for placed_object in crowd.objects])
    order = np.linalg.norm(places - crowd.camera.location, axis=1).argsort()
    before: dict[str, float] = {}
    for first in range(5):
        scene = only(crowd, *order[first:], room=True)
        result = renderer.target(scene)
        visible = np.bincount(result.ids.ravel(), minlength=len(scene.objects) + 1)[1:]
        for placed_object, pixels, alone in zip(scene.objects, visible, result.solo_areas, strict=True):
            share = pixels / alone if pixels else 0.0
            assert share >= before.get(placed_object.name, 0.0)
            before[placed_object.name] = share
    assert share == 1.0  # the last one is alone


def test_objects_in_one_group_do_not_touch_in_the_picture(crowd):
    groups = solo_groups(crowd)
    assert sorted(number for group in groups for number in group) == [0, 1, 2, 3, 4]
    assert len(groups) < 5


def test_a_hundred_objects_keep_their_exact_numbers(world, renderer):
    """The published colour cube holds 63 meshes."""
    spots = [(x, 0.0, z) for z in np.linspace(0.2, 1.9, 10) for x in np.linspace(-1.3, 1.3, 10)]
    objects = [placed(world.meshes, str(i), 0, spot, 0.12) for i, spot in enumerate(spots)]
    camera = camera_at((0.0, -5.0, 1.05), (0.0, 0.0, 1.05))
    scene = target_scene(objects, rooms=None, resolution=(160, 120), camera=camera)
    ids = renderer.ids(scene)
    assert np.unique(ids).tolist() == list(range(101))
    assert not ((ids != trace_ids(scene, world.meshes, None)) & ~at_edges(ids)).any()


@pytest.mark.parametrize("location", [(0.0, 0.0, 1.0), (1.1, 0.3, 1.8), (-1.4, 1.0, 0.3), (0.5, -2.5, 0.9)])
def test_a_small_object_is_at_the_pixel_that_the_layout_projects_it_to(location, world, renderer):
    scene = target_scene([placed(world.meshes, "0", 1, location, 0.15)], rooms=None, resolution=(160, 120))
    rows, columns = np.nonzero(renderer.ids(scene))
    seen = (np.array(location) - scene.camera.location) @ np.array(scene.camera.rotation)
    focal = 160 / (2 * np.tan(scene.fov / 2))
    x, y = 80 + focal * seen[0] / -seen[2], 60 - focal * seen[1] / -seen[2]
    assert abs(columns.mean() + 0.5 - x) < 0.5 and abs(rows.mean() + 0.5 - y) < 0.5


def test_an_object_outside_the_picture_has_no_pixel_and_no_area(world, renderer):
    objects = [placed(world.meshes, "0", 0, (0, 0, 1), 0.5), placed(world.meshes, "1", 0, (0, -8, 1), 0.5)]
    result = renderer.target(target_scene(objects, rooms=None))
    assert np.unique(result.ids).tolist() == [0, 1]
    assert result.solo_areas[1] == 0 and result.solo_areas[0] == (result.ids == 1).sum()


def solid_textures(world, crowd, **colors):
    """The crowd's room with one-coloured pictures on some of its materials."""
    textures = dict(crowd.room.textures)
    for material, color in colors.items():
        path = f"textures/{material}-{'-'.join(map(str, color))}.png"
        Image.new("RGB", (4, 4), color).save(world.rooms.folder / path)
        textures[{"wood": "wood_1"}.get(material, material)] = path
    return textures


def test_a_chosen_texture_changes_the_picture_and_not_the_ids(rendered, crowd, renderer, world):
    textures = solid_textures(world, crowd, brick=(200, 30, 30))
    room = dataclasses.replace(crowd.room, textures=textures)
    other = renderer.target(dataclasses.replace(crowd, room=room))
    assert np.array_equal(other.ids, rendered.ids)
    walls = other.rgb[:10, :, 0].astype(int) - other.rgb[:10, :, 1]
    assert np.median(walls) > 20
    assert not np.array_equal(other.rgb, rendered.rgb)


def test_a_ceiling_lights_the_room_and_is_itself_seen_as_a_plain_surface(crowd, renderer, world):
    black, white = (0, 0, 0), (255, 255, 255)
    dark = {"world": dataclasses.replace(WHITE, strength=0.0), "lights": ()}

    def look(strength, at, **colors):
        room = dataclasses.replace(
            crowd.room,
            textures=solid_textures(world, crowd, **colors),
            ceiling_strength={"Ceiling.001": strength},
        )
        camera = camera_at((0.0, -5.0, 3.0), at)
        return renderer.target(dataclasses.replace(crowd, room=room, camera=camera, **dark)).rgb.mean()

    floor = {"at": (0.0, 0.0, 0.0), "wood": white, "brick": white, "plaster": white}
    assert look(0.0, **floor) < 2
    assert 20 < look(0.5, **floor) < look(1.0, **floor)
    # Nothing but the ceiling reflects or emits here: were its emission seen, half the picture would be white.
    assert look(1.0, at=(0.0, 0.0, 5.0), wood=black, brick=black, plaster=white) < 30
    assert look(1.0, at=(0.0, 0.0, 0.0), wood=white, brick=black, plaster=black) < 2  # its emission is black


def test_the_published_procedure_sees_the_same(rendered, crowd, world):
    from experiments.solid.render.published import PublishedRenderer

    theirs = PublishedRenderer(world.config, world.meshes, world.rooms).target(crowd)
    assert np.array_equal(theirs.ids, rendered.ids)
    assert np.array_equal(theirs.solo_areas, rendered.solo_areas)
    # Not bit-equal: models imported anew are no instances of each other, which Cycles rounds differently.
    assert np.abs(theirs.rgb.astype(int) - rendered.rgb).mean() < 1


def test_only_the_part_of_a_picture_that_holds_a_group_is_rendered(crowd, monkeypatch, renderer):
    borders = []
    real = cycles.set_border
    monkeypatch.setattr(cycles, "set_border", lambda scene, part: (borders.append(part), real(scene, part)))
    areas = renderer.target(crowd).solo_areas
    assert borders and any((x2 - x1) * (y2 - y1) < 0.9 for x1, y1, x2, y2 in borders)
    monkeypatch.setattr(cycles, "set_border", lambda *_: None)
    assert (renderer.target(crowd).solo_areas == areas).all()
