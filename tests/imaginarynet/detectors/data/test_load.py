"""Training data of a setting, and the target set."""

import collections
import dataclasses
import shutil

import numpy as np
import pytest

from experiments.imaginarynet.config import ImaginaryNetConfig
from experiments.imaginarynet.config_detectors import ImaginaryConfig, SettingConfig, TargetConfig
from experiments.imaginarynet.detectors.data.load import load_sources, load_target
from suite.errors import BadInput
from tests.imaginarynet.detectors.data.sets import CLASSES, coco_folder, tree, voc_folder

ISOD = SettingConfig(image_labels=("imaginary",))
WSOD = SettingConfig(image_labels=("real", "imaginary"))
SHUFFLED = SettingConfig(image_labels=("imaginary",), shuffle_labels=True)
SUPERVISED = SettingConfig(boxes=("real",))
SSOD = SettingConfig(boxes=("real",), unlabelled=("imaginary", "real-unlabelled"))
SSOD_IMAGINARY = SettingConfig(boxes=("real",), unlabelled=("imaginary",))

REAL = [(number, CLASSES[number % 3]) for number in range(1, 9)]
IMAGINARY = [(number, CLASSES[number % 2]) for number in range(1, 13)]


@pytest.fixture
def export(tmp_path):
    """A run's export folder with twelve pictures."""
    coco_folder(tmp_path / "export" / "coco", tree(IMAGINARY, level="image", box=(0, 0, 32, 24)))
    return tmp_path / "export"


@pytest.fixture
def config(tmp_path):
    """A target of eight pictures to train on, in another order of classes, and three to test on."""
    classes = CLASSES[::-1]
    coco_folder(tmp_path / "real", tree(REAL, classes=classes), "train")
    coco_folder(tmp_path / "real", tree(REAL[:3], classes=classes), "test")
    target = TargetConfig(data="coco", root=str(tmp_path / "real"), boxed=3)
    return dataclasses.replace(ImaginaryNetConfig(), classes=CLASSES, target=target)


def with_target(config, **changes):
    return dataclasses.replace(config, target=dataclasses.replace(config.target, **changes))


def files(source):
    return {picture.file for picture in source.pictures}


def test_isod_has_imaginary_pictures_and_their_classes_alone(config, export):
    data = load_sources(config, export, ISOD, seed=0)
    assert data.boxes is None and data.unlabelled is None
    assert [picture.labels for picture in data.image_labels.pictures] == [{k % 2} for k, _ in IMAGINARY]
    assert {picture.source for picture in data.image_labels.pictures} == {"imaginary"}
    assert data.notes == ("imaginary: no picture of traffic light",)


def test_wsod_concatenates_real_and_imaginary_under_ids_of_their_own(config, export):
    source = load_sources(config, export, WSOD, seed=0).image_labels
    assert collections.Counter(p.source for p in source.pictures) == {"real": 8, "imaginary": 12}
    assert [picture.id for picture in source.pictures] == list(range(20))
    assert [picture.labels for picture in source.pictures[:8]] == [{k % 3} for k, _ in REAL]


def test_wsod_uses_all_real_pictures_whatever_has_boxes_elsewhere(config, export):
    few = with_target(config, boxed=1)
    assert len(load_sources(few, export, WSOD, seed=0).image_labels) == 20


def test_shuffled_labels_keep_their_numbers_and_leave_their_pictures(config, export):
    plain = load_sources(config, export, ISOD, seed=0).image_labels
    dealt = load_sources(config, export, SHUFFLED, seed=0)
    counts = [collections.Counter(p.labels for p in s.pictures) for s in (plain, dealt.image_labels)]
    assert counts[0] == counts[1]
    moved = [a.labels != b.labels for a, b in zip(plain.pictures, dealt.image_labels.pictures, strict=True)]
    assert any(moved)
    assert files(plain) == files(dealt.image_labels)
    assert dealt.notes[-1] == "labels of 12 pictures dealt anew among them (control)"


def test_the_seed_deals_the_labels(config, export):
    def dealt(seed):
        return [p.labels for p in load_sources(config, export, SHUFFLED, seed=seed).image_labels.pictures]

    assert dealt(0) == dealt(0)
    assert len({tuple(map(tuple, dealt(seed))) for seed in range(4)}) > 1


def test_boxed_pictures_and_unlabelled_ones_share_none_and_make_up_the_set(config, export):
    data = load_sources(config, export, SSOD, seed=0)
    rest = {p.file for p in data.unlabelled.pictures if p.source == "real-unlabelled"}
    assert len(data.boxes) == 3 and len(rest) == 5 and not files(data.boxes) & rest
    assert len(data.unlabelled) == 12 + 5
    ids = [p.id for source in (data.boxes, data.unlabelled) for p in source.pictures]
    assert len(set(ids)) == len(ids)


