"""The parts of the maker of the stand-ins that need no Blender: projection, shapes, designs, development."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.make.sample_synthesis_birds import KINDS as BIRDS
from assets.make.sample_synthesis_birds import build_bird, draw_bird
from assets.make.sample_synthesis_cars import KINDS as CARS
from assets.make.sample_synthesis_cars import build_car, draw_car
from assets.make.sample_synthesis_codes import draw_code, unpack
from assets.make.sample_synthesis_designs import CELLS, cell_of, cell_value
from assets.make.sample_synthesis_develop import develop, encode_srgb, shake_kernel, tone
from assets.make.sample_synthesis_outdoors import compose_cutout, compose_scene
from assets.make.sample_synthesis_plan import CODES, SETS, pictures
from assets.make.sample_synthesis_qr import MIN_SIDE, compose_qr
from assets.make.sample_synthesis_rooms import textures
from assets.make.sample_synthesis_scene import Eye, Film, NoPlace, extent, focal_pixels
from assets.make.sample_synthesis_shapes import box, turn
from assets.make.sample_synthesis_sheets import draw_sheet
from suite.errors import BadInput
from suite.manifest import read_json

SEEDS = st.integers(0, 2**32 - 1)


def signed_volume(vertices: np.ndarray, faces: np.ndarray) -> float:
    """Of a closed surface; positive if its faces look outwards."""
    a, b, c, d = (vertices[faces[:, k]] for k in range(4))
    return float(
        (np.einsum("ij,ij->i", a, np.cross(b, c)) + np.einsum("ij,ij->i", a, np.cross(c, d))).sum() / 6
    )


def some_code(version: int) -> np.ndarray:
    codes = (code for listed in read_json(CODES).values() for shown in listed for code in shown)
    return unpack(next(code for code in codes if code["version"] == version))


def first_scene(compose) -> object:
    for attempt in range(50):
        try:
            return compose(attempt)
        except NoPlace:
            continue
    raise AssertionError("no scene in 50 attempts")


def test_what_the_camera_looks_at_is_in_the_middle_and_pixels_follow_the_pinhole():
    eye = Eye((0.0, -2.0, 0.5), (0.0, 0.0, 0.5), 0.0, 0.9)
    pixels = eye.pixels(np.array([[0, 0, 0.5], [0.3, 0, 0.5], [0, 0, 0.8]]), (256, 192))
    focal = focal_pixels(0.9, (256, 192))
    assert pixels == pytest.approx(
        np.array([[128, 96], [128 + focal * 0.15, 96], [128, 96 - focal * 0.15]]), abs=1e-9
    )
    with pytest.raises(NoPlace):
        eye.pixels(np.array([[0, -3.0, 0.5]]), (256, 192))


@given(seed=SEEDS)
@settings(max_examples=20, deadline=None)
def test_a_camera_is_a_rotation(seed):
    rng = np.random.default_rng(seed)
    eye = Eye(tuple(rng.normal(0, 3, 3)), tuple(rng.normal(0, 3, 3)), float(rng.normal()), 0.8)
    assert eye.rotation.T @ eye.rotation == pytest.approx(np.eye(3), abs=1e-9)
    assert np.linalg.det(eye.rotation) == pytest.approx(1)


def test_a_box_has_its_size_and_looks_outwards():
    shape = box((1.0, 2.0, 3.0), None).moved(turn("z", 0.3), (4, 5, 6))
    assert signed_volume(shape.vertices, shape.faces) == pytest.approx(6.0)


@given(seed=SEEDS, side=st.sampled_from((0, 1)))
@settings(max_examples=50, deadline=None)
def test_numbers_of_the_two_sides_never_share_a_cell(seed, side):
    value = cell_value(np.random.default_rng(seed), -1.0, 3.0, side)
    assert cell_of(value, -1.0, 3.0) % 2 == side
    assert 0 <= cell_of(value, -1.0, 3.0) < 2 * CELLS


@pytest.mark.parametrize(
    ("draw", "build", "kinds"), [(draw_bird, build_bird, BIRDS), (draw_car, build_car, CARS)]
)
def test_shapes_are_finite_and_stand_on_the_ground(draw, build, kinds):
    seen = set()
    for number in range(40):
        rng = np.random.default_rng(number)
        design = draw(rng, "objects" if number % 2 else "test")
        seen.add(design.kind)
        shapes = build(design)
        points = np.concatenate([shape.vertices for shape in shapes])
        assert np.isfinite(points).all()
        assert -0.05 < points[:, 2].min() < 0.02
        assert (
            np.abs(points[:, 1].min() + points[:, 1].max()) < 0.02 * np.ptp(points[:, 1]) + 1e-6
        )  # both flanks
        for shape in shapes:
            assert 0 <= shape.faces.min() and shape.faces.max() < len(shape.vertices)
            assert shape.colors is None or shape.colors.shape == shape.vertices.shape
    assert seen == set(kinds)


def test_a_bent_sheet_keeps_the_width_of_its_paper():
    modules = some_code(2)
    for seed in range(40):
        sheet = draw_sheet(np.random.default_rng(seed), modules, 0.2)
        paper, symbol = sheet.shapes(np.zeros(3), np.eye(3))
        rows = symbol.vertices.reshape(21, 21, 3)
        along = np.linalg.norm(np.diff(rows, axis=1), axis=2).sum(axis=1)
        assert along == pytest.approx(np.full(21, 0.2), rel=5e-3)
        assert symbol.vertices[:, 2].min() > paper.vertices[:, 2].min()
        quiet = 4 * 0.2 / len(modules)
        assert abs(sheet.center[0]) + 0.1 + quiet <= sheet.width / 2 + 1e-9
        assert abs(sheet.center[1]) + 0.1 + quiet <= sheet.height / 2 + 1e-9


def test_a_printed_symbol_is_the_code():
    modules = some_code(3)
    sheet = draw_sheet(np.random.default_rng(1), modules, 0.1)
    grey = sheet.symbol.mean(axis=2)[4::8, 4::8]
    assert ((grey < 130) == modules).all()


@pytest.mark.parametrize("split", SETS["qr_photos"].splits)
def test_a_composed_code_is_wholly_in_its_picture_and_large_enough(split):
    listed = read_json(CODES)[split]
    for index in range(3):
        scene = first_scene(lambda attempt, i=index: compose_qr(split, i, attempt, listed[i]))
        assert [wanted.note["payload"] for wanted in scene.wanted] == [
            code["payload"] for code in listed[index]
        ]
        for wanted in scene.wanted:
            x1, y1, x2, y2 = extent(scene.eye.pixels(wanted.points, scene.resolution))
            assert min(x1, y1) >= 0 and x2 <= 256 and y2 <= 192
            assert min(x2 - x1, y2 - y1) >= MIN_SIDE


@pytest.mark.parametrize("name", ["bird", "car"])
def test_a_cut_out_fills_its_picture_and_stays_within(name):
    for index in range(4):
        scene = compose_cutout(name, index, 0)
        points = np.concatenate([shape.vertices for thing in scene.things for shape in thing.shapes])
        x1, y1, x2, y2 = extent(scene.eye.pixels(points, scene.resolution))
        assert min(x1, y1) > 0 and max(x2, y2) < 128
        assert max(x2 - x1, y2 - y1) > 0.78 * 128


@pytest.mark.parametrize("name", ["bird_scenes", "car_scenes"])
def test_the_same_attempt_composes_the_same_scene_and_the_next_one_another(name):
    def place(attempt: int):
        try:
            return compose_scene(name, "valid", 3, attempt).eye
        except NoPlace as refusal:
            return str(refusal)

    assert [place(k) for k in range(6)] == [place(k) for k in range(6)]
    assert len({str(place(k)) for k in range(6)}) > 1


@pytest.mark.parametrize("kind", ["wall", "floor", "ceiling", "unknown"])
def test_every_texture_belongs_to_one_split(kind):
    shares = [set(textures(kind, split)) for split in ("train", "valid", "test")]
    assert all(shares)
    assert not shares[0] & shares[1] and not shares[1] & shares[2] and not shares[0] & shares[2]


def test_a_shake_keeps_the_light_and_spreads_it_over_its_length():
    kernel = shake_kernel(4.0, 0.0)
    assert kernel.sum() == pytest.approx(1)
    assert np.count_nonzero(kernel.sum(axis=0) > 1e-6) == 5
    assert np.count_nonzero(kernel.sum(axis=1) > 1e-6) == 1


def test_the_tone_curve_is_a_line_then_rises_below_one():
    values = np.linspace(0, 5, 500)
    toned = tone(values)
    assert toned[values < 0.6] == pytest.approx(values[values < 0.6])
    assert (np.diff(toned) >= 0).all() and toned.max() <= 1
    assert encode_srgb(np.array([0.0, 1.0, 0.214041])) == pytest.approx([0, 1, 0.5], abs=1e-5)


def test_exposure_is_that_of_the_light_not_of_the_lamp():
    rng = np.random.default_rng(0)
    light = np.concatenate([rng.uniform(0.1, 0.9, (24, 32, 3)), np.ones((24, 32, 1))], axis=2)
    brighter = light * (50, 50, 50, 1)
    film = Film()
    one, other = (develop(each, film, np.random.default_rng(1)).astype(int) for each in (light, brighter))
    assert np.abs(one - other).max() <= 1


def test_a_code_is_the_same_for_the_same_generator():
    pytest.importorskip("segno", reason="needs the TensorFlow toolchain")
    one, other = (draw_code(np.random.default_rng(7)) for _ in range(2))
    assert one == other


def test_an_unknown_set_and_a_count_of_none_are_refused():
    with pytest.raises(BadInput, match="no set 'cat'"):
        pictures(("cat",))
    with pytest.raises(BadInput, match="--count 0"):
        pictures(count=0)
    assert len(pictures(count=2)) == 2 * 11
