"""Damaged files, promised devices, memory, temporary files."""

import dataclasses
import json
import os
import shutil

import bpy
import numpy as np
import psutil
import pytest

from experiments.solid.library import MeshLibrary, RoomLibrary
from experiments.solid.render import cycles
from experiments.solid.render.importing import COLLECTIONS
from experiments.solid.render.quiet import quiet, run_operator
from experiments.solid.render.renderer import Renderer
from experiments.solid.render.scratch import PREFIX, Scratch, sweep
from experiments.solid.store.samples import TargetSample
from experiments.solid.targets import TargetMaker
from suite.errors import EXIT_MISSING, BadInput, Missing
from tests.solid.render.worlds import placed, query_scene, target_scene, tiny_config

SMALL_CACHE = 40_000  # bytes: less than the models of the small world, so that some are loaded again


def block_counts() -> dict[str, int]:
    return {kind: len(getattr(bpy.data, kind)) for kind in COLLECTIONS}


def test_memory_is_flat_over_many_scenes(renderer, world):
    rng = np.random.default_rng(3)
    counts, resident = [], []
    for _ in range(30):
        objects = [
            placed(
                world.meshes, str(i), i % 3, rng.uniform((-1, -1, 0.5), (1, 2, 2)), 0.5, rng.uniform(-3, 3, 3)
            )
            for i in range(4)
        ]
        renderer.target(target_scene(objects, rooms=world.rooms))
        counts.append(block_counts())
        resident.append(psutil.Process().memory_info().rss)
    assert all(count == counts[0] for count in counts)
    assert resident[-1] - resident[9] < 16 << 20  # bytes; what twenty scenes may leave in the allocator


@pytest.mark.slow
def test_memory_is_flat_over_a_thousand_pictures_of_a_shard(world):
    """Composed, rendered, annotated and packed as by the stage, in a process whose caches run over."""
    render = dataclasses.replace(world.config.render, resolution=(32, 24), samples=1, denoise=False)
    config = dataclasses.replace(world.config, render=render)
    maker = TargetMaker(config, world.meshes, world.rooms, seed=5)
    renderer = Renderer(config, world.meshes, world.rooms, cache_bytes=SMALL_CACHE)
    assert sum(len(np.unique(maker.make(index, renderer).bboxes[:, 4])) for index in range(10)) > 15
    resident, names = [], []
    for index in range(10, 1000):
        assert isinstance(maker.make(index, renderer), TargetSample)
        names.append(sum(block_counts().values()))
        resident.append(psutil.Process().memory_info().rss)
    assert max(names) <= max(names[:100]) + 5  # data-blocks of Blender
    quarter = len(resident) // 4
    growth = np.median(resident[-quarter:]) - np.median(resident[:quarter])
    assert growth < 16 << 20  # bytes: a leak of 32 kB a picture would show


def test_a_cache_without_budget_keeps_nothing(world, crowd):
    renderer = Renderer(world.config, world.meshes, world.rooms, cache_bytes=0)
    renderer.target(crowd)  # the first picture leaves Blender's "Render Result"
    before = block_counts()
    renderer.target(crowd)
    assert block_counts() == before


@pytest.fixture
def spoiled(world, tmp_path):
    """A copy of the world to damage, and a function that renders the crowd with it."""
    shutil.copytree(world.folder, tmp_path, dirs_exist_ok=True)

    def render(scene):
        meshes, rooms = MeshLibrary.load(tmp_path / "clean"), RoomLibrary.load(tmp_path / "rooms")
        return Renderer(world.config, meshes, rooms).target(scene)

    return tmp_path, render


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    "name, damage, error",
    [
        ("clean/models/00001.glb", os.remove, Missing),
        ("clean/models/00001.glb", cut, BadInput),
        ("clean/models/00001.npz", cut, BadInput),
        ("rooms/models/000.glb", os.remove, Missing),
        ("rooms/models/000.glb", cut, BadInput),
        ("rooms/textures/brick/0.jpg", os.remove, Missing),
        ("rooms/textures/brick/0.jpg", cut, BadInput),
    ],
)
def test_a_damaged_file_is_named_with_the_remedy(spoiled, crowd, name, damage, error):
    folder, render = spoiled
    damage(folder / name)
    with pytest.raises(error) as caught:
        render(crowd)
    assert str(folder / name) in str(caught.value) and "; " in str(caught.value)


def test_geometry_that_differs_between_glb_and_npz_is_refused(spoiled, crowd, world):
    folder, render = spoiled
    grown = world.meshes.vertices(1) * 1.01
    np.savez(folder / "clean/models/00001.npz", vertices=grown, faces=np.zeros((0, 3)))
    with pytest.raises(BadInput, match="differs from the .npz"):
        render(crowd)


