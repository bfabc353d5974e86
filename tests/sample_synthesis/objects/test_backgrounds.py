"""What objects are pasted onto."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from experiments.sample_synthesis.config_sections import BackgroundConfig
from experiments.sample_synthesis.objects import backgrounds
from experiments.sample_synthesis.objects.backgrounds import (
    FAMILIES,
    VOC_LISTS,
    FileBackgrounds,
    Listed,
    PhotoBackgrounds,
    backdrop,
    ignored_classes,
    list_backgrounds,
    list_kind,
    list_voc,
    open_backgrounds_of,
)
from experiments.sample_synthesis.objects.types import BackgroundSource
from suite.errors import BadInput, Missing
from suite.seeds import item_rng
from tests.sample_synthesis.objects.make import MARK, make_voc, save_picture, tiny_config

GREEN, BLUE = (0, 200, 0), (0, 0, 200)
PLAIN = {
    ("VOC2007", "train"): [("000001", ("dog",), GREEN), ("000002", ("bird", "dog"), MARK)],
    ("VOC2007", "test"): [("000003", (), GREEN)],
    ("VOC2012", "train"): [("000001", ("cat",), BLUE), ("2008_1", ("dog", "bird", "bird"), MARK)],
}


def shows_mark(picture: np.ndarray) -> bool:
    return np.abs(picture.astype(int) - MARK).max(axis=-1).min() < 30


def draws(source: BackgroundSource, num: int = 60, size: int = 8) -> list[np.ndarray]:
    return [source.draw(item_rng(1, "test", i), size) for i in range(num)]


def voc_config(root: Path, *overrides: str):
    return tiny_config(f"bird.backgrounds={{kind: voc, folder: {root}, ignored_classes: [bird]}}", *overrides)


def test_a_background_with_an_ignored_class_is_never_used(tmp_path):
    make_voc(tmp_path, PLAIN)
    config = voc_config(tmp_path)
    listed = list_backgrounds(config, "bird")
    pictures = draws(open_backgrounds_of(config.bird.backgrounds, listed))
    assert not any(map(shows_mark, pictures))
    assert len({picture.tobytes() for picture in pictures}) == 2, "both colours of the others are used"
    assert listed.counts == {"listed": 5, "used": 3, "ignored": 2}


def test_upstream_birds_are_pasted_before_birds(tmp_path):
    make_voc(tmp_path, PLAIN)
    config = voc_config(tmp_path, "compat.bird_backgrounds_with_birds=true")
    listed = list_backgrounds(config, "bird")
    assert listed.counts == {"listed": 5, "used": 5, "ignored": 0}
    assert sum(map(shows_mark, draws(open_backgrounds_of(config.bird.backgrounds, listed)))) > 5


@pytest.mark.parametrize(
    "name, ignored", [("qr", ()), ("face", ("person",)), ("bird", ()), ("car", ("car",))]
)
def test_upstream_changes_what_is_ignored_for_birds_alone(name, ignored):
    overrides = [f"{name}.backgrounds.ignored_classes=[{', '.join(ignored)}]"]
    assert ignored_classes(tiny_config(*overrides, "compat=upstream"), name) == ignored
    if name == "bird":
        both = tiny_config("bird.backgrounds.ignored_classes=[bird, car]", "compat=upstream")
        assert ignored_classes(both, "bird") == ("car",)


def test_the_official_lists_hold_13170_photographs():
    assert sum(VOC_LISTS.values()) == 13_170  # 2501 + 4952 + 5717; 15,671 with 2501 twice, as published


def test_each_photograph_of_the_three_lists_is_there_once_and_short_lists_are_told(tmp_path):
    make_voc(tmp_path, PLAIN)
    listed = list_voc(tmp_path, ())
    assert listed.names == (
        "VOC2007/JPEGImages/000001.jpg", "VOC2007/JPEGImages/000002.jpg", "VOC2007/JPEGImages/000003.jpg",
        "VOC2012/JPEGImages/000001.jpg", "VOC2012/JPEGImages/2008_1.jpg",
    )  # fmt: skip
    assert listed.warnings[0] == "VOC2007 train lists 2 photographs, the official list 2501"
    assert len(listed.warnings) == 3


def test_a_missing_annotation_is_an_error_that_names_it(tmp_path):
    make_voc(tmp_path, PLAIN)
    path = tmp_path / "VOC2012" / "Annotations" / "2008_1.xml"
    path.unlink()
    with pytest.raises(BadInput, match=rf"{path}.*no such file"):
        list_voc(tmp_path, ("bird",))


def test_a_missing_photograph_or_folder_is_an_error(tmp_path):
    with pytest.raises(Missing, match="no such folder"):
        list_voc(tmp_path / "VOCdevkit", ())
    make_voc(tmp_path, PLAIN)
    (tmp_path / "VOC2007" / "JPEGImages" / "000003.jpg").unlink()
    with pytest.raises(BadInput, match="000003"):
        list_voc(tmp_path, ())


def test_a_set_of_which_nothing_is_left_is_one_line(tmp_path):
    make_voc(tmp_path, {key: [(f"{i}", ("car",), MARK)] for i, key in enumerate(VOC_LISTS)})
    with pytest.raises(BadInput, match="every photograph shows one of car"):
        list_voc(tmp_path, ("car",))


def test_the_list_survives_json_and_a_move_of_the_folder(tmp_path):
    make_voc(tmp_path / "here", PLAIN)
    listed = list_voc(tmp_path / "here", ("bird",))
    sections = [BackgroundConfig(kind="voc", folder=str(tmp_path / name)) for name in ("here", "there")]
    before = draws(open_backgrounds_of(sections[0], listed), 5)
    (tmp_path / "here").rename(tmp_path / "there")
    again = Listed.from_tree(json.loads(json.dumps(listed.tree())))
    assert again == listed
    for one, other in zip(before, draws(open_backgrounds_of(sections[1], again), 5), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_folder_of_the_user_is_drawn_from_evenly_and_stretched(tmp_path):
    for number in range(4):
        save_picture(tmp_path / f"{number}.png", (50 * number, 0, 0), size=(90, 20))
    section = BackgroundConfig(kind="folder", folder=str(tmp_path))
    source = open_backgrounds_of(section, list_kind(section))
    counts = Counter(int(picture[0, 0, 0]) for picture in draws(source, 400))
    assert sorted(counts) == [0, 50, 100, 150]
    assert min(counts.values()) > 100 - 4 * 8.7  # four standard deviations of a binomial count


def test_a_damaged_background_is_counted_and_another_one_drawn(tmp_path):
    save_picture(tmp_path / "good.png", (9, 9, 9))
    (tmp_path / "bad.png").write_bytes(b"no picture")
    source = FileBackgrounds(tmp_path, ("bad.png", "good.png"))
    assert all((picture == 9).all() for picture in draws(source))
    assert source.damaged["bad.png"] > 10
    with pytest.raises(BadInput, match="in a row do not decode"):
        draws(FileBackgrounds(tmp_path, ("bad.png",)), 1)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_window_depends_on_the_generator_alone(family):
    source = PhotoBackgrounds(family)
    first = draws(source, 12, 24)
    backwards = [PhotoBackgrounds(family).draw(item_rng(1, "test", i), 24) for i in reversed(range(12))][::-1]
    for one, other in zip(first, backwards, strict=True):
        np.testing.assert_array_equal(one, other)
    assert len({picture.tobytes() for picture in first}) == 12
    assert first[0].shape == (24, 24, 3) and first[0].dtype == np.uint8


def test_the_families_share_no_scene_and_show_nobody():
    stems = {family: {Path(name).stem.split("_")[0] for name in names} for family, names in FAMILIES.items()}
    assert not stems["A"] & stems["B"]
    # astronaut and camera show people, coins show heads; logo, horse and color are drawings.
    assert not (stems["A"] | stems["B"]) & {"astronaut", "camera", "coins", "lfw", "logo", "horse", "color"}


def test_a_window_is_at_least_a_third_of_the_photograph(monkeypatch):
    seen = []
    monkeypatch.setattr(backgrounds, "stretched", lambda photo, size: seen.append(photo.shape) or photo)
    source = PhotoBackgrounds("B")
    for i in range(200):
        source.draw(item_rng(2, "test", i), 32)
    smallest = min(photo.shape[0] for photo in source.photos)
    assert min(shape[0] for shape in seen) >= int(0.35 * smallest)
    assert len({shape[0] / shape[1] for shape in seen}) > 150, "the two sides are drawn by themselves"


def test_the_backdrop_of_a_stand_in_is_the_same_in_every_run():
    np.testing.assert_array_equal(backdrop(3, 16), backdrop(3, 16))
    assert (backdrop(3, 16) != backdrop(4, 16)).any()
