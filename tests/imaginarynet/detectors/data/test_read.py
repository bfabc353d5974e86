"""Reading sets to a level of supervision: what counts as a label, and what is never looked at."""

import json

import numpy as np
import pytest

from experiments.imaginarynet.detectors.data import read
from suite.datasets import read_voc
from suite.errors import BadInput
from tests.imaginarynet.detectors.data.sets import CLASSES, HEIGHT, WIDTH, coco_folder, tree, voc_folder

PAIRS = [(1, "mug"), (1, "traffic light"), (2, "lemon"), (3, "lemon")]
LABELS = {1: {0, 2}, 2: {1}, 3: {1}}
IMAGE_LEVEL = {"description": "imaginary pictures", "label_level": "image"}


def labels_of(found, class_names=CLASSES):
    return read.image_labels(found, class_names)


def read_folder(root, content, **options):
    path = coco_folder(root, content)
    return read.read_coco_set(path, root / "train", **options)


@pytest.mark.parametrize("marks", [{"info": IMAGE_LEVEL}, {"level": "image"}, {}])
def test_labels_of_a_picture_are_the_classes_of_its_annotations(tmp_path, marks):
    assert labels_of(read_folder(tmp_path, tree(PAIRS, **marks))) == LABELS


def test_one_annotation_with_image_level_is_enough_for_the_file(tmp_path):
    content = tree(PAIRS)
    content["annotations"][2]["label_level"] = "image"
    assert not read_folder(tmp_path, content).has_boxes


POISONS = {
    "moved": {"bbox": [5, 5, 3, 3], "area": 9},
    "without area": {"bbox": [0, 0, 0, 0], "area": 0},
    "outside": {"bbox": [900, 900, 50, 50], "area": 2500},
    "not a number": {"bbox": [float("nan")] * 4, "area": float("nan")},
    "text": {"bbox": "here", "area": "large", "iscrowd": "yes", "ignore": "no"},
    "a mask": {"segmentation": [[0, 0, 900, 0, 900, 900]]},
    "a crowd": {"iscrowd": 1, "ignore": 1},
}


@pytest.mark.parametrize("poison", POISONS)
@pytest.mark.parametrize("mark", ["file", "annotations"])
def test_nothing_depends_on_the_boxes_of_a_file_with_image_level_labels(tmp_path, poison, mark):
    marks = {"info": IMAGE_LEVEL} if mark == "file" else {"level": "image"}
    clean = tree(PAIRS, **marks)
    found = read_folder(tmp_path, clean)
    wanted = read.image_labelled(found, CLASSES, source="imaginary", first_id=0)
    dirty = {**clean, "annotations": [{**row, **POISONS[poison]} for row in clean["annotations"]]}
    assert dirty != clean
    again = read.image_labelled(read_folder(tmp_path, dirty), CLASSES, source="imaginary", first_id=0)
    assert again == wanted
    assert [row.labels for row in again] == [{0, 2}, {1}, {1}]


def test_boxes_that_are_missing_are_not_missed_at_image_level(tmp_path):
    content = tree(PAIRS, info=IMAGE_LEVEL)
    for row in content["annotations"]:
        del row["bbox"], row["area"]
    assert labels_of(read_folder(tmp_path, content)) == LABELS


def test_unlabelled_pictures_are_read_without_their_annotations(tmp_path):
    content = tree(PAIRS)
    content["annotations"] = ["not an annotation", {"bbox": None}]
    records = read.unlabelled(read_folder(tmp_path, content, labels=False), source="real", first_id=5)
    assert [(row.id, row.file.name) for row in records] == [(5, "1.png"), (6, "2.png"), (7, "3.png")]


@pytest.mark.parametrize("odd", [{"ignore": 1}, {"area": 0}, {"bbox": [2, 2, 1, 9]}, {"bbox": [2, 2, 9, 1]}])
def test_an_object_of_a_pixel_or_to_be_ignored_makes_no_label(tmp_path, odd):
    content = tree(PAIRS)
    content["annotations"][1] |= odd
    assert labels_of(read_folder(tmp_path, content)) == {**LABELS, 1: {0}}


def test_an_object_just_above_a_pixel_makes_a_label(tmp_path):
    content = tree([(1, "mug")], box=(2, 2, 1.5, 1.5))
    assert labels_of(read_folder(tmp_path, content)) == {1: {0}}


