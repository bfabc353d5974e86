import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from PIL import Image

from suite.datasets import read_coco, write_coco
from suite.errors import BadInput
from tests.suite.datasets.coco_cases import coco_sets, tree, write


def test_a_good_file_is_read_sorted_by_id_with_every_field(tmp_path):
    coco = read_coco(write(tmp_path, tree()))
    assert [i.id for i in coco.images] == [3, 7]
    assert [a.id for a in coco.annotations] == [1, 2, 8]
    assert [(c.id, c.name) for c in coco.categories] == [(5, "cup"), (9, "crowd")]
    crowd, cup, bare = coco.annotations
    assert crowd.iscrowd and crowd.area == 60.0 and crowd.box_xywh == (0.0, 0.0, 2.0, 30.0)
    assert cup.segmentation == ((10.0, 5.0, 30.0, 5.0, 30.0, 15.0),)
    assert bare.area == 14.0 and bare.segmentation is None and bare.extra == {"caption": "a cup"}
    assert coco.images[0].extra == {"license": 1, "date": "x"} and coco.info == {"info": {"year": 2026}}
    assert coco.skipped.total == 0 and coco.annotations_by_image[3] == (crowd, bare)


def test_writing_gives_the_same_bytes_whatever_the_order_and_reads_back_equal(tmp_path):
    coco = read_coco(write(tmp_path, tree()))
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    write_coco(one, coco)
    shuffled = tree()
    for key in ("images", "annotations", "categories"):
        shuffled[key] = [dict(reversed(row.items())) for row in reversed(shuffled[key])]
    write_coco(two, read_coco(write(tmp_path, shuffled)))
    assert one.read_bytes() == two.read_bytes() and one.read_bytes().endswith(b"}\n")
    assert read_coco(one) == coco
    assert not list(tmp_path.glob("*.part"))


@settings(max_examples=50, deadline=None)
@given(coco=coco_sets())
def test_any_set_survives_writing_and_reading_exactly(coco):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "set.json"
        write_coco(path, coco)
        assert read_coco(path) == coco


def test_nan_is_not_written(tmp_path):
    coco = read_coco(write(tmp_path, tree()))
    object.__setattr__(coco.annotations[0], "area", float("nan"))
    with pytest.raises(BadInput, match="NaN or infinity"):
        write_coco(tmp_path / "out.json", coco)
    assert not (tmp_path / "out.json").exists()


def change(section, position, **values):
    def apply(raw):
        raw[section][position].update(values)

    return apply


def drop(section, position, key):
    def apply(raw):
        del raw[section][position][key]

    return apply


