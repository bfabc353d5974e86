"""The stand-ins of sample synthesis rendered again through the public command. Needs Blender."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("bpy", reason="needs the Blender toolchain")

from assets.make.sample_synthesis_blender import Stage
from assets.make.sample_synthesis_render import annotate, shows_contrast
from assets.make.sample_synthesis_scene import Eye, Film, NoPlace, Scene, Thing, Wanted
from assets.make.sample_synthesis_shapes import Look, box, quad
from suite.errors import BadInput

ROOT = Path(__file__).resolve().parents[3]
MAKER = [sys.executable, "-m", "assets.make.sample_synthesis"]
RESOLUTION = (64, 48)


def call(*words: str) -> subprocess.CompletedProcess:
    return subprocess.run([*MAKER, *words], cwd=ROOT, capture_output=True, text=True, check=False)


def scene_of(*things: Thing, wanted: tuple[Wanted, ...], sky: float = 1.0, cutout: bool = False) -> Scene:
    """Things before a camera at y = -3 that looks along +y, under an even sky."""
    return Scene(
        resolution=RESOLUTION, things=things, models=(), lamps=(), sky=(sky,) * 3,
        eye=Eye((0.0, -3.0, 0.0), (0.0, 0.0, 0.0), 0.0, 0.8), film=Film(), wanted=wanted, samples=4,
        cutout=cutout,
    )  # fmt: skip


def upright(half: float, y: float, look: Look, mark: int = 0, x: float = 0.0) -> Thing:
    corners = [(x - half, y, -half), (x + half, y, -half), (x + half, y, half), (x - half, y, half)]
    return Thing((quad(corners, look),), mark=mark)


@pytest.fixture(scope="module")
def stage() -> Stage:
    return Stage()


def test_the_projected_box_is_the_one_that_blender_sees(stage):
    target = upright(0.5, 0.0, Look(), mark=1, x=0.3)
    scene = scene_of(target, wanted=(Wanted(1, target.shapes[0].vertices),))
    ids, solo = stage.ids(scene)
    rows, columns = np.nonzero(ids == 1)
    seen = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    (found,) = annotate(scene, ids, solo)
    assert np.abs(np.subtract(found["box"], seen)).max() <= 1.0
    assert found["visibility"] == 1.0
    assert found["area"] == solo[1] == len(rows)


def test_an_object_behind_another_counts_what_is_left_and_is_refused_if_that_is_little(stage):
    target = upright(0.5, 0.0, Look(), mark=1)
    wanted = (Wanted(1, target.shapes[0].vertices),)
    partly = scene_of(target, Thing((box((0.15, 0.1, 2), Look(), (0.35, -0.5, 0)),)), wanted=wanted)
    (found,) = annotate(partly, *stage.ids(partly))
    assert 0.7 <= found["visibility"] < 0.95
    hidden = scene_of(target, upright(0.4, -0.5, Look()), wanted=wanted)
    with pytest.raises(NoPlace, match="hidden"):
        annotate(hidden, *stage.ids(hidden))


def test_light_is_linear_and_what_is_empty_is_transparent(stage):
    target = upright(0.4, 0.0, Look((0.5, 0.25, 0.1), roughness=1.0), mark=1)
    light = stage.render(scene_of(target, wanted=(Wanted(1),), sky=1.0, cutout=True))
    inside = light.ids == 1
    assert light.rgba[~inside][:, 3].min() == 0
    assert light.rgba[inside][:, 3].max() == pytest.approx(1, abs=1e-3)
    color = light.rgba[24, 32, :3]
    assert color[0] > 1.5 * color[1] > 1.5 * color[2]
    brighter = stage.render(scene_of(target, wanted=(Wanted(1),), sky=2.0, cutout=True))
    assert brighter.rgba[24, 32, :3] == pytest.approx(2 * color, rel=0.05)


def test_a_colour_a_vertex_is_what_is_rendered(stage):
    flat = upright(0.4, 0.0, Look(roughness=1.0), mark=1).shapes[0]
    painted = Thing(
        (type(flat)(flat.vertices, flat.faces, flat.look, colors=np.tile([0.8, 0.05, 0.05], (4, 1))),), 1
    )
    color = stage.render(scene_of(painted, wanted=(Wanted(1),))).rgba[24, 32, :3]
    assert color[0] > 4 * color[1]


def test_two_renders_of_a_scene_are_equal_to_the_bit(stage):
    target = upright(0.4, 0.0, Look((0.5, 0.25, 0.1)), mark=1)
    scene = scene_of(target, wanted=(Wanted(1),))
    first = stage.render(scene)
    stage.render(scene_of(upright(0.2, 0.5, Look()), wanted=()))
    assert (first.rgba == stage.render(scene).rgba).all()


def test_a_code_that_the_light_has_eaten_does_not_count():
    found = [{"box": [2.0, 2.0, 30.0, 30.0]}]
    pixels = np.full((40, 40, 3), 250, dtype=np.uint8)
    assert not shows_contrast(pixels, found)
    pixels[::2] = 100
    assert shows_contrast(pixels, found)


@pytest.mark.slow
def test_pictures_rendered_again_equal_the_shipped_ones_and_are_kept(tmp_path):
    words = ["--out", str(tmp_path), "--compare", "--count", "1"]
    done = call(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "11 pictures rendered now, 0 kept from before" in done.stdout
    assert "the same" in done.stdout
    assert "0 pictures rendered now, 11 kept from before" in call(*words).stdout


def test_the_shipped_sets_are_not_replaced_by_a_part_of_them():
    done = call("--out", "assets/sample_synthesis", "--count", "1")
    assert done.returncode == BadInput.exit_code
    assert "this would replace the shipped sets" in done.stderr
