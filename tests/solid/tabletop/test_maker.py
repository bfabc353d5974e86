"""The maker of tabletop: scenes, captions, textures, comparison. Without Blender."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.spatial.transform import Rotation

from assets.make import tabletop_rooms as rooms
from assets.make.tabletop_compare import compare, compare_sets, psnr
from assets.make.tabletop_plan import CONFIG, Plan, config_digest, pictures
from assets.make.tabletop_scene import (
    GAP,
    MAX_OVERLAP,
    MIN_SHARE_IN_VIEW,
    area,
    compose,
    draw_classes,
    intersection,
    shows_enough,
)
from assets.make.tabletop_set import caption
from experiments.solid.config import SolidConfig
from experiments.solid.layout.failure import LayoutFailure
from experiments.solid.layout.scene import Scene
from experiments.solid.library import MeshLibrary, Room, RoomLibrary, Surface
from suite.arrays import write_arrays
from suite.config import load_config
from suite.datasets import read_coco, write_coco
from suite.datasets.tabletop import TABLETOP, TABLETOP_SPLITS, tabletop_path
from suite.errors import BadInput

CORNERS = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=float) / 2
SHAPES = (
    ("mug", "mug", (0.5, 0.6, 0.9)),
    ("cone", "cone", (0.5, 0.5, 1.0)),
    ("milk", "carton", (0.3, 1.0, 0.3)),
    ("cereal", "carton", (0.6, 1.0, 0.2)),
    ("bread", "bread", (1.0, 0.8, 0.7)),
)


@pytest.fixture(scope="module")
def config() -> SolidConfig:
    return load_config(SolidConfig, CONFIG)


@pytest.fixture(scope="module")
def meshes(tmp_path_factory) -> MeshLibrary:
    """Boxes."""
    folder = tmp_path_factory.mktemp("clean")
    (folder / "models").mkdir()
    entries = []
    for number, (name, class_name, extent) in enumerate(SHAPES):
        npz = f"models/{number:05d}.npz"
        write_arrays(folder / npz, vertices=(CORNERS * extent).astype(np.float32))
        entries.append({"id": name, "class": class_name, "glb": "none", "npz": npz, "extent": extent})
    (folder / "classes.json").write_text(json.dumps(entries))
    return MeshLibrary.load(folder)


@pytest.fixture(scope="module")
def library(config) -> RoomLibrary:
    """Two octagons, scaled as the stage `rooms` does."""
    found = []
    for index in range(2):
        surfaces = rooms.octagon_room(np.random.default_rng(index))
        parts = [np.concatenate([s.quads[:, [0, 1, 2]], s.quads[:, [0, 2, 3]]]) for s in surfaces]
        side, height = config.rooms.footprint, config.rooms.height
        scale = np.array([side, side, height]) / (2 * rooms.HALF, 2 * rooms.HALF, rooms.HEIGHT)
        found.append(
            Room(
                id=f"{index:03d}",
                triangles=np.concatenate(parts) * scale,
                surface=np.repeat(np.arange(len(parts)), [len(part) for part in parts]),
                surfaces=tuple(Surface(s.name, s.name.rstrip("2"), (s.material,)) for s in surfaces),
                materials={s.material: (f"textures/{s.material}/wooden_00.png",) for s in surfaces},
                matrix=np.eye(4),
                glb=Path("none"),
            )
        )
    return RoomLibrary(Path("none"), tuple(found))


@pytest.fixture(scope="module")
def scenes(config, meshes, library) -> list[Scene]:
    """The first scene that comes off for each of 40 pictures."""
    return [first_scene(config, meshes, library, index) for index in range(40)]


def first_scene(config: SolidConfig, meshes: MeshLibrary, library: RoomLibrary, index: int) -> Scene:
    for attempt in range(200):
        words = {"split": "val", "seed": 0, "index": index, "attempt": attempt}
        try:
            return compose(config, rooms=library, meshes=meshes, **words)
        except LayoutFailure:
            continue
    raise AssertionError(f"no scene for picture {index}")


def corners(scene: Scene, meshes: MeshLibrary, number: int) -> np.ndarray:
    """World vertices (8, 3) of an object."""
    placed = scene.objects[number]
    turned = Rotation.from_euler("xyz", placed.euler).apply(meshes.vertices(placed.class_id) * placed.scale)
    return turned + placed.location


def rectangle(scene: Scene, points: np.ndarray) -> tuple[float, float, float, float]:
    """x1, y1, x2, y2 of world points in the picture, by the camera's matrix."""
    width, height = scene.resolution
    focal = width / (2 * np.tan(scene.fov / 2))
    local = (points - scene.camera.location) @ np.array(scene.camera.rotation)
    assert (local[:, 2] < 0).all()
    x = width / 2 + focal * local[:, 0] / -local[:, 2]
    y = height / 2 - focal * local[:, 1] / -local[:, 2]
    return x.min(), y.min(), x.max(), y.max()