RLE = {"size": [30, 40], "counts": [0, 60, 1140]}
ITEM_FAULTS = {  # damage -> what the one line must say
    "duplicate image id": (change("images", 1, id=7), "image 7: the id occurs twice"),
    "duplicate file name": (
        change("images", 1, file_name="b.png"),
        "image 3: has the file_name 'b.png' of image 7",
    ),
    "image id as text": (change("images", 0, id="7"), "image at position 0: id is '7', not an integer"),
    "image without a name": (drop("images", 0, "file_name"), "image 7: file_name is None"),
    "path out of the folder": (change("images", 0, file_name="../b.png"), "leaves the folder of pictures"),
    "absolute path": (change("images", 0, file_name="/etc/b.png"), "leaves the folder of pictures"),
    "zero width": (change("images", 0, width=0), "image 7: width is 0, not a positive integer"),
    "size as a float": (change("images", 0, height=30.0), "image 7: height is 30.0"),
    "duplicate annotation id": (change("annotations", 2, id=2), "annotation 2: the id occurs twice"),
    "dangling image": (
        change("annotations", 2, image_id=4),
        "annotation 8: image_id 4 is not among the images",
    ),
    "dangling category": (
        change("annotations", 2, category_id=1),
        "annotation 8: category_id 1 is not among",
    ),
    "category id true": (change("annotations", 2, category_id=True), "annotation 8: category_id is True"),
    "box missing": (drop("annotations", 2, "bbox"), "annotation 8: bbox is None"),
    "box of three": (change("annotations", 2, bbox=[1, 2, 3]), "annotation 8: bbox is"),
    "box with NaN": (change("annotations", 2, bbox=[1, float("nan"), 3, 4]), "no finite number"),
    "box with infinity": (change("annotations", 2, bbox=[1, 2, float("inf"), 4]), "no finite number"),
    "box with text": (change("annotations", 2, bbox=[1, 2, "3", 4]), "no finite number"),
    "box with an endless integer": (change("annotations", 2, bbox=[1, 2, 10**400, 4]), "no finite number"),
    "zero box": (change("annotations", 2, bbox=[1, 2, 0, 4]), "has no area (width 0, height 4)"),
    "corners for sizes": (change("annotations", 2, bbox=[30, 20, 25, 15]), "leaves image 3 of 40x30"),
    "negative origin": (change("annotations", 2, bbox=[-1.5, 2, 3, 4]), "leaves image 3"),
    "negative area": (change("annotations", 2, area=-1), "area is -1"),
    "area NaN": (change("annotations", 2, area=float("nan")), "area is nan"),
    "crowd of two": (change("annotations", 2, iscrowd=2), "iscrowd is 2"),
    "polygon of two points": (change("annotations", 0, segmentation=[[1, 2, 3, 4]]), "at least three points"),
    "polygon of odd length": (change("annotations", 0, segmentation=[[1, 2, 3, 4, 5, 6, 7]]), "three points"),
    "polygon with NaN": (change("annotations", 0, segmentation=[[1, 2, 3, 4, 5, float("nan")]]), "no finite"),
    "polygon outside": (
        change("annotations", 0, segmentation=[[1, 2, 3, 4, 50, 6]]),
        "leaves image 7 by 10 pixels",
    ),
    "mask as text": (change("annotations", 0, segmentation="abc"), "neither polygons nor RLE"),
    "RLE of another size": (
        change("annotations", 1, segmentation={**RLE, "size": [40, 30]}),
        "RLE size is [40, 30]",
    ),
    "RLE too short": (
        change("annotations", 1, segmentation={**RLE, "counts": [0, 60]}),
        "RLE covers 60 pixels",
    ),
    "RLE negative": (change("annotations", 1, segmentation={**RLE, "counts": [-1, 1201]}), "negative run"),
    "RLE cut off": (change("annotations", 1, segmentation={**RLE, "counts": "0l1T"}), "cut off"),
    "RLE with strange letters": (
        change("annotations", 1, segmentation={**RLE, "counts": "\x00\xff"}),
        "characters",
    ),
    "RLE without counts": (
        change("annotations", 1, segmentation={"size": [30, 40]}),
        "neither a string nor a list",
    ),
}


