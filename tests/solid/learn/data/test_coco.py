import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from experiments.solid.learn.data.coco import load_target_set
from suite.datasets.tabletop import TABLETOP
from suite.errors import BadInput
from tests.solid.learn.coco_sets import CATEGORIES, coco_tree


def rewrite(path, change):
    """Change the tree of a COCO file in place."""
    tree = json.loads(Path(path).read_text(encoding="utf-8"))
    change(tree)
    Path(path).write_text(json.dumps(tree), encoding="utf-8")


def test_classes_are_numbered_by_their_sorted_ids(target_settings):
    data = load_target_set(target_settings)
    assert data.category_ids == (3, 7, 11)
    assert data.class_names == ("box", "cup", "ball")
    by_id = {a["id"]: a for a in coco_tree(10)["annotations"]}
    for record in (data.train[k] for k in range(len(data.train))):
        for annotation in record["annotations"]:
            (original,) = [
                a for a in by_id.values()
                if a["image_id"] == record["image_id"] and not a["iscrowd"]
                and a["bbox"][:2] == annotation["bbox"][:2]
            ]  # fmt: skip
            assert data.category_ids[annotation["category_id"]] == original["category_id"]


def test_crowd_regions_and_pictures_without_an_object_are_not_trained_on(target_settings):
    data = load_target_set(target_settings)
    records = [data.train[k] for k in range(len(data.train))]
    assert [record["image_id"] for record in records] == [1, 2, 3, 4, 6, 7, 8, 9]
    expected = [1 + image_id % 2 for image_id in (1, 2, 3, 4, 6, 7, 8, 9)]
    assert [len(record["annotations"]) for record in records] == expected
    assert all(a["iscrowd"] == 0 for record in records for a in record["annotations"])
    with pytest.raises(IndexError):
        data.train[8]


def test_every_test_picture_is_tested_on(target_settings):
    data = load_target_set(target_settings)
    assert [data.test[k]["image_id"] for k in range(5)] == [101, 102, 103, 104, 105]
    assert [image.id for image in data.test_set.images] == [101, 102, 103, 104, 105]
    assert all(data.test[k]["annotations"] == [] for k in range(5))


def test_only_the_first_pictures_are_taken_where_a_limit_is_set(target_settings):
    data = load_target_set(dataclasses.replace(target_settings, max_train=6, max_test=2))
    assert [data.train[k]["image_id"] for k in range(len(data.train))] == [1, 2, 3, 4, 6]
    assert [image.id for image in data.test_set.images] == [101, 102]
    assert {a.image_id for a in data.test_set.annotations} == {101, 102}
    assert len(data.test) == 2
    with pytest.raises(BadInput, match="first 1 pictures have no annotation"):
        rewrite(target_settings.test_json, lambda tree: tree["annotations"].pop(0))
        rewrite(target_settings.test_json, lambda tree: tree["annotations"].pop(0))
        load_target_set(dataclasses.replace(target_settings, max_test=1))


def test_records_are_held_as_one_array(target_settings):
    train = load_target_set(target_settings).train
    assert isinstance(train.text, np.ndarray)
    assert train.text.dtype == np.uint8
    assert len(train.text) == train.offsets[-1]


@pytest.mark.skipif(not (TABLETOP / "test.json").is_file(), reason="assets/tabletop is not there")
def test_the_embedded_set_is_read(target_settings):
    data = load_target_set(dataclasses.replace(target_settings, source="tabletop", max_train=40))
    assert 0 < len(data.train) <= 40
    assert len(data.class_names) == len(set(data.class_names)) >= 8
    assert len(data.test) == len(data.test_set.images)


# --- bad input: one line, exit 2


def box_outside(tree):
    tree["annotations"][2]["bbox"][0] = 60


def polygon_outside(tree):
    (first, *_) = [a for a in tree["annotations"] if isinstance(a["segmentation"], list)]
    first["segmentation"][0][0] = 90


def unknown_class(tree):
    tree["annotations"][1]["category_id"] = 12


def empty(tree):
    tree["annotations"] = []


def only_crowds(tree):
    tree["annotations"] = [a for a in tree["annotations"] if a["iscrowd"]]


def no_mask(tree):
    del tree["annotations"][0]["segmentation"]


def other_name(tree):
    tree["categories"][0]["name"] = "mug"


def one_more_class(tree):
    tree["categories"].append({"id": 40, "name": "fork"})


def lost_picture(tree):
    tree["images"][3]["file_name"] = "nowhere.png"


def flat_boxes(tree):
    for annotation in tree["annotations"][:2]:
        annotation["bbox"][2] = 0


FAULTS = [
    ("train", box_outside, r"annotation 3: box .* leaves image \d+ of 64x48"),
    ("test", box_outside, r"annotation 3: box .* leaves image \d+ of 64x48"),
    ("train", polygon_outside, "a polygon leaves image"),
    ("train", unknown_class, "category_id 12 is not among the categories"),
    ("train", empty, "holds no usable annotation"),
    ("test", empty, "holds no usable annotation"),
    ("train", only_crowds, "no picture shows an object to train on"),
    ("train", no_mask, "annotation 1 has no mask"),
    ("test", other_name, "lists other classes than .*train.json .category 7: mug, there cup"),
    ("test", one_more_class, "category 40: fork, there absent"),
    ("train", one_more_class, "category 40: absent, there fork"),
    ("test", lost_picture, "nowhere.png does not exist"),
    ("train", flat_boxes, "has no area"),  # two of 19: more than a published set may have
]


@pytest.mark.parametrize(("side", "change", "line"), FAULTS, ids=lambda x: getattr(x, "__name__", None))
def test_a_faulty_file_is_refused_in_one_line_that_names_it(target_settings, side, change, line):
    path = getattr(target_settings, f"{side}_json")
    rewrite(path, change)
    with pytest.raises(BadInput, match=line) as caught:
        load_target_set(target_settings)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    assert path in str(caught.value)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"images": []}'])
def test_what_is_no_coco_file_is_refused(target_settings, content):
    Path(target_settings.train_json).write_text(content, encoding="utf-8")
    with pytest.raises(BadInput, match="train.json"):
        load_target_set(target_settings)


def test_paths_that_are_not_set_or_not_there_are_named(target_settings):
    with pytest.raises(BadInput, match="target_set.test_json is not set"):
        load_target_set(dataclasses.replace(target_settings, test_json=None))
    with pytest.raises(BadInput, match="nowhere: no such folder of pictures"):
        load_target_set(dataclasses.replace(target_settings, train_images="/nowhere"))
    with pytest.raises(BadInput, match="nowhere.json: no such file"):
        load_target_set(dataclasses.replace(target_settings, train_json="/nowhere.json"))


def test_one_flat_box_in_many_is_left_out_and_reported(target_settings):
    def add(tree):
        first = tree["annotations"][0]
        tree["annotations"] += [{**first, "id": 1000 + k} for k in range(120)]
        tree["annotations"][50]["bbox"] = [3, 3, 0, 5]

    rewrite(target_settings.train_json, add)
    data = load_target_set(target_settings)
    assert len(data.train[0]["annotations"]) == 2 + 119
    assert data.notes == (f"{target_settings.train_json}: 1 left out: 1 box without area",)


def test_the_categories_of_the_helper_are_not_sorted_so_that_sorting_shows():
    assert [row["id"] for row in CATEGORIES] != sorted(row["id"] for row in CATEGORIES)
