"""Same scene, same pixels: in a row, after other scenes, in another process, with one thread or two."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from experiments.solid.render.renderer import Renderer
from tests.solid.render.worlds import query_scene

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = """
import sys
from pathlib import Path
from experiments.solid.layout.scene import Scene
from experiments.solid.library import MeshLibrary, RoomLibrary
from experiments.solid.render.renderer import Renderer
from tests.solid.render.test_determinism import digest
from tests.solid.render.worlds import tiny_config
folder, threads = Path(sys.argv[1]), int(sys.argv[2])
meshes, rooms = MeshLibrary.load(folder / "clean"), RoomLibrary.load(folder / "rooms")
scene = Scene.from_json((folder / "scene.json").read_text())
print(digest(Renderer(tiny_config(), meshes, rooms, threads=threads).target(scene)))
"""


def digest(result) -> str:
    return hashlib.sha256(
        result.rgb.tobytes() + result.ids.tobytes() + result.solo_areas.tobytes()
    ).hexdigest()


def test_a_scene_rendered_again_after_others_is_bit_equal(renderer, crowd, world):
    first = digest(renderer.target(crowd))
    renderer.query(query_scene(world.meshes, 0))
    assert digest(renderer.target(crowd)) == first


def test_threads_and_a_small_cache_do_not_change_pixels(renderer, crowd, world):
    first = digest(renderer.target(crowd))
    for threads in (1, 2):
        other = Renderer(world.config, world.meshes, world.rooms, threads=threads, cache_bytes=0)
        assert digest(other.target(crowd)) == first
    assert digest(renderer.target(crowd)) == first  # the first renderer takes Blender back


@pytest.mark.parametrize("threads", [1, 2])
def test_another_process_renders_the_same_and_prints_nothing_of_blenders(threads, renderer, crowd, world):
    (world.folder / "scene.json").write_text(crowd.to_json(), encoding="utf-8")
    command = [sys.executable, "-c", PROGRAM, str(world.folder), str(threads)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == digest(renderer.target(crowd)) + "\n"
    assert done.stderr == ""


def test_another_seed_changes_the_noise_and_not_the_ids(renderer, crowd):
    import dataclasses

    one, two = renderer.target(crowd), renderer.target(dataclasses.replace(crowd, cycles_seed=8))
    assert not np.array_equal(one.rgb, two.rgb) and np.array_equal(one.ids, two.ids)
