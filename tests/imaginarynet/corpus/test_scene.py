"""Scenes of the corpus: what is drawn how often, what captions say, what a scene depends on. No Blender."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.make import t2i_corpus_scene as scene_module
from assets.make.t2i_corpus_plan import CHUNK, COUNT, SEED, checkpoint, chunks, rows_of
from assets.make.t2i_corpus_scene import (
    CLASSES,
    FOV,
    OTHERS,
    SIDE,
    TABLETOP,
    VARIANTS,
    compose,
    model,
    placed_corners,
    word_of,
)
from assets.make.t2i_corpus_words import COLORS, TAILS, WEIGHTS, caption, draw_color, linear, phrase
from experiments.imaginarynet.classes import class_names

ROOT = Path(__file__).resolve().parents[3]
SIDES = re.compile(r"\b(left|right|leftmost|rightmost)\b", flags=re.I)


# --- classes ---


def test_the_corpus_has_the_classes_of_tabletop_and_others():
    assert tuple(sorted(class_names("tabletop"))) == TABLETOP
    assert set(CLASSES) == {*TABLETOP, *OTHERS}
    assert not {*TABLETOP} & {*OTHERS}


@given(count=st.integers(1, COUNT))
def test_the_classes_of_tabletop_come_equally_often_in_the_first_pictures_whatever_their_number(count):
    words = [word_of(index) for index in range(count)]
    counted = Counter(word for word in words if word is not None)
    assert max(counted.values()) - min(counted.get(word, 0) for word in TABLETOP) <= 1
    assert words.count(None) == count // 5


def test_every_class_has_pictures_of_both_splits_in_the_full_corpus():
    """Which class a scene of another thing shows is its first draw, the split a draw of its own."""
    counted = Counter()
    for index in range(COUNT):
        rng = scene_module.item_rng(SEED, scene_module.SCENE_STREAM, index)
        word = word_of(index) or OTHERS[int(rng.integers(len(OTHERS)))]
        is_val = scene_module.item_rng(SEED, scene_module.SPLIT_STREAM, index).random() < 0.05
        counted[word, is_val] += 1
    assert all(counted[word, False] + counted[word, True] == COUNT * 4 // 50 for word in TABLETOP)
    assert all(abs(counted[word, False] + counted[word, True] - COUNT / 40) < 50 for word in OTHERS)
    assert all(counted[word, True] >= 2 for word in CLASSES)
    assert 0.04 < sum(n for (_, is_val), n in counted.items() if is_val) / COUNT < 0.06


def test_a_scene_shows_its_class_first_and_has_the_split_of_its_own_branch(scenes):
    for scene in scenes:
        assert scene.word == scene.things[0].word == (word_of(scene.index) or scene.word)
        assert scene.word in CLASSES
        draw = scene_module.item_rng(SEED, scene_module.SPLIT_STREAM, scene.index).random()
        assert scene.split == ("val" if draw < 0.05 else "train")


# --- captions ---


def test_a_caption_has_the_word_of_every_thing_that_is_there(scenes):
    assert any(len(scene.things) == 2 for scene in scenes)
    for scene in scenes:
        for thing in scene.things:
            assert re.search(rf"\b{thing.word}\b", scene.caption), scene.caption


def test_no_caption_has_a_side(scenes):
    """Pictures are mirrored in training, and captions are not."""
    assert not [scene.caption for scene in scenes if SIDES.search(scene.caption)]
    words = " ".join([*TAILS, *COLORS, *CLASSES, *scene_module.FLOORS, *scene_module.WALLS])
    assert not SIDES.search(words)


@given(
    seed=st.integers(0, 2**32), word=st.sampled_from(CLASSES), other=st.sampled_from(["", *CLASSES]),
    color=st.sampled_from(["", *COLORS]), floor=st.sampled_from(["", "wooden", "orange"]),
)  # fmt: skip
def test_any_caption_is_one_line_with_its_words_and_without_a_side(seed, word, other, color, floor):
    said = caption(
        np.random.default_rng(seed), word=word, color=color, floor=floor, wall="white",
        companion=phrase(other) if other else "",
    )  # fmt: skip
    assert said.isascii() and said.isprintable() and len(said) < 90
    assert re.search(rf"\b{word}\b", said)
    assert not other or re.search(rf"\b{other}\b", said)
    assert not SIDES.search(said)
    assert " a o" not in said and " an b" not in said


def test_a_colour_that_a_caption_names_is_the_colour_of_the_thing(scenes):
    told = 0
    for scene in scenes:
        thing = scene.things[0]
        found = re.search(rf"\b({'|'.join(COLORS)}) {thing.word}\b", scene.caption)
        if not found:
            continue
        told += 1
        distance = {
            name: np.abs(np.subtract(thing.tint, linear(np.array(middle) / 255))).sum()
            for name, middle in COLORS.items()
        }
        assert sorted(distance, key=distance.get).index(found[1]) < 2, scene.caption
    assert told > 60


@given(seed=st.integers(0, 2**32), word=st.sampled_from(CLASSES))
def test_a_thing_has_only_colours_of_its_class(seed, word):
    name, tint = draw_color(np.random.default_rng(seed), word)
    weights = WEIGHTS.get(word, COLORS)
    assert (name in weights) if weights else name == ""
    assert all(0 < value < 1 for value in tint)


# --- what a scene depends on ---


@settings(max_examples=25, deadline=None)
@given(index=st.integers(0, 10**6), seed=st.integers(0, 1))
def test_a_scene_is_a_function_of_seed_and_index(index, seed):
    one, again = compose(seed, index), compose(seed, index)
    assert one == again
    assert one != compose(seed, index + 1)
    assert one != compose(seed + 1, index)


def test_a_scene_does_not_depend_on_those_before_it(scenes):
    """A fresh process that draws some of them in another order."""
    chosen = [37, 4, 159, 120, 6]
    code = (
        "from assets.make.t2i_corpus_scene import compose\n"
        f"for index in {chosen}: print(repr(compose({SEED}, index)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert done.splitlines() == [repr(scenes[index]) for index in chosen]


def test_a_smaller_corpus_is_the_beginning_of_a_larger_one():
    small, large = list(chunks(50)), list(chunks(COUNT))
    assert small == large[: len(small)]
    assert [index for _, indices in large for index in indices] == list(range(COUNT))
    assert all(len(indices) == CHUNK for _, indices in small)
    assert len({checkpoint(Path("work"), number) for number, _ in large}) == len(large)


# --- no box, no crop ---


def test_nothing_of_a_scene_or_a_row_is_a_box(scenes):
    row = rows_of(scenes[:1])[0]
    assert set(row) == {"id", "caption", "class", "split"}
    names = {field.name for kind in (scene_module.Scene, scene_module.Placed) for field in fields(kind)}
    assert not {name for name in names if re.search("box|crop|mask|extent", name)}


def picture_extent(scene) -> tuple[float, float, float, float]:
    """x1, y1, x2, y2 of all things in shares of the picture's side from its middle, without the roll."""
    eye, target = np.array(scene.eye), np.array(scene.target)
    back = (eye - target) / np.linalg.norm(eye - target)
    right = np.cross((0, 0, 1), back)
    right /= np.linalg.norm(right)
    camera = np.stack([right, np.cross(back, right), back])  # rows: x, y, z of the camera
    points = np.concatenate([placed_corners(SEED, thing) for thing in scene.things]) - eye
    local = points @ camera.T
    assert (local[:, 2] < 0).all()
    at = local[:, :2] / -local[:, 2:] / (2 * np.tan(FOV / 2)) - scene.shift
    return (*at.min(axis=0), *at.max(axis=0))


