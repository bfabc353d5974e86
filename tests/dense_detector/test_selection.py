"""Which boxes count, which are ignored, which are gone (acceptance check 10, bad input)."""

from __future__ import annotations

import contextlib
import json

import numpy as np
import pytest

from experiments.dense_detector.db import import_coco, open_read_only, open_to_write
from experiments.dense_detector.selection import ground_truth, hash_split, select
from suite.errors import BadInput
from tests.dense_detector.mini_coco import make_mini_coco

CLASSES = {1: "person", 3: "car", 18: "dog"}


def row(number, image_id, category_id, area, *, box=(10, 10, 20, 20), iscrowd=0):
    box = list(map(float, box))
    ids = {"id": number, "image_id": image_id, "category_id": category_id}
    return {**ids, "bbox": box, "area": float(area), "iscrowd": iscrowd}


# picture 1: persons of 100, 200, 300 px^2 and a dog; 2: a crowd of persons and a car; 3: a dog; 4: nothing
TREE = {
    "images": [{"id": k, "file_name": f"{k}.jpg", "width": 100, "height": 80} for k in (1, 2, 3, 4)],
    "categories": [{"id": key, "name": name} for key, name in CLASSES.items()],
    "annotations": [
        row(1, 1, 1, 100), row(2, 1, 1, 200, box=(-5, 70, 20, 20)), row(3, 1, 1, 300), row(4, 1, 18, 150),
        row(5, 2, 1, 250, iscrowd=1), row(6, 2, 3, 250), row(7, 3, 18, 50),
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def conn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("selection")
    (folder / "coco.json").write_text(json.dumps(TREE))
    import_coco(folder / "a.db", folder / "coco.json", split="train")
    with contextlib.closing(open_read_only(folder / "a.db")) as opened:
        yield opened


def ids(selection):
    return [image.image_id for image in selection.images]


def areas(selection):
    """{picture: (areas that count, areas that are ignored)}."""
    return {i.image_id: (i.areas.tolist(), i.ignore_areas.tolist()) for i in selection.images}


# --- classes ---


@pytest.mark.parametrize("names", [None, ("person",), ("dog",), ("dog", "person"), ("car", "dog")])
def test_labels_of_any_k_classes_are_0_to_k_minus_1_in_the_order_of_the_ids(conn, names):
    selection = select(conn, split="train", classes=names)
    wanted = [(key, name) for key, name in CLASSES.items() if names is None or name in names]
    assert list(zip(selection.category_ids, selection.class_names, strict=True)) == wanted
    for image in selection.images:
        truth = [a["category_id"] for a in TREE["annotations"] if a["image_id"] == image.image_id]
        found = [selection.category_ids[label] for label in [*image.labels, *image.ignore_labels]]
        assert sorted(found) == sorted(key for key in truth if key in selection.category_ids)
    used = {int(label) for image in selection.images for label in image.labels}
    assert used == set(range(len(wanted)))


def test_an_unknown_class_is_refused_with_near_matches(conn):
    with pytest.raises(BadInput, match=r"a\.db: holds no class 'Persons'; did you mean person\?"):
        select(conn, split="train", classes=("car", "Persons"))


def test_an_unknown_class_like_no_other_is_refused_with_all_there_are(conn):
    with pytest.raises(BadInput, match="holds no class 'zebra'; it holds person, car, dog"):
        select(conn, split="train", classes=("zebra",))


# --- areas and crowds ---


def test_both_area_limits_are_exclusive(conn):
    selected = areas(select(conn, split="train", classes=("person",), area=(100, 300)))
    assert selected == {1: ([200.0], [100.0, 300.0])}
    selected = areas(select(conn, split="train", classes=("person",), area=(99.9, 300.1)))
    assert selected == {1: ([100.0, 200.0, 300.0], [])}


def test_ignore_keeps_boxes_out_of_range_and_crowds_as_ignore_regions(conn):
    selection = select(conn, split="train", area=(100, 260), area_policy="ignore")
    assert areas(selection) == {1: ([200.0, 150.0], [100.0, 300.0]), 2: ([250.0], [250.0])}
    assert selection.images[1].ignore_crowd.tolist() == [True]
    assert selection.images[0].ignore_crowd.tolist() == [False, False]


def test_drop_forgets_boxes_out_of_range_and_crowds(conn):
    selection = select(conn, split="train", area=(100, 260), area_policy="drop")
    assert areas(selection) == {1: ([200.0, 150.0], []), 2: ([250.0], [])}


def test_image_keeps_all_boxes_of_a_picture_with_one_in_range(conn):
    selection = select(conn, split="train", area=(160, 260), area_policy="image")
    assert areas(selection) == {1: ([100.0, 200.0, 300.0, 150.0], []), 2: ([250.0], [250.0])}


@pytest.mark.parametrize("policy", ["ignore", "drop", "image"])
def test_the_policy_never_decides_which_pictures_are_kept(conn, policy):
    assert ids(select(conn, split="train", area=(100, 260), area_policy=policy)) == [1, 2]
    every = select(conn, split="train", area=(100, 260), area_policy=policy, keep_empty=True)
    assert ids(every) == [1, 2, 3, 4]


def test_a_picture_with_a_crowd_alone_counts_as_empty(conn):
    assert ids(select(conn, split="train", classes=("person",))) == [1]


def test_a_picture_without_annotations_is_left_out_or_kept_without_boxes(conn):
    kept = select(conn, split="train", keep_empty=True).images[3]
    assert (kept.image_id, kept.boxes.shape, kept.ignore.shape) == (4, (0, 4), (0, 4))
    assert 4 not in ids(select(conn, split="train"))


def test_boxes_are_clipped_to_their_picture(conn):
    boxes = select(conn, split="train", classes=("person",)).images[0].boxes
    assert boxes.dtype == np.float32
    assert boxes.tolist() == [[10, 10, 30, 30], [0, 70, 15, 80], [10, 10, 30, 30]]


# --- empty selections ---


def test_an_empty_selection_by_area_names_the_areas_there_are(conn):
    with pytest.raises(BadInput, match=r"is empty: no box of person .* 1000 and 2000; .* 3 .* 100 to 300"):
        select(conn, split="train", classes=("person",), area=(1000, 2000), keep_empty=True)


def test_an_unknown_split_names_those_there_are(conn):
    with pytest.raises(BadInput, match="holds no split 'test'; choose one of train"):
        select(conn, split="test")


def test_skipped_pictures_are_never_selected(tmp_path):
    (tmp_path / "coco.json").write_text(json.dumps(TREE))
    import_coco(tmp_path / "a.db", tmp_path / "coco.json", split="train")
    with contextlib.closing(open_to_write(tmp_path / "a.db")) as conn:
        conn.execute("INSERT INTO skipped VALUES (2, 'cut off')")
        assert ids(select(conn, split="train", keep_empty=True)) == [1, 3, 4]
        with pytest.raises(BadInput, match="no box of car in split 'train'; choose other classes"):
            select(conn, split="train", classes=("car",))


# --- from the selection on ---


def test_ground_truth_keeps_every_box_and_marks_the_ignored_ones(conn):
    truth = ground_truth(select(conn, split="train", area=(100, 260), keep_empty=True))
    assert [image.id for image in truth.images] == [1, 2, 3, 4]
    found = {(a.image_id, a.category_id, a.area): (a.ignore, a.iscrowd) for a in truth.annotations}
    assert len(truth.annotations) == len(TREE["annotations"])
    assert found[1, 1, 200.0] == (False, False) and found[1, 1, 100.0] == (True, False)
    assert found[2, 1, 250.0] == (True, True) and found[3, 18, 50.0] == (True, False)


@pytest.fixture(scope="module")
def mini(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mini")
    import_coco(folder / "a.db", make_mini_coco(folder / "set", num_images=60), split="train")
    with contextlib.closing(open_read_only(folder / "a.db")) as opened:
        yield select(opened, split="train"), select(opened, split="train", classes=("dog",))


def test_a_hash_split_parts_the_pictures_and_hangs_on_the_seed(mini):
    rest, held = hash_split(mini[0], share=0.25, seed=0)
    assert sorted(ids(rest) + ids(held)) == ids(mini[0]) and set(ids(rest)).isdisjoint(ids(held))
    assert 0.1 < len(held.images) / len(mini[0].images) < 0.4
    assert ids(hash_split(mini[0], share=0.25, seed=0)[1]) == ids(held)
    assert ids(hash_split(mini[0], share=0.25, seed=1)[1]) != ids(held)


def test_a_picture_stays_on_its_side_whatever_else_is_selected(mini):
    held = hash_split(mini[0], share=0.25, seed=0)[1]
    of_dogs = hash_split(mini[1], share=0.25, seed=0)[1]
    assert set(ids(of_dogs)) == set(ids(held)) & set(ids(mini[1]))


def test_a_split_with_an_empty_side_is_refused(mini):
    with pytest.raises(BadInput, match="leaves a side of the split empty"):
        hash_split(mini[0], share=1e-9, seed=0)
