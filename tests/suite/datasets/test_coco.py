import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from PIL import Image

from suite.audits.inputs.cases import damages
from suite.audits.inputs.damage import apply
from suite.audits.inputs.generators import coco_tree as tree
from suite.datasets import read_coco, write_coco
from suite.errors import BadInput
from tests.suite.datasets.coco_cases import coco_sets, write


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


# What can be wrong, as data that the audit of inputs gives to the public commands, too.
ITEM_FAULTS = {row["name"]: row for row in damages("coco") if row["kind"] != "whole"}
WHOLE_FAULTS = {row["name"]: row for row in damages("coco") if row["kind"] == "whole"}


def damaged(folder: Path, row: dict) -> Path:
    """The tree as a file in `folder`, damaged."""
    path = write(folder, tree())
    for edit in row["damage"]:
        apply(folder, {**edit, "path": path.name})
    return path


@pytest.mark.parametrize("name", ITEM_FAULTS)
def test_a_bad_item_is_one_clear_line_or_left_out_and_counted(name, tmp_path):
    path, line = damaged(tmp_path, ITEM_FAULTS[name]), ITEM_FAULTS[name]["told"]
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


@pytest.mark.parametrize("name", WHOLE_FAULTS)
@pytest.mark.parametrize("on_bad", ["raise", "skip"])
def test_a_file_that_is_no_coco_file_always_ends_reading(name, on_bad, tmp_path):
    path, line = damaged(tmp_path, WHOLE_FAULTS[name]), WHOLE_FAULTS[name]["told"]
    with pytest.raises(BadInput) as caught:
        read_coco(path, on_bad=on_bad)
    assert str(path) in str(caught.value) and line in str(caught.value)


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