def test_the_seed_picks_the_boxed_pictures_and_fewer_are_a_part_of_more(config, export):
    def boxed(count, seed):
        return files(load_sources(with_target(config, boxed=count), export, SUPERVISED, seed=seed).boxes)

    assert boxed(3, 1) == boxed(3, 1)
    assert len({frozenset(boxed(3, seed)) for seed in range(4)}) > 1
    assert boxed(3, 1) < boxed(5, 1)


def test_boxes_come_with_their_classes_in_the_order_of_the_class_list(config, export):
    record = load_sources(with_target(config, boxed=8), export, SUPERVISED, seed=0).boxes.pictures[1]
    np.testing.assert_array_equal(record.boxes, [[2, 2, 10, 10]])
    np.testing.assert_array_equal(record.labels, [2])  # "traffic light", category 1 of the file


@pytest.mark.parametrize("boxed", [None, 8])
@pytest.mark.parametrize("beside", [(), ("imaginary",)])
def test_an_empty_unlabelled_set_is_one_line(config, export, boxed, beside):
    setting = SettingConfig(boxes=("real",), unlabelled=(*beside, "real-unlabelled"))
    with pytest.raises(BadInput, match="no picture in real-unlabelled; set target.unlabelled"):
        load_sources(with_target(config, boxed=boxed), export, setting, seed=0)


def test_further_splits_are_unlabelled_beside_what_boxed_leaves(config, export):
    data = load_sources(with_target(config, unlabelled=("test",)), export, SSOD, seed=0)
    assert sum(p.source == "real-unlabelled" for p in data.unlabelled.pictures) == 5 + 3


@pytest.mark.parametrize("annotations", [[], None, [{"id": "none of COCO's"}]])
def test_unlabelled_real_pictures_need_no_annotation(config, export, annotations):
    content = tree([(71, CLASSES[0]), (72, CLASSES[0])])
    content["annotations"] = annotations
    if annotations is None:
        del content["annotations"]
    coco_folder(config.target.folder, content, "more")
    data = load_sources(with_target(config, unlabelled=("more",), boxed=None), export, SSOD, seed=0)
    found = [p.file.stem for p in data.unlabelled.pictures if p.source == "real-unlabelled"]
    assert found == ["71", "72"]


def test_more_boxed_pictures_than_there_are_is_one_line(config, export):
    with pytest.raises(BadInput, match="target.boxed is 9, there are 8 pictures; set it to 8 or less"):
        load_sources(with_target(config, boxed=9), export, SUPERVISED, seed=0)


def test_imaginary_pictures_come_from_another_folder_where_one_is_named(config, export, tmp_path):
    shutil.copytree(export / "coco", tmp_path / "other")
    named = dataclasses.replace(config, imaginary=ImaginaryConfig(folder=str(tmp_path / "other")))
    source = load_sources(named, None, ISOD, seed=0).image_labels
    assert {picture.file.parent for picture in source.pictures} == {tmp_path / "other" / "train"}


def test_a_setting_with_imaginary_pictures_needs_some(config, tmp_path):
    with pytest.raises(BadInput, match="none are made; set imaginary.folder"):
        load_sources(config, None, ISOD, seed=0)
    with pytest.raises(BadInput, match=r"holds 0 files annotations/\*.json"):
        load_sources(config, tmp_path / "nowhere", ISOD, seed=0)


def test_fewer_imaginary_pictures_are_a_part_of_more(config, export):
    def some(count):
        fewer = dataclasses.replace(config, imaginary=ImaginaryConfig(count=count))
        return files(load_sources(fewer, export, ISOD, seed=0).image_labels)

    assert len(some(4)) == 4 and some(4) < some(7) < some(12)
    with pytest.raises(BadInput, match="imaginary.count is 13, there are 12 pictures"):
        some(13)


def test_labels_of_unlabelled_pictures_are_told_only_on_request(config, export):
    assert load_sources(config, export, SSOD, seed=0).known_labels == {}
    data = load_sources(config, export, SSOD, seed=0, known_labels=True)
    imaginary = {p.id: int(p.file.stem) for p in data.unlabelled.pictures if p.source == "imaginary"}
    assert data.known_labels == {number: {name % 2} for number, name in imaginary.items()}


