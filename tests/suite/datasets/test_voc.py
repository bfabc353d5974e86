import dataclasses
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from PIL import Image

from suite.datasets import (
    CocoAnnotation,
    CocoCategory,
    CocoImage,
    CocoSet,
    VocImage,
    VocObject,
    coco_to_voc,
    read_voc,
    voc_to_coco,
    write_voc,
)
from suite.datasets.faults import Fault
from suite.datasets.voc_xml import read_voc_xml, write_voc_xml
from suite.errors import BadInput
from tests.suite.datasets.coco_cases import coco_sets

XML = """<annotation><folder>VOC2007</folder><filename>000005.jpg</filename>
<size><width>500</width><height>375</height><depth>3</depth></size>
<object><name>chair</name><pose>Rear</pose><truncated>0</truncated><difficult>1</difficult>
<bndbox><xmin>1</xmin><ymin>211</ymin><xmax>500</xmax><ymax>375</ymax></bndbox>
<part><name>leg</name><bndbox><xmin>9</xmin><ymin>9</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></part></object
> </annotation>
"""
FLOAT_TOLERANCE = 1e-9  # 1 is added to and taken from coordinates of up to 200


def test_one_based_inclusive_pixels_become_half_open_corners(tmp_path):
    (tmp_path / "a.xml").write_text(XML)
    voc = read_voc_xml(tmp_path / "a.xml")
    assert voc.objects == (VocObject("chair", (0.0, 210.0, 500.0, 375.0), True, False, "Rear"),)
    annotation = voc_to_coco([voc], ["chair"]).annotations[0]
    assert annotation.box_xywh == (0.0, 210.0, 500.0, 165.0) and annotation.area == 82500.0
    assert annotation.ignore and not annotation.truncated


def test_the_written_file_is_the_expected_text(tmp_path):
    voc = VocImage("a&b.jpg", 20, 10, (VocObject("cup", (0.0, 1.5, 4.0, 5.0), truncated=True),), folder="F")
    write_voc_xml(tmp_path / "a.xml", voc)
    text = (tmp_path / "a.xml").read_text()
    assert "<filename>a&amp;b.jpg</filename>" in text and "<truncated>1</truncated>" in text
    assert "<xmin>1</xmin>\n\t\t\t<ymin>2.5</ymin>\n\t\t\t<xmax>4</xmax>\n\t\t\t<ymax>5</ymax>" in text
    assert read_voc_xml(tmp_path / "a.xml") == voc


def as_voc_keeps(coco: CocoSet) -> list:
    """What of a CocoSet has a place in VOC: names instead of ids."""
    return [
        (i.file_name, i.width, i.height, [
            (coco.category_by_id[a.category_id].name, a.ignore, a.truncated) for a in
            coco.annotations_by_image[i.id]
        ])
        for i in coco.images
    ]  # fmt: skip


def boxes(coco: CocoSet) -> list:
    return [a.box_xywh for image in coco.images for a in coco.annotations_by_image[image.id]]


def through_files(coco: CocoSet) -> CocoSet:
    with tempfile.TemporaryDirectory() as folder:
        write_voc(folder, coco, split="train")
        names = [category.name for category in coco.categories]
        return read_voc(folder, split="train", classes=names, check_pictures=False)


@settings(max_examples=50, deadline=None)
@given(coco=coco_sets(whole_boxes=True))
def test_whole_boxes_survive_coco_to_voc_to_coco_exactly(coco):
    back = through_files(coco)
    assert as_voc_keeps(back) == as_voc_keeps(coco) and boxes(back) == boxes(coco)


@settings(max_examples=50, deadline=None)
@given(coco=coco_sets())
def test_any_boxes_survive_coco_to_voc_to_coco_to_rounding(coco):
    back = through_files(coco)
    assert as_voc_keeps(back) == as_voc_keeps(coco)
    for one, other in zip(boxes(back), boxes(coco), strict=True):
        assert one == pytest.approx(other, abs=FLOAT_TOLERANCE)


@settings(max_examples=50, deadline=None)
@given(coco=coco_sets(whole_boxes=True))
def test_voc_records_survive_voc_to_coco_to_voc_exactly(coco):
    records = coco_to_voc(coco)
    names = [category.name for category in coco.categories]
    assert coco_to_voc(voc_to_coco(records, names)) == records


def test_a_crowd_region_becomes_a_difficult_object():
    crowd = CocoAnnotation(1, 1, 1, (0.0, 0.0, 2.0, 2.0), 4.0, iscrowd=True)
    coco = CocoSet((CocoImage(1, "a.jpg", 4, 4),), (crowd,), (CocoCategory(1, "cup"),))
    assert coco_to_voc(coco)[0].objects[0].difficult


