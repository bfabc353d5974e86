import json

import pytest

from experiments.sample_synthesis.data.coco_folder import coco
from suite.errors import BadInput, Missing
from tests.sample_synthesis.data.lookalikes import write_own


def edit(path, change):
    tree = json.loads(path.read_text(encoding="utf-8"))
    change(tree)
    path.write_text(json.dumps(tree), encoding="utf-8")


@pytest.mark.parametrize("inside", ["", "images/"])
def test_file_names_count_from_the_folder_or_from_its_images(tmp_path, inside):
    sets = coco(write_own(tmp_path, inside=inside), label="bird")
    assert sets["test"].paths()[0] == tmp_path / "images" / "test-1.jpg"
    assert sets["test"].boxes()[1].tolist() == [[3, 4, 15, 16]]
    assert [category.name for category in sets["test"].coco.categories] == ["bird"]
    assert [image.id for image in sets["test"].coco.images] == [1, 2, 3, 4]


def test_without_a_validation_file_some_training_images_validate(tmp_path):
    (write_own(tmp_path) / "valid.json").unlink()
    with pytest.raises(Missing, match=r"valid.json.*bring-your-own-data"):
        coco(tmp_path, label="bird")
    sets = coco(tmp_path, label="bird", num_valid=1)
    assert {split: len(real) for split, real in sets.items()} == {"train": 3, "valid": 1, "test": 4}


def test_crowds_and_pictures_without_a_box_are_left_out_and_counted(tmp_path):
    write_own(tmp_path)
    edit(tmp_path / "train.json", lambda tree: tree["annotations"][2].update(iscrowd=1))
    skipped = coco(tmp_path, label="bird")["train"].coco.skipped
    assert skipped.counts == {"crowd or ignored object": 1, "image without a good box": 1}


def test_more_than_one_class_is_refused(tmp_path):
    write_own(tmp_path)
    edit(tmp_path / "train.json", lambda tree: tree["categories"].append({"id": 8, "name": "goose"}))
    with pytest.raises(BadInput, match=r"train.json: has 2 classes \(duck, goose\); keep one class"):
        coco(tmp_path, label="bird")


def test_a_picture_that_does_not_decode_is_named(tmp_path):
    write_own(tmp_path)
    (tmp_path / "images" / "valid-2.jpg").write_text("no picture", encoding="utf-8")
    with pytest.raises(BadInput, match=r"1 of 8 images are bad .*image 20: .*valid-2.jpg does not decode"):
        coco(tmp_path, label="bird")