@pytest.mark.parametrize("name", ITEM_FAULTS)
def test_a_bad_item_is_one_clear_line_or_left_out_and_counted(name, tmp_path):
    damage, line = ITEM_FAULTS[name]
    raw = tree()
    damage(raw)
    path = write(tmp_path, raw)
    with pytest.raises(BadInput) as caught:
        read_coco(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ") and line in text and "; " in text and "\n" not in text
    coco = read_coco(path, on_bad="skip", max_bad_share=0.9)
    assert coco.skipped.total >= 1 and line in coco.skipped.examples[0]
    assert len(coco.images) + len(coco.annotations) < 5


def test_annotations_of_a_left_out_image_go_with_it_and_are_counted_apart(tmp_path):
    raw = tree()
    raw["images"][1]["width"] = -1
    coco = read_coco(write(tmp_path, raw), on_bad="skip", max_bad_share=0.5)
    assert [a.id for a in coco.annotations] == [2]
    assert coco.skipped.counts == {"annotation of a left-out image": 2, "image without size": 1}
    assert "1 image without size" in str(coco.skipped)


def test_past_the_permitted_share_skipping_stops_with_the_first_fault(tmp_path):
    raw = tree()
    raw["annotations"][0]["bbox"] = [0, 0, 0, 0]
    with pytest.raises(
        BadInput, match=r"1 of 3 annotations are bad \(33.3%, permitted 10.0%\); first: .*annotation 2"
    ):
        read_coco(write(tmp_path, raw), on_bad="skip", max_bad_share=0.1)


WHOLE_FAULTS = {
    "empty": ("", "the file is empty"),
    "not JSON": ("<annotation/>", "not JSON (line 1"),
    "cut off": (json.dumps(tree())[:-40], "cut off (line 1"),
    "cut off in a string": (json.dumps(tree())[:20], "cut off"),
    "a list": ("[]", "not a COCO file: the top level is no object"),
    "no images": ('{"annotations": [], "categories": []}', "`images` is missing"),
    "images no list": ('{"images": {}, "annotations": [], "categories": []}', "`images` is not a list"),
    "empty images": (
        '{"images": [], "annotations": [], "categories": [{"id": 1, "name": "a"}]}',
        "holds no images",
    ),
    "nested": ("[" * 200_000, "nested too deeply"),
}


@pytest.mark.parametrize("name", WHOLE_FAULTS)
@pytest.mark.parametrize("on_bad", ["raise", "skip"])
def test_a_file_that_is_no_coco_file_always_ends_reading(name, on_bad, tmp_path):
    text, line = WHOLE_FAULTS[name]
    path = write(tmp_path, text)
    with pytest.raises(BadInput) as caught:
        read_coco(path, on_bad=on_bad)
    assert str(path) in str(caught.value) and line in str(caught.value)


@pytest.mark.parametrize(
    ("categories", "line"),
    [
        ([], "holds no categories"),
        ([{"id": 5, "name": "cup"}, {"id": 5, "name": "mug"}], "category 5: the id occurs twice"),
        (
            [{"id": 5, "name": "cup"}, {"id": 9, "name": "cup"}],
            "category 9: has the name 'cup' of category 5",
        ),
        ([{"id": 5, "name": ""}], "category 5: name is ''"),
    ],
)
def test_a_fault_in_the_class_list_always_ends_reading(categories, line, tmp_path):
    with pytest.raises(BadInput) as caught:
        read_coco(write(tmp_path, {**tree(), "categories": categories}), on_bad="skip", max_bad_share=1.0)
    assert line in str(caught.value)


def test_a_missing_file_a_folder_and_binary_are_told_apart(tmp_path):
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for path, line in (("none.json", "no such file"), (".", "is a folder"), ("binary", "not even UTF-8")):
        with pytest.raises(BadInput, match=line):
            read_coco(tmp_path / path)


def test_a_set_without_annotations_needs_leave(tmp_path):
    path = write(tmp_path, {**tree(), "annotations": []})
    with pytest.raises(BadInput, match="holds no usable annotation"):
        read_coco(path)
    assert read_coco(path, require_annotations=False).annotations == ()


def test_boxes_within_the_tolerance_are_kept_as_written(tmp_path):
    raw = tree()
    raw["annotations"][2]["bbox"] = [-0.5, 0.0, 41.25, 30.5]
    assert read_coco(write(tmp_path, raw)).annotations[2].box_xywh == (-0.5, 0.0, 41.25, 30.5)
    with pytest.raises(BadInput, match="leaves image 3"):
        read_coco(tmp_path / "set.json", box_tolerance=0.0)


def pictures(folder: Path) -> Path:
    for name in ("a.png", "b.png"):
        Image.new("RGB", (40, 30), (90, 120, 30)).save(folder / name)
    return folder


def test_missing_pictures_are_found_without_decoding(tmp_path):
    path = write(tmp_path, tree())
    pictures(tmp_path)
    assert len(read_coco(path, images_dir=tmp_path, deep=True).images) == 2
    (tmp_path / "a.png").unlink()
    with pytest.raises(BadInput, match=r"image 3: .*a\.png does not exist"):
        read_coco(path, images_dir=tmp_path)


def test_the_deep_check_finds_truncated_foreign_and_resized_pictures(tmp_path):
    path = write(tmp_path, tree())
    whole = (pictures(tmp_path) / "a.png").read_bytes()
    damages = {"does not decode": [whole[: len(whole) // 2], b"GIF8", b"", b"\x89PNG\r\n\x1a\n" + b"x" * 50]}
    for line, contents in damages.items():
        for content in contents:
            (tmp_path / "a.png").write_bytes(content)
            assert len(read_coco(path, images_dir=tmp_path).images) == 2
            with pytest.raises(BadInput, match=f"image 3: .*{line}"):
                read_coco(path, images_dir=tmp_path, deep=True)
    Image.new("L", (30, 40)).save(tmp_path / "a.png")
    with pytest.raises(BadInput, match="is 30x40, the entry says 40x30"):
        read_coco(path, images_dir=tmp_path, deep=True)