BAD_XML = {
    "entities": ('<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>' + XML, "DOCTYPE"),
    "a billion laughs": ('<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]>' + XML, "DOCTYPE"),
    "cut off": (XML[:200], "not XML"),
    "empty": ("", "not XML"),
    "another root": ("<html/>", "the root is <html>"),
    "no filename": (XML.replace("000005.jpg", ""), "filename is ''"),
    "a path for a name": (XML.replace("000005.jpg", "../000005.jpg"), "filename is '../000005.jpg'"),
    "no size": (XML.replace("size>", "sighs>"), "<size> is missing"),
    "width of zero": (XML.replace("<width>500", "<width>0"), "<width> is 0"),
    "no box": (
        XML.replace("<bndbox><xmin>1<", "<box><xmin>1<", 1).replace("</bndbox>", "</box>", 1),
        "<bndbox> is missing",
    ),
    "box with a word": (XML.replace("<xmin>1<", "<xmin>left<"), "<xmin> is 'left', not a finite number"),
    "box with NaN": (XML.replace("<xmin>1<", "<xmin>nan<"), "not a finite number"),
    "box turned round": (XML.replace("<xmax>500<", "<xmax>0<"), "has no area"),
    "no name": (XML.replace("chair", " "), "<name> is missing"),
    "difficult maybe": (XML.replace("<difficult>1", "<difficult>0.5"), "<difficult> is 0.5"),
    "too large": ("<annotation>" + " " * (8 * 2**20) + "</annotation>", "more than"),
}


@pytest.mark.parametrize("name", BAD_XML)
def test_a_bad_annotation_file_is_told_in_one_line(name, tmp_path):
    text, line = BAD_XML[name]
    path = tmp_path / "Annotations" / "bad.xml"
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(Fault) as caught:
        read_voc_xml(path)
    assert line in str(caught.value)
    with pytest.raises(BadInput) as caught:
        read_voc(tmp_path, check_pictures=False)
    assert str(path) in str(caught.value) and line in str(caught.value) and "\n" not in str(caught.value)


def voc_folder(root: Path) -> Path:
    for k in range(4):
        voc = VocImage(f"{k}.jpg", 20, 10, (VocObject("cup", (0.0, 0.0, 4.0, 4.0)),))
        write_voc_xml(root / "Annotations" / f"{k}.xml", voc)
        (root / "JPEGImages").mkdir(exist_ok=True)
        Image.new("RGB", (20, 10)).save(root / "JPEGImages" / f"{k}.jpg")
    (root / "ImageSets" / "Main").mkdir(parents=True)
    (root / "ImageSets" / "Main" / "val.txt").write_text("2\n0  1\n")
    return root


def test_splits_give_order_and_classes_may_be_found(tmp_path):
    coco = read_voc(voc_folder(tmp_path), split="val", deep=True)
    assert [i.file_name for i in coco.images] == ["2.jpg", "0.jpg"] and coco.categories[0].name == "cup"
    assert len(read_voc(tmp_path).images) == 4
    with pytest.raises(BadInput, match="no such split; choose one of val"):
        read_voc(tmp_path, split="test")
    (tmp_path / "ImageSets" / "Main" / "val.txt").write_text("2\n2\n")
    with pytest.raises(BadInput, match="names '2' twice"):
        read_voc(tmp_path, split="val")


def test_skipping_counts_bad_files_up_to_the_permitted_share(tmp_path):
    root = voc_folder(tmp_path)
    (root / "Annotations" / "1.xml").write_text("<")
    (root / "JPEGImages" / "3.jpg").unlink()
    coco = read_voc(root, on_bad="skip", max_bad_share=0.5)
    assert len(coco.images) == 2 and coco.skipped.counts == {"missing picture": 1, "not XML": 1}
    with pytest.raises(BadInput, match="2 of 4 annotation files are bad"):
        read_voc(root, on_bad="skip", max_bad_share=0.25)


def test_unknown_classes_outside_boxes_and_empty_folders_are_told(tmp_path):
    root = voc_folder(tmp_path)
    with pytest.raises(BadInput, match=r"0\.xml: object 1 \(cup\): the class is not in the list; known: mug"):
        read_voc(root, classes=["mug"])
    voc = VocImage("0.jpg", 20, 10, (VocObject("cup", (0.0, 0.0, 40.0, 4.0)),))
    write_voc_xml(root / "Annotations" / "0.xml", voc)
    with pytest.raises(BadInput, match=r"box \(0, 0\)-\(40, 4\) leaves image 1 of 20x10"):
        read_voc(root)
    with pytest.raises(BadInput, match="holds no annotation files"):
        read_voc(tmp_path / "JPEGImages")


def test_pictures_that_would_share_a_file_are_refused(tmp_path):
    coco = read_voc(voc_folder(tmp_path))
    images = tuple(dataclasses.replace(i, file_name=n) for i, n in zip(coco.images, "ab", strict=False))
    twins = (
        dataclasses.replace(images[0], file_name="x.jpg"),
        dataclasses.replace(images[1], file_name="x.png"),
    )
    for pair, line in (
        (twins, "share the annotation file x.xml"),
        ((dataclasses.replace(images[0], file_name="d/x"),), "sub-folder"),
    ):
        with pytest.raises(BadInput, match=line):
            write_voc(tmp_path / "out", CocoSet(pair, (), coco.categories), split="s")