def test_every_picture_finds_a_scene_with_as_many_objects_as_were_drawn(scenes, config):
    assert len(scenes) == 40
    low, high = config.layout.num_objects
    assert all(low <= len(scene.objects) == scene.attempted <= high for scene in scenes)
    assert len({len(scene.objects) for scene in scenes}) == high - low + 1


def test_objects_stand_on_the_floor_within_the_walls(scenes, meshes, config):
    for scene in scenes:
        for number in range(len(scene.objects)):
            points = corners(scene, meshes, number)
            assert points[:, 2].min() == pytest.approx(GAP, abs=1e-5)
            assert np.abs(points[:, :2]).max() < config.rooms.footprint / 2


def test_models_whose_file_has_z_up_stand_again_after_the_importers_turn(scenes, meshes):
    """The turn takes z to -y, so that what is long along y has to be turned back, and a cone has not."""
    tall = [
        np.ptp(corners(scene, meshes, number)[:, 2]) == pytest.approx(placed.size, rel=1e-4)
        for scene in scenes
        for number, placed in enumerate(scene.objects)
        if meshes.classes[placed.class_id]["id"] in ("cereal", "milk", "cone")
    ]
    assert len(tall) > 20
    assert all(tall)


def test_objects_are_in_view_and_do_not_hide_each_other(scenes, meshes):
    for scene in scenes:
        found = [rectangle(scene, corners(scene, meshes, k)) for k in range(len(scene.objects))]
        frame = (0.0, 0.0, *map(float, scene.resolution))
        for number, one in enumerate(found):
            seen = intersection(one, frame)
            assert area(seen) >= (MIN_SHARE_IN_VIEW - 1e-6) * area(one)
            for other in found[:number]:
                shared = intersection(one, other)
                assert shared is None or area(shared) <= (MAX_OVERLAP + 1e-6) * min(area(one), area(other))


def test_a_scene_depends_on_split_index_and_attempt_alone(config, meshes, library, scenes):
    first = scenes[3]
    words = {"seed": 0, "index": 3, "attempt": first.attempt}
    assert compose(config, rooms=library, meshes=meshes, split="val", **words).to_json() == first.to_json()
    for change in ({"split": "test"}, {"split": "val", "attempt": first.attempt + 1}):
        try:
            other = compose(config, rooms=library, meshes=meshes, **{**words, **change})
        except LayoutFailure:
            continue
        assert other.camera != first.camera


def test_classes_are_drawn_alike_whatever_the_number_of_their_meshes(config, meshes, library):
    rng = np.random.default_rng(0)
    drawn = np.bincount([k for _ in range(4000) for k in draw_classes(rng, config, meshes, 3)], minlength=5)
    shares = np.array([drawn[0], drawn[1], drawn[2] + drawn[3], drawn[4]]) / drawn.sum()
    assert np.abs(shares - 0.25).max() < 0.02
    assert abs(drawn[2] - drawn[3]) < 0.15 * drawn[2]


def test_captions_count_and_use_the_right_articles(scenes):
    scene = scenes[0]
    one = scene.objects[0]
    names = ("mug", "cone", "carton", "carton", "bread")
    textures = {"floor_1": "textures/floor/tiled_12.png", "wall_1": "textures/wall/lined_04.png"}

    def said(*class_ids: int) -> str:
        objects = tuple(replace(one, class_id=k) for k in class_ids)
        return caption(replace(scene, objects=objects, room=replace(scene.room, textures=textures)), names)

    assert said(0, 2, 3) == "a mug and two cartons on a tiled floor"
    assert said(4, 1) == "a loaf of bread and a cone on a tiled floor"
    assert said(1, 4, 4, 1, 0) == "two cones, two loaves of bread and a mug on a tiled floor"
    assert said(1, 1, 1) == "three cones on a tiled floor"


def test_an_object_that_hardly_shows_makes_a_scene_unfit():
    boxes = np.array([[0, 0, 20, 30], [40, 40, 60, 55]])
    assert shows_enough(boxes, np.array([400, 200]))
    assert not shows_enough(boxes, np.array([400, 119]))
    assert not shows_enough(np.array([[0, 0, 20, 30], [40, 40, 49, 90]]), np.array([400, 200]))
    assert not shows_enough(np.array([[0, 0, 20, 30], [192, 144, 0, 0]]), np.array([400, 0]))


def test_textures_are_the_same_every_time_tile_and_differ_from_each_other():
    drawn, again = rooms.draw_textures(0), rooms.draw_textures(0)
    assert all((drawn[name] == again[name]).all() for name in drawn)
    assert len({picture.tobytes() for picture in drawn.values()}) == len(drawn) > 20
    for name, picture in drawn.items():
        assert picture.shape == (rooms.SIDE, rooms.SIDE, 3)
        inside = np.abs(np.diff(picture.astype(int), axis=0)).mean(axis=(1, 2)).max()
        across = np.abs(picture[0].astype(int) - picture[-1]).mean()
        assert across <= 1.3 * inside + 3, name