def test_a_room_with_other_objects_than_listed_is_refused(spoiled, crowd):
    folder, render = spoiled
    content = json.loads((folder / "rooms/rooms.json").read_text())
    content["rooms"][0]["surfaces"][0]["name"] = "roof"
    (folder / "rooms/rooms.json").write_text(json.dumps(content))
    with pytest.raises(BadInput, match="not those of rooms.json"):
        render(crowd)


def test_after_a_failure_the_next_scene_is_rendered_as_ever(renderer, crowd, world):
    first = renderer.target(crowd)
    before = block_counts()
    bad = dataclasses.replace(crowd.objects[0], class_id=99)
    with pytest.raises(IndexError):
        renderer.target(dataclasses.replace(crowd, objects=(*crowd.objects, bad)))
    assert block_counts() == before
    second = renderer.target(crowd)
    assert np.array_equal(first.rgb, second.rgb) and np.array_equal(first.ids, second.ids)


def test_a_promised_gpu_that_is_not_there_ends_in_exit_3(world):
    if cycles.cycles_devices().get("CUDA"):
        pytest.skip("this machine has a GPU")
    with pytest.raises(Missing, match="--device cuda") as caught:
        Renderer(world.config, world.meshes, None, device="cuda")
    assert caught.value.exit_code == EXIT_MISSING


def test_an_unknown_device_is_refused(world):
    with pytest.raises(BadInput, match="'tpu'"):
        Renderer(world.config, world.meshes, None, device="tpu")


def test_published_settings_reach_cycles(world, renderer):
    published = tiny_config("render.samples=1024", "render.noise_threshold=0.01")
    other = Renderer(published, world.meshes, None)
    scene = dataclasses.replace(query_scene(world.meshes, 0, side=8, num_shots=1), cycles_seed=11)
    other.config = published
    other._picture.cycles.samples = 1  # the picture itself is not looked at
    other.query(scene)
    picture, settings = other._picture, other._picture.cycles
    assert (settings.use_adaptive_sampling, round(settings.adaptive_threshold, 6)) == (True, 0.01)
    assert (settings.max_bounces, settings.diffuse_bounces, settings.glossy_bounces) == (3, 3, 0)
    assert (settings.transmission_bounces, settings.transparent_max_bounces) == (0, 8)
    assert (settings.seed, settings.use_animated_seed, settings.volume_bounces) == (11, False, 0)
    assert settings.use_denoising and settings.denoiser == "OPENIMAGEDENOISE"
    assert (picture.view_settings.view_transform, picture.view_settings.look) == ("Filmic", "None")
    assert (picture.render.use_simplify, picture.render.simplify_subdivision_render) == (True, 3)
    lens = picture.camera.data
    assert lens.angle_x == pytest.approx(0.691111)
    assert (lens.clip_start, lens.clip_end) == (pytest.approx(0.1), 1000.0)
    plain = Renderer(tiny_config("render.noise_threshold=0"), world.meshes, None)
    assert not plain._picture.cycles.use_adaptive_sampling


def test_a_scratch_folder_goes_with_its_owner(tmp_path):
    scratch = Scratch(tmp_path)
    (scratch.path / "picture.png").touch()
    assert [p.name.startswith(PREFIX) for p in tmp_path.iterdir()] == [True]
    sweep(tmp_path)
    assert scratch.path.exists()  # it is held
    del scratch
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_swept_by_the_next(tmp_path):
    left = tmp_path / f"{PREFIX}dead"
    left.mkdir()
    (left / "lock").touch()
    (left / "Scene.png").touch()
    scratch = Scratch(tmp_path)
    assert list(tmp_path.iterdir()) == [scratch.path]


def test_talk_is_kept_out_of_our_output_and_can_be_asked_for(capfd):
    with quiet() as talk:
        os.write(1, b"one\n")
        os.system("echo two >&2")
    print("three")
    assert capfd.readouterr() == ("three\n", "")
    assert talk.text == "one\ntwo\n" and talk.last_line == "two"


def test_an_error_inside_a_quiet_block_comes_out(capfd):
    with pytest.raises(ZeroDivisionError), quiet():
        os.write(1, b"noise\n")
        raise ZeroDivisionError
    assert capfd.readouterr() == ("", "")


def test_an_operator_that_fails_says_why():
    assert "No such file" in run_operator(bpy.ops.wm.open_mainfile, filepath="/no/such.blend")
