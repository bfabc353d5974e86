"""Whole scenes: no violations, the statistics of the settings, the same for the same seed."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, chisquare

from experiments.solid.layout import LayoutFailure, Scene, compose_query, compose_target
from experiments.solid.layout.audit import audit_scene, in_earlier_rectangle
from suite.errors import BadInput
from suite.seeds import item_rng

CHANCE = 1e-4  # a fixed seed decides; a correct program fails for one seed in ten thousand
SCENES = 150


def target(config, rooms, meshes, index, seed=0):
    for attempt in range(config.layout.max_attempts):
        try:
            rng = item_rng(seed, "solid.target", index, attempt)
            return compose_target(
                rng, config, rooms=rooms, meshes=meshes, seed=seed, index=index, attempt=attempt
            )
        except LayoutFailure:
            continue
    raise AssertionError("no layout in max_attempts attempts")


@pytest.fixture(scope="module")
def scenes(smoke, rooms, meshes):
    return [target(smoke, rooms, meshes, index) for index in range(SCENES)]


def test_the_audit_finds_nothing_in_composed_scenes(scenes, smoke, rooms, meshes):
    for scene in scenes:
        assert audit_scene(scene, rooms.get(scene.room.id), meshes, smoke) == []
    assert {scene.room.id for scene in scenes} == {"plain", "divided", "stepped"}


def test_the_audit_finds_nothing_at_the_published_settings(smoke, rooms, meshes):
    layout = replace(smoke.layout, num_objects=(20, 25), cells_per_unit=12)
    config = replace(smoke, layout=layout, render=replace(smoke.render, resolution=(640, 480)))
    for index in range(4):
        scene = target(config, rooms, meshes, index)
        assert 20 <= scene.attempted <= 25
        assert audit_scene(scene, rooms.get(scene.room.id), meshes, config) == []


def test_the_number_of_attempted_objects_is_uniform(scenes, smoke):
    low, high = smoke.layout.num_objects
    counts = Counter(scene.attempted for scene in scenes)
    assert set(counts) == set(range(low, high + 1))
    assert chisquare(list(counts.values())).pvalue > CHANCE
    assert all(len(scene.objects) <= scene.attempted for scene in scenes)


def test_drawn_sizes_follow_the_mixture(scenes, smoke):
    # Tries stop at the first success, so drawn poses are independent of each other but not of their number; a
    # binomial bound holds for the first pose of every object.
    first = {(scene.index, draw.name): draw for scene in scenes for draw in reversed(scene.drawn)}
    bins = Counter(draw.bin for draw in first.values())
    for number, share in enumerate(smoke.layout.size_probs):
        assert binomtest(bins[number], len(first), share).pvalue > CHANCE


def test_small_objects_are_over_represented_among_the_placed(scenes, rooms, meshes, with_layout):
    crowded = with_layout(num_objects=(25, 25), max_tries=2)
    draws = [draw for index in range(15) for draw in target(crowded, rooms, meshes, index).drawn]
    rate = [np.mean([draw.placed for draw in draws if draw.bin == number]) for number in range(3)]
    assert rate[0] > rate[2]


def test_rules_are_drawn_with_their_probabilities(scenes):
    first_poses = []
    for scene in scenes:
        start = next(number for number, draw in enumerate(scene.drawn) if draw.placed)
        first_poses += {draw.name: draw for draw in reversed(scene.drawn[start + 1 :])}.values()
    overlap = [draw for draw in first_poses if draw.rules.overlap]
    assert all(draw.rules.near for draw in first_poses)
    assert binomtest(len(overlap), len(first_poses), 0.7).pvalue > CHANCE
    assert binomtest(sum(draw.rules.depth_order for draw in overlap), len(overlap), 0.5).pvalue > CHANCE
    assert not any(draw.rules.depth_order and not draw.rules.overlap for draw in first_poses)


def test_objects_that_drew_the_overlap_rule_stand_behind_or_before_an_earlier_one(scenes, meshes):
    judged = [
        in_earlier_rectangle(scene, number, meshes)
        for scene in scenes
        for number, placed in enumerate(scene.objects)
        if placed.rules.overlap
    ]
    assert len(judged) > 300 and np.mean(judged) == 1.0  # the acceptance check asks for 0.6


def test_the_previous_model_returns_with_the_reuse_probability(scenes, smoke, meshes):
    same = []
    for scene in scenes:
        classes = [class_id for _, class_id in sorted({(int(d.name), d.class_id) for d in scene.drawn})]
        same += [a == b for a, b in zip(classes[:-1], classes[1:], strict=True)]
    # Reused, or drawn again by chance among the classes.
    expected = smoke.layout.reuse_prob + (1 - smoke.layout.reuse_prob) / meshes.num_classes
    assert binomtest(sum(same), len(same), expected).pvalue > CHANCE


def test_textures_and_rooms_are_chosen_uniformly(scenes):
    assert chisquare(list(Counter(scene.room.id for scene in scenes).values())).pvalue > CHANCE
    textures = Counter(scene.room.textures["wall"] for scene in scenes)
    assert set(textures) == {f"textures/wall/{letter}.jpg" for letter in "abc"}
    assert chisquare(list(textures.values())).pvalue > CHANCE


def test_the_same_generator_gives_the_same_bytes(smoke, rooms, meshes):
    for index in range(5):
        assert target(smoke, rooms, meshes, index).to_json() == target(smoke, rooms, meshes, index).to_json()
    assert target(smoke, rooms, meshes, 0).to_json() != target(smoke, rooms, meshes, 1).to_json()
    assert target(smoke, rooms, meshes, 0).to_json() != target(smoke, rooms, meshes, 0, seed=1).to_json()


def test_a_scene_does_not_depend_on_the_scenes_before_it(smoke, rooms, make_rooms, meshes):
    alone = target(smoke, make_rooms({"plain": {}}), meshes, 7)
    library = make_rooms({"plain": {}})
    for index in range(7):
        target(smoke, library, meshes, index)
    assert target(smoke, library, meshes, 7).to_json() == alone.to_json()


def test_a_scene_survives_json_exactly(scenes, smoke, meshes):
    query = compose_query(np.random.default_rng(0), smoke, class_id=2, meshes=meshes, seed=0)
    for scene in [*scenes[:20], query]:
        text = scene.to_json()
        assert "\n" not in text
        assert Scene.from_json(text) == scene
        assert Scene.from_json(text).to_json() == text
        assert list(json.loads(text)) == sorted(json.loads(text))


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.pop("lights"),
        lambda content: content.update(surprise=1),
        lambda content: content.update(schema=99),
        lambda content: content.update(kind="picture"),
        lambda content: content["camera"].update(location=[0.0, 1.0]),
        lambda content: content["objects"][0].update(size="big"),
        lambda content: content["objects"][0].update(tries=True),
    ],
)
def test_a_damaged_scene_is_bad_input(scenes, change):
    content = json.loads(scenes[0].to_json())
    change(content)
    with pytest.raises(BadInput, match="scene"):
        Scene.from_json(json.dumps(content))


@pytest.mark.parametrize("text", ["", "[]", "3", "{", "null"])
def test_what_is_no_scene_is_bad_input(text):
    with pytest.raises(BadInput, match="not a scene"):
        Scene.from_json(text)


@settings(max_examples=20, deadline=None)
@given(num_shots=st.integers(1, 40), seed=st.integers(0, 2**32 - 1))
def test_a_turntable_has_exactly_its_number_of_shots_at_equal_angles(num_shots, seed, smoke, meshes):
    # Adding up 20 degrees until 360 gives 19 shots for 18: the published loop counts angles, not shots.
    config = replace(smoke, queries=replace(smoke.queries, num_shots=num_shots))
    scene = compose_query(np.random.default_rng(seed), config, class_id=1, meshes=meshes, seed=seed)
    assert len(scene.shots) == num_shots
    assert audit_scene(scene, None, meshes, config) == []
    locations = np.array([shot.camera.location for shot in scene.shots])
    np.testing.assert_allclose(np.linalg.norm(locations[:, :2], axis=1), 3.0)
    np.testing.assert_allclose(locations[:, 2], 0)
    np.testing.assert_allclose(locations[0], (0, 3, 0), atol=1e-12)
    turns = np.arctan2(locations[:, 1], locations[:, 0])
    np.testing.assert_allclose(np.diff(turns) % (2 * np.pi), 2 * np.pi / num_shots)  # -pi is pi


def test_the_published_turntable_has_8_shots_tilted_by_30_degrees(smoke, meshes):
    scene = compose_query(np.random.default_rng(0), smoke, class_id=0, meshes=meshes, seed=4)
    assert len(scene.shots) == 8 and scene.kind == "query" and (scene.index, scene.seed) == (0, 4)
    assert np.degrees(scene.objects[0].euler[0]) == pytest.approx(-30)
    assert scene.objects[0].size == 1.0 and scene.resolution == (96, 96)
    assert scene.room is None and scene.camera is None and scene.lights == ()
    # Euler angles (-90, 180, 0): x of the camera points to -x, its y up.
    np.testing.assert_allclose(scene.shots[0].camera.rotation, [[-1, 0, 0], [0, 0, 1], [0, 1, 0]], atol=1e-12)
    assert {shot.light.energy for shot in scene.shots} == {1000.0}


def test_query_sizes_can_come_from_the_mixture_as_published(smoke, meshes):
    config = replace(smoke, queries=replace(smoke.queries, sizes="mixture"))
    drawn = [
        compose_query(item_rng(0, "solid.query", k), config, class_id=0, meshes=meshes, seed=0)
        for k in range(200)
    ]
    assert all(audit_scene(scene, None, meshes, config) == [] for scene in drawn)
    assert {scene.drawn[0].bin for scene in drawn} == {0, 1, 2}