def test_unlabelled_imaginary_pictures_need_no_annotation_that_reads(config, export):
    clean = load_sources(config, export, SSOD_IMAGINARY, seed=0)
    path = export / "coco" / "annotations" / "instances_train.json"
    path.write_text(path.read_text().replace('"image_id"', '"picture"'))
    assert load_sources(config, export, SSOD_IMAGINARY, seed=0).unlabelled == clean.unlabelled


def test_the_target_has_its_categories_in_the_order_of_the_class_list(config):
    target = load_target(config)
    assert [(c.id, c.name) for c in target.train.categories] == [(1, "mug"), (2, "lemon"), (3, CLASSES[2])]
    first = target.train.annotations_by_image[1][0]
    assert target.train.category_by_id[first.category_id].name == "lemon"
    assert (len(target.train.images), len(target.test.images)) == (8, 3)
    for coco, folder in ((target.test, target.test_dir), (target.train, target.train_dir)):
        assert all((folder / image.file_name).is_file() for image in coco.images)


def test_of_a_target_with_more_classes_those_of_the_run_stay_with_every_picture(config, export):
    config = dataclasses.replace(config, classes=CLASSES[:2])
    whole, part = load_target(dataclasses.replace(config, classes=CLASSES)), load_target(config)
    assert part.test.images == whole.test.images
    assert [category.name for category in part.test.categories] == list(CLASSES[:2])
    assert part.test.annotations == tuple(row for row in whole.test.annotations if row.category_id <= 2)
    data = load_sources(config, export, SettingConfig(boxes=("real",)), seed=0)
    assert f"real: objects of other classes are left out: {CLASSES[2]}" in data.notes


def test_a_class_that_the_target_does_not_have_is_one_line(config):
    config = dataclasses.replace(config, classes=(*CLASSES, "potion"))
    with pytest.raises(BadInput, match="instances_test.json: has no class 'potion'.*SETTING=none"):
        load_target(config)


@pytest.mark.parametrize("limit", [1, 2, 1000])
def test_a_limit_keeps_some_pictures_of_each_split(config, limit):
    whole = load_target(config)
    target = dataclasses.replace(config.target, limit=limit)
    part = load_target(dataclasses.replace(config, target=target))
    assert len(part.test.images) == min(limit, len(whole.test.images))
    assert all(image in whole.train.images for image in part.train.images)
    assert {row.image_id for row in part.test.annotations} <= {image.id for image in part.test.images}


def test_the_embedded_target_and_its_imaginary_set_have_the_same_classes():
    target = load_target(ImaginaryNetConfig())
    assert (len(target.train.images), len(target.test.images)) == (400, 200)
    assert [category.name for category in target.train.categories] == list(target.class_names)


@pytest.fixture
def voc(tmp_path):
    """VOC2007/trainval and VOC2012/trainval with a picture of the same name in each."""
    voc_folder(tmp_path / "VOC2007", "trainval", {"a": [("mug", False)], "b": [("lemon", True)]})
    voc_folder(tmp_path / "VOC2012", "trainval", {"a": [("trafficlight", False)]})
    splits = ("VOC2007/trainval", "VOC2012/trainval")
    target = TargetConfig(data="voc", root=str(tmp_path), train=splits, test=splits[:1])
    return dataclasses.replace(ImaginaryNetConfig(), classes=CLASSES, target=target)


def test_splits_of_voc_are_one_set_by_the_names_of_their_classes(voc):
    source = load_sources(voc, None, SettingConfig(image_labels=("real",)), seed=0).image_labels
    assert [picture.labels for picture in source.pictures] == [{0}, set(), {2}]
    assert all(picture.file.is_file() for picture in source.pictures)
    target = load_target(voc)
    assert [image.file_name for image in target.train.images] == [
        "VOC2007/JPEGImages/a.jpg",
        "VOC2007/JPEGImages/b.jpg",
        "VOC2012/JPEGImages/a.jpg",
    ]
    assert [row.category_id for row in target.train.annotations] == [1, 2, 3]
    assert target.train.annotations[1].ignore


def test_a_picture_in_two_splits_is_one_line(voc):
    twice = with_target(voc, train=("VOC2007/trainval", "VOC2007/trainval"))
    with pytest.raises(BadInput, match="JPEGImages/a.jpg is in two of the splits"):
        load_target(twice)


def test_a_split_of_voc_names_its_year(voc):
    with pytest.raises(BadInput, match="write it as VOC2007/trainval"):
        load_target(with_target(voc, train=("trainval",)))


def test_pictures_without_a_label_are_told(voc):
    notes = load_sources(voc, None, SettingConfig(image_labels=("real",)), seed=0).notes
    assert "real: 1 pictures without a label, negatives of every class" in notes