def test_a_thing_is_whole_in_the_picture_and_fills_most_of_it_by_the_camera_alone(scenes):
    for scene in scenes[:100]:
        x1, y1, x2, y2 = picture_extent(scene)
        assert -0.5 < x1 < x2 < 0.5, scene.index
        assert -0.5 < y1 < y2 < 0.5, scene.index
        assert 0.7 < max(x2 - x1, y2 - y1) < 0.95, scene.index


# --- things ---


@pytest.mark.parametrize("word", CLASSES)
def test_every_variant_stands_on_the_floor_above_the_origin_one_long(word):
    for variant in range(0, VARIANTS, 5):
        parts, points = model(SEED, word, variant)
        assert parts
        assert np.isfinite(points).all()
        low, high = points.min(axis=0), points.max(axis=0)
        assert (high - low).max() == pytest.approx(1)
        assert low[2] == pytest.approx(0, abs=1e-12)
        assert (low + high)[:2] == pytest.approx([0, 0], abs=1e-9)
        for part in parts:
            assert part.shape.faces.min() >= 0
            assert part.shape.faces.max() < len(part.shape.vertices)


@pytest.mark.parametrize("word", [*TABLETOP, "can", "vase", "bowl", "table", "stool", "lamp"])
def test_no_two_variants_of_a_class_are_alike(word):
    digests = {
        b"".join(np.round(part.shape.vertices, 6).tobytes() for part in model(SEED, word, variant)[0])
        for variant in range(VARIANTS)
    }
    assert len(digests) == VARIANTS


def test_a_picture_is_rendered_at_the_side_that_the_corpus_has():
    pytest.importorskip("bpy", reason="needs the Blender toolchain")
    from assets.make.t2i_corpus_render import SETTINGS

    assert tuple(SETTINGS.resolution) == (SIDE, SIDE)