@given(count=st.integers(3, 700))
def test_a_smaller_count_takes_the_first_pictures_of_every_split(count):
    chosen = pictures(count)
    assert len(chosen) == len(set(chosen)) == count
    for split, size in TABLETOP_SPLITS.items():
        indices = [index for name, index in chosen if name == split]
        assert indices == list(range(len(indices)))
        assert 1 <= len(indices) <= size


@pytest.mark.parametrize("count", [-1, 0, 2, 701])
def test_a_count_without_sense_is_refused(count):
    with pytest.raises(BadInput, match="choose 3 to 700"):
        pictures(count)


def test_the_digest_of_the_settings_ignores_where_the_rooms_lie_and_what_others_read(config):
    moved = replace(
        config, rooms=replace(config.rooms, folder="/elsewhere"), store=replace(config.store, num_images=7)
    )
    assert config_digest(moved) == config_digest(config)
    other = replace(config, layout=replace(config.layout, max_tries=3))
    assert config_digest(other) != config_digest(config)


def test_another_setting_or_package_gets_checkpoints_of_its_own(config, tmp_path):
    pytest.importorskip("bpy", reason="the key names Blender's version")
    plan = Plan.of(tmp_path, config)
    other = Plan.of(tmp_path, replace(config, render=replace(config.render, samples=1)))
    assert plan.checkpoints("val") != other.checkpoints("val")


# --- comparison ---


@pytest.fixture
def made(tmp_path) -> Path:
    """The first pictures of the shipped set, as if rendered again."""
    for split in TABLETOP_SPLITS:
        json_path, images_dir = tabletop_path(split)
        coco = read_coco(json_path)
        images = coco.images[:2]
        rows = tuple(row for image in images for row in coco.annotations_by_image[image.id])
        write_coco(tmp_path / f"{split}.json", replace(coco, images=images, annotations=rows))
        (tmp_path / "images" / split).mkdir(parents=True)
        for image in images:
            shutil.copy(images_dir / image.file_name, tmp_path / "images" / split)
    return tmp_path


def test_the_shipped_set_equals_itself(made, capsys):
    assert compare(made, TABLETOP) == 0
    assert "6 pictures" in capsys.readouterr().out


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_another_caption_class_box_mask_or_id_is_a_difference(made, capsys):
    first = read_coco(made / "val.json").annotations[0]
    x, y, width, height = (f"{side:.1f}" for side in first.box_xywh)
    original = (made / "val.json").read_text()
    for old, new, word in (
        (" floor\"", " ground\"", "caption"),
        (f'"category_id": {first.category_id},', f'"category_id": {first.category_id % 10 + 1},', "categ"),
        (f"[{x}, {y}, {width}, {height}]", f"[{x}, {y}, {width}, {float(height) - 1}]", "box_xywh"),
        ('"id": 1, "image_id": 1', '"id": 9001, "image_id": 1', "differ"),
    ):  # fmt: skip
        change(made / "val.json", old, new)
        assert compare(made, TABLETOP) == 1, old
        assert word in capsys.readouterr().out
        (made / "val.json").write_text(original)
    assert compare(made, TABLETOP) == 0


def test_another_picture_is_a_difference_and_a_little_noise_is_not(made):
    path = made / "images" / "test" / "000001.jpg"
    with Image.open(path) as picture:
        pixels = np.asarray(picture).astype(int)
    noisy = np.clip(pixels + np.random.default_rng(0).integers(-2, 3, pixels.shape), 0, 255).astype(np.uint8)
    Image.fromarray(noisy).save(path, format="PNG")
    outcome = compare_sets(made, TABLETOP)
    assert not outcome.differences
    assert 40 < outcome.min_psnr < 50
    assert outcome.equal_pixels == 5
    Image.fromarray(pixels[:, ::-1].astype(np.uint8)).save(path, format="PNG")
    outcome = compare_sets(made, TABLETOP)
    assert len(outcome.differences) == 1
    assert "test/000001.jpg: PSNR" in outcome.differences[0]


def test_a_picture_of_more_than_is_shipped_is_a_difference(made):
    text = (made / "val.json").read_text().replace('"image_id": 2,', '"image_id": 4711,').replace(
        '"height": 144, "id": 2,', '"height": 144, "id": 4711,'
    )  # fmt: skip
    (made / "val.json").write_text(text)
    assert any("not in the shipped set" in line for line in compare_sets(made, TABLETOP).differences)


@settings(deadline=None, max_examples=20)
@given(offset=st.integers(1, 60))
def test_psnr_of_a_constant_error_is_its_closed_form(offset):
    one = np.full((8, 8, 3), 100, np.uint8)
    assert psnr(one, one + np.uint8(offset)) == pytest.approx(20 * np.log10(255 / offset))
    assert psnr(one, one) == np.inf
