"""The published FlatBuffers file: read back what its converter wrote, with its known losses."""

from __future__ import annotations

import json

import pytest

from experiments.dense_detector.db import export_coco
from experiments.dense_detector.flatbuffer_db import import_flatbuffer, read_flatbuffer
from suite.errors import BadInput
from suite.seeds import item_rng
from tests.dense_detector.flatbuffer_writer import write_flatbuffer
from tests.dense_detector.mini_coco import make_mini_coco


@pytest.fixture
def tree(tmp_path):
    """A mini set whose boxes lie between the pixels, as COCO's do."""
    found = json.loads(make_mini_coco(tmp_path / "mini", num_images=8, seed=1).read_text())
    for row in found["annotations"]:
        row["bbox"] = [value + 0.3 for value in row["bbox"]]
    return found


@pytest.fixture
def published(tmp_path, tree):
    return write_flatbuffer(tmp_path / "train.db", tree)


def test_pictures_and_classes_come_back_and_empty_pictures_are_gone(tree, published):
    found = read_flatbuffer(published)
    annotated = {row["image_id"] for row in tree["annotations"]}
    assert len(annotated) < len(tree["images"])
    assert found["images"] == [image for image in tree["images"] if image["id"] in annotated]
    assert found["categories"] == [{"id": row["id"], "name": row["name"]} for row in tree["categories"]]


def test_boxes_come_back_with_whole_corners_and_the_area_of_the_box(tree, published):
    found = {row["id"]: row for row in read_flatbuffer(published)["annotations"]}
    assert found.keys() == {row["id"] for row in tree["annotations"]}
    for original in tree["annotations"]:
        x, y, width, height = original["bbox"]
        corners = (int(x), int(y), int(x + width), int(y + height))
        row = found[original["id"]]
        assert row["bbox"] == [corners[0], corners[1], corners[2] - corners[0], corners[3] - corners[1]]
        assert row["area"] == row["bbox"][2] * row["bbox"][3]
        assert (row["image_id"], row["category_id"]) == (original["image_id"], original["category_id"])


def test_crowd_rows_are_no_longer_marked(tree, published):
    assert any(row["iscrowd"] for row in tree["annotations"])
    assert not any(row["iscrowd"] for row in read_flatbuffer(published)["annotations"])


def test_it_converts_into_our_database(tmp_path, published):
    counts = import_flatbuffer(tmp_path / "ours.db", published, split="train")
    there, back = read_flatbuffer(published), export_coco(tmp_path / "ours.db", "train")
    assert counts.annotations == len(there["annotations"]) and counts.crowd == 0
    assert back["annotations"] == sorted(there["annotations"], key=lambda row: row["id"])
    assert back["images"] == there["images"]


def test_a_box_that_truncation_left_without_area_is_left_out_and_counted(tmp_path, tree):
    tree["annotations"][0]["bbox"] = [10.1, 10.1, 0.5, 20.0]
    published = write_flatbuffer(tmp_path / "thin.db", tree)
    counts = import_flatbuffer(tmp_path / "ours.db", published, split="train", max_bad_share=0.2)
    assert counts.rejected == {"box without area": 1}


def test_a_file_cut_off_anywhere_is_refused(tmp_path, published):
    content = published.read_bytes()
    for length in range(0, len(content) - 4, 61):
        (tmp_path / "cut.db").write_bytes(content[:length])
        with pytest.raises(BadInput, match=r"cut\.db: "):
            read_flatbuffer(tmp_path / "cut.db")


def test_a_damaged_file_is_read_or_refused_but_never_a_bug(tmp_path, published):
    content, refused = published.read_bytes(), 0
    for number in range(60):
        rng = item_rng(0, "damage", number)
        damaged = bytearray(content)
        for at in rng.integers(0, len(content), 10):
            damaged[at] = rng.integers(256)
        (tmp_path / "damaged.db").write_bytes(damaged)
        try:
            import_flatbuffer(tmp_path / f"{number}.db", tmp_path / "damaged.db", split="train")
        except BadInput:
            refused += 1
    assert refused > 0


def test_a_missing_file_and_an_sqlite_file_are_refused(tmp_path, published):
    with pytest.raises(BadInput, match="no such file"):
        read_flatbuffer(tmp_path / "none.db")
    import_flatbuffer(tmp_path / "ours.db", published, split="train")
    with pytest.raises(BadInput, match="is an SQLite database already"):
        read_flatbuffer(tmp_path / "ours.db")
