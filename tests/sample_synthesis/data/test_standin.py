import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from experiments.sample_synthesis.data.standin import (
    FACE_CROPS,
    FACE_PICTURES,
    MAX_FACES,
    RADII,
    SIZE_WH,
    FaceComposer,
    ellipse_extent,
    place_faces,
    standin,
)
from experiments.sample_synthesis.data.where import standin_folder
from experiments.sample_synthesis.objects.faces import lfw_rows
from suite.errors import Missing
from suite.seeds import item_rng
from tests.sample_synthesis.data.lookalikes import write_own


@given(seed=st.integers(0, 2**32))
@settings(max_examples=50)
def test_faces_lie_inside_do_not_meet_and_there_is_at_least_one(seed):
    homographies, boxes = place_faces(np.random.default_rng(seed))
    assert len(homographies) == len(boxes)
    assert 1 <= len(boxes) <= MAX_FACES
    assert boxes.min() >= 0
    assert (boxes[:, 2:] <= SIZE_WH).all()
    for i, one in enumerate(boxes):
        for other in boxes[:i]:
            assert (np.maximum(one[:2], other[:2]) >= np.minimum(one[2:], other[2:])).any()


@given(seed=st.integers(0, 2**32))
@settings(max_examples=50)
def test_the_box_is_the_extent_of_the_warped_ellipse(seed):
    homographies, boxes = place_faces(np.random.default_rng(seed))
    t = np.linspace(0, 2 * np.pi, 20_000)
    ellipse = np.stack([0.5 + RADII[0] * np.cos(t), 0.5 + RADII[1] * np.sin(t), np.ones_like(t)])
    for homography, box in zip(homographies, boxes, strict=True):
        warped = homography @ ellipse
        points = warped[:2] / warped[2]
        assert np.concatenate([points.min(axis=1), points.max(axis=1)]) == pytest.approx(box, abs=1e-3)
        assert ellipse_extent(homography).tolist() == box.tolist()


class Painted(FaceComposer):
    """Bright faces on black, without the photograph's changes."""

    def __init__(self):
        self.crops = np.full((50, 25, 25), 255, np.uint8)


def test_what_is_pasted_fills_its_box_within_a_pixel():
    for seed in range(20):
        rng = item_rng(seed, "test.paste", 0)
        (homography, *_), (box, *_) = place_faces(rng)
        picture = np.zeros((SIZE_WH[1], SIZE_WH[0], 3), np.float32)
        Painted()._paste(picture, Painted().crops[0], homography, rng)
        rows, columns = np.nonzero(picture[..., 0] > picture.max() / 2)
        extent = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert np.abs(box - extent).max() <= 1


def test_a_picture_depends_on_its_split_and_index_alone():
    one, other = FaceComposer(), FaceComposer()
    other.compose("train", 5)
    data, boxes = one.compose("train", 3)
    again, boxes_again = other.compose("train", 3)
    assert data == again
    assert boxes.tolist() == boxes_again.tolist()
    assert data != one.compose("test", 3)[0] != one.compose("test", 4)[0]
    assert Image.open(io.BytesIO(data)).size == SIZE_WH


def test_no_face_is_in_two_splits_and_none_is_pasted_by_the_synthesis():
    used = [set(range(*FACE_CROPS[split])) for split in FACE_CROPS]
    assert sum(map(len, used)) == len(set().union(*used)) == 50
    assert not set(lfw_rows("test").tolist()) & set(lfw_rows("paste").tolist())


def test_composed_sets_are_written_checked_and_called_stand_ins(tmp_path):
    sets = standin("face", tmp_path, limits={"train": 4, "valid": 2, "test": None})
    assert {split: len(real) for split, real in sets.items()} == {
        "train": 4,
        "valid": 2,
        "test": FACE_PICTURES["test"],
    }
    assert all(real.is_standin for real in sets.values())
    assert sets["train"].paths()[3] == tmp_path / "images" / "train" / "00004.jpg"
    _, boxes = FaceComposer().compose("train", 3)
    np.testing.assert_allclose(sets["train"].boxes()[3], boxes, atol=1e-4)
    assert sum(real.coco.skipped.total for real in sets.values()) == 0


@pytest.mark.parametrize("name", ["qr", "bird", "car"])
def test_rendered_scenes_are_read_from_the_assets(name, tmp_path):
    sets = standin(name, tmp_path)
    assert all(real.is_standin and len(real) for real in sets.values())
    assert sets["test"].paths()[0].is_relative_to(standin_folder(name))
    assert sum(real.coco.skipped.total for real in sets.values()) == 0


def test_rendered_scenes_are_said_to_be_stand_ins(tmp_path, monkeypatch):
    monkeypatch.setattr("experiments.sample_synthesis.data.where.STANDINS", tmp_path)
    (tmp_path / "car_scenes").mkdir()
    write_own(tmp_path / "car_scenes", inside="images/")
    sets = standin("car", tmp_path)
    assert {real.source for real in sets.values()} == {"standin"}
    assert [category.name for category in sets["test"].coco.categories] == ["car"]


def test_scenes_that_are_gone_say_how_to_restore_them(tmp_path, monkeypatch):
    monkeypatch.setattr("experiments.sample_synthesis.data.where.STANDINS", tmp_path)
    with pytest.raises(Missing, match="git checkout assets/sample_synthesis"):
        standin("qr", tmp_path)
