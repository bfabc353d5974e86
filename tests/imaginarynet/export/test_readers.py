"""The VOC and COCO exports in the readers of detectron2, MMDetection and torchvision."""

import pytest

from experiments.imaginarynet.export.coco import write_labelled
from experiments.imaginarynet.export.voc import write_voc
from tests.imaginarynet.export.test_formats import LABELS, kept_ids, source

pytestmark = pytest.mark.slow  # each of the three takes seconds to import


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("VOC2012")  # the readers find the year in the name of the folder
    of = source(folder)
    write_voc(of, folder)
    write_labelled(of, folder / "coco")
    return of, folder


def test_detectron2_reads_the_voc_folder(made):
    pytest.importorskip("detectron2")
    import suite.compat.detectron2  # noqa: F401

    # isort: split
    from detectron2.data.datasets.pascal_voc import load_voc_instances

    of, folder = made
    found = load_voc_instances(str(folder), "train", list(LABELS))
    assert [row["image_id"] for row in found] == kept_ids(of)
    for row, kept in zip(found, of.kept, strict=True):
        assert (row["width"], row["height"]) == (kept.width, kept.height)
        assert [a["category_id"] for a in row["annotations"]] == [kept.class_id]
        assert row["annotations"][0]["bbox"] == [0.0, 0.0, kept.width, kept.height]


def mmdet_datasets():
    pytest.importorskip("mmdet")
    import suite.compat.mmcv  # noqa: F401

    # isort: split
    import mmdet.datasets

    return mmdet.datasets


def test_mmdetection_reads_the_voc_folder(made):
    datasets = mmdet_datasets()
    of, folder = made
    found = datasets.VOCDataset(
        data_root=str(folder), ann_file="ImageSets/Main/train.txt", data_prefix={"sub_data_root": ""},
        metainfo={"classes": LABELS}, test_mode=True,
    )  # fmt: skip
    assert len(found) == len(of.kept)
    for place, kept in enumerate(of.kept):
        row = found.get_data_info(place)
        assert (row["width"], row["height"]) == (kept.width, kept.height)
        assert [one["bbox_label"] for one in row["instances"]] == [kept.class_id]
        corners = [float(value) for value in row["instances"][0]["bbox"]]
        assert corners == [0, 0, kept.width - 1, kept.height - 1]  # it takes one off all four


def test_mmdetection_reads_the_coco_file(made):
    datasets = mmdet_datasets()
    of, folder = made
    found = datasets.CocoDataset(
        ann_file=str(folder / "coco" / "annotations" / "instances_train.json"),
        data_prefix={"img": str(folder / "coco" / "train")},
        metainfo={"classes": of.class_names}, test_mode=True,
    )  # fmt: skip
    labels = [found.get_data_info(place)["instances"][0]["bbox_label"] for place in range(len(found))]
    assert labels == [row.class_id for row in of.kept]


def test_torchvision_opens_every_picture_and_its_annotation(made, tmp_path):
    torchvision = pytest.importorskip("torchvision.datasets")
    of, folder = made
    (tmp_path / "VOCdevkit").mkdir()
    (tmp_path / "VOCdevkit" / "VOC2012").symlink_to(folder)
    found = torchvision.VOCDetection(str(tmp_path), year="2012", image_set="train")
    assert len(found) == len(of.kept)
    for place, kept in enumerate(of.kept):
        picture, tree = found[place]
        assert picture.size == (kept.width, kept.height)
        assert [one["name"] for one in tree["annotation"]["object"]] == [LABELS[kept.class_id]]
