import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.sample_synthesis.data.fddb import FOLDS, ellipse_boxes, fddb, rect_lists
from suite.errors import BadInput, Missing
from tests.sample_synthesis.data.lookalikes import change, write_fddb, write_lines

SAMPLES = 20_000  # points on the ellipse: with radii up to 300 the extremes are missed by less than 4e-6 px


def radii(low, high):
    return st.floats(low, high, allow_nan=False)


@given(major=radii(1, 300), minor=radii(1, 300), angle=st.floats(-7, 7), x=radii(-50, 900), y=radii(-50, 900))
def test_the_box_of_an_ellipse_is_that_of_densely_sampled_points_within_a_hundredth_of_a_pixel(
    major, minor, angle, x, y
):
    t = np.linspace(0, 2 * np.pi, SAMPLES)
    xs = x + major * np.cos(t) * np.cos(angle) - minor * np.sin(t) * np.sin(angle)
    ys = y + major * np.cos(t) * np.sin(angle) + minor * np.sin(t) * np.cos(angle)
    sampled = [xs.min(), ys.min(), xs.max(), ys.max()]
    box = ellipse_boxes(np.array([[major, minor, angle, x, y]]))[0]
    assert np.abs(box - sampled).max() < 0.01


@given(major=radii(1, 300), minor=radii(1, 300), angle=st.floats(-7, 7))
def test_half_a_turn_gives_the_same_box_and_a_quarter_turn_swaps_the_radii(major, minor, angle):
    def box(*ellipse):
        return ellipse_boxes(np.array([[*ellipse, 0, 0]]))[0]

    assert box(major, minor, angle + math.pi) == pytest.approx(box(major, minor, angle), abs=1e-9)
    assert box(major, minor, angle + math.pi / 2) == pytest.approx(box(minor, major, angle), abs=1e-9)


def test_a_line_of_the_published_readme_has_the_box_that_it_should():
    # An upright ellipse: the major axis points down, so its radius is the half height.
    box = ellipse_boxes(np.array([[123.5833, 85.5495, math.pi / 2, 269.6934, 161.7812]]))[0]
    assert box == pytest.approx([269.6934 - 85.5495, 161.7812 - 123.5833, 355.2429, 285.3645])


def test_folds_1_to_5_train_6_and_7_validate_and_8_to_10_test(tmp_path):
    sets = fddb(write_fddb(tmp_path))
    folds = {split: {image.extra["fold"] for image in real.coco.images} for split, real in sets.items()}
    assert folds == {"train": {1, 2, 3, 4, 5}, "valid": {6, 7}, "test": {8, 9, 10}}
    assert {split: len(real) for split, real in sets.items()} == {"train": 15, "valid": 6, "test": 9}
    assert sets["train"].coco.images[4].file_name == "2002/08/02/big/img_1.jpg"  # file order, fold after fold
    np.testing.assert_allclose(sets["train"].boxes()[1], [[6, 14, 14, 26], [14, 14, 22, 26]], atol=1e-6)
    assert sum(len(range_) for range_ in FOLDS.values()) == 10


def test_the_published_rectangles_are_read_and_come_before_the_ellipses(tmp_path):
    ellipses = fddb(write_fddb(tmp_path))
    write_fddb(tmp_path, form="rect")
    change(tmp_path / "FDDB-folds" / "FDDB-fold-01-rectList.txt", "6.0,14.0,14.0,26.0", "7.0,14.0,14.0,26.0")
    rectangles = fddb(tmp_path)
    assert rectangles["train"].boxes()[0].tolist() == [[7, 14, 14, 26]]
    for a, b in zip(ellipses["test"].boxes(), rectangles["test"].boxes(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_what_is_written_in_the_published_form_is_read_back_as_the_same_boxes(tmp_path):
    sets = fddb(write_fddb(tmp_path))
    for name, text in rect_lists(sets).items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    for split, real in fddb(tmp_path).items():
        assert [i.file_name for i in real.coco.images] == [i.file_name for i in sets[split].coco.images]
        for a, b in zip(real.boxes(), sets[split].boxes(), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5)


def test_pictures_may_lie_in_the_folder_that_their_archive_unpacks_to(tmp_path):
    sets = fddb(write_fddb(tmp_path, inside="originalPics"))
    assert all(path.is_file() for path in sets["test"].paths())


def test_a_face_that_leaves_the_picture_is_clipped_and_counted(tmp_path):
    write_fddb(tmp_path)
    file = tmp_path / "FDDB-folds" / "FDDB-fold-01-ellipseList.txt"
    change(file, "1.570796327 10.000000 20.000000", "1.570796327 2.000000 20.000000")
    real = fddb(tmp_path)["train"]
    np.testing.assert_allclose(real.boxes()[0], [[0, 14, 6, 26]], atol=1e-6)
    assert real.coco.info["info"]["clipped_boxes"] == 1


def test_one_negative_radius_in_many_is_left_out_and_counted(tmp_path):
    write_fddb(tmp_path, per_fold=6)  # 105 faces in the training folds
    change(tmp_path / "FDDB-folds" / "FDDB-fold-03-ellipseList.txt", "6.000000 4.0", "6.000000 -4.0")
    sets = fddb(tmp_path)
    assert sets["train"].coco.skipped.counts == {"radius not above 0": 1, "image without a good box": 1}
    assert len(sets["train"]) == 29
    assert "FDDB-fold-03-ellipseList.txt: line 3: an ellipse with radii 6 and -4" in str(
        sets["train"].coco.skipped.examples[0]
    )


def test_too_many_negative_radii_end_reading_with_one_line_that_names_file_and_row(tmp_path):
    write_fddb(tmp_path)
    change(tmp_path / "FDDB-folds" / "FDDB-fold-03-ellipseList.txt", "6.000000 4.0", "6.000000 -4.0")
    with pytest.raises(
        BadInput, match=r"1 of 30 boxes are bad .*fold-03-ellipseList.txt: line 3: an ellipse"
    ):
        fddb(tmp_path)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["2002/08/01/big/img_0"], "line 2: '' is no number of faces"),
        (["2002/08/01/big/img_0", "two"], "line 2: 'two' is no number of faces"),
        (["2002/08/01/big/img_0", "3", "6 4 0 20 20 1"], "line 2: '3' is no number of faces"),
    ],
)
def test_a_cut_ellipse_list_ends_reading(tmp_path, lines, said):
    write_fddb(tmp_path)
    write_lines(tmp_path / "FDDB-folds" / "FDDB-fold-01-ellipseList.txt", lines)
    with pytest.raises(BadInput, match=said):
        fddb(tmp_path)


def test_an_absent_set_names_its_page_its_terms_and_the_folder(tmp_path):
    with pytest.raises(Missing, match=r"vis-www.cs.umass.edu/fddb.*UM-CS-2010-009.*data/FDDB"):
        fddb(tmp_path)