def test_moving_boxes_of_a_real_set_leaves_its_labels(tmp_path):
    clean, moved = tree(PAIRS, box=(2, 2, 8, 8)), tree(PAIRS, box=(10, 1, 4, 20))
    assert labels_of(read_folder(tmp_path, clean)) == labels_of(read_folder(tmp_path, moved)) == LABELS


def test_a_difficult_object_of_voc_makes_no_label_and_stays_a_box(tmp_path):
    voc_folder(
        tmp_path,
        "trainval",
        {"a": [("mug", False), ("lemon", True)], "b": [("lemon", True), ("lemon", False)]},
    )
    coco = read_voc(tmp_path, split="trainval")
    found = read.PictureSet(coco, tmp_path / "JPEGImages", tmp_path)
    assert labels_of(found) == {1: {0}, 2: {1}}
    first, second = read.boxed(found, CLASSES, source="real", first_id=0)
    np.testing.assert_array_equal(first.labels, [0, 1])
    np.testing.assert_array_equal(first.difficult, [False, True])
    np.testing.assert_array_equal(second.boxes, [[2, 2, 12, 14]] * 2)
    assert first.boxes.dtype == np.float32


@pytest.mark.parametrize("marks", [{"info": IMAGE_LEVEL}, {}])
def test_a_class_outside_the_list_is_one_line_with_the_file(tmp_path, marks):
    found = read_folder(tmp_path, tree(PAIRS, **marks))
    with pytest.raises(BadInput, match=r"instances_train.json: class 'lemon' is not in the class list \(mug"):
        labels_of(found, ("mug", "traffic light"))


def test_a_class_outside_the_list_without_annotations_does_no_harm(tmp_path):
    found = read_folder(tmp_path, tree(PAIRS, classes=(*CLASSES, "unicorn")))
    assert labels_of(found) == LABELS


def test_classes_go_by_name_whatever_their_order_spaces_and_case(tmp_path):
    found = read_folder(tmp_path, tree(PAIRS))
    assert labels_of(found, ("Trafficlight", "lemon", "mug")) == {1: {0, 2}, 2: {1}, 3: {1}}
    assert labels_of(found, ("lemon", "mug", "TRAFFIC LIGHT")) == {1: {1, 2}, 2: {0}, 3: {0}}


@pytest.mark.parametrize("marks", [{"info": IMAGE_LEVEL}, {}])
def test_a_duplicate_image_id_is_one_line(tmp_path, marks):
    content = tree(PAIRS, **marks)
    content["images"].append({**content["images"][0], "file_name": "9.png"})
    with pytest.raises(BadInput, match="image 1: the id occurs twice"):
        read_folder(tmp_path, content)


def test_a_missing_picture_is_one_line(tmp_path):
    path = coco_folder(tmp_path, tree(PAIRS))
    (tmp_path / "train" / "2.png").unlink()
    with pytest.raises(BadInput, match="image 2: .*2.png does not exist"):
        read.read_coco_set(path, tmp_path / "train")


def test_placeholder_boxes_cannot_be_used_as_boxes(tmp_path):
    found = read_folder(tmp_path, tree(PAIRS, level="image"))
    with pytest.raises(BadInput, match="the boxes mean nothing; use it under `image_labels`"):
        read.boxed(found, CLASSES, source="imaginary", first_id=0)


def test_boxes_are_clipped_to_the_picture_and_crowds_left_out(tmp_path):
    content = tree([(1, "mug"), (1, "lemon"), (2, None)], box=(-0.5, 4, WIDTH + 1, HEIGHT - 3.5))
    content["annotations"][1]["iscrowd"] = 1
    first, second = read.boxed(read_folder(tmp_path, content), CLASSES, source="real", first_id=0)
    np.testing.assert_array_equal(first.boxes, [[0, 4, WIDTH, HEIGHT]])
    np.testing.assert_array_equal(first.labels, [0])
    assert second.boxes.shape == (0, 4) and second.labels.dtype == np.int64


@pytest.mark.parametrize("labels", [True, False])
def test_what_is_no_coco_file_is_one_line(tmp_path, labels):
    path = coco_folder(tmp_path, tree(PAIRS))
    path.write_text(json.dumps({"images": []}))
    with pytest.raises(BadInput, match="not a COCO file"):
        read.read_coco_set(path, tmp_path / "train", labels=labels)
