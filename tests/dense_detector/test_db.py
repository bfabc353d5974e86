"""Annotations in SQLite: round trip, what is left out, what is refused (acceptance checks 10 and 16)."""

from __future__ import annotations

import contextlib
import copy
import json
import sqlite3

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from experiments.dense_detector.db import (
    SCHEMA_VERSION,
    create,
    export_coco,
    import_coco,
    open_read_only,
    open_to_write,
)
from suite.errors import BadInput
from tests.dense_detector.mini_coco import make_mini_coco

NUM_IMAGES = 12
ROW = {"id": 9, "image_id": 5, "category_id": 1, "bbox": [1.5, 2.0, 30.0, 40.0], "area": 700.5, "iscrowd": 0}
TREE = {
    "images": [{"id": 5, "file_name": "a.jpg", "width": 100, "height": 80}],
    "categories": [{"id": 1, "name": "person", "supercategory": ""}],
    "annotations": [ROW],
}


@pytest.fixture
def write(tmp_path):
    def to_file(tree, name="coco.json"):
        (tmp_path / name).write_text(json.dumps(tree), encoding="utf-8")
        return tmp_path / name

    return to_file


def with_boxes(*boxes):
    """TREE with one annotation per box."""
    tree = copy.deepcopy(TREE)
    tree["annotations"] = [{**ROW, "id": 9 + place, "bbox": list(box)} for place, box in enumerate(boxes)]
    return tree


# --- round trip ---


def test_json_to_database_to_json_keeps_ids_boxes_crowds_and_counts(tmp_path):
    source = make_mini_coco(tmp_path / "mini", num_images=NUM_IMAGES, seed=3)
    counts = import_coco(tmp_path / "a.db", source, split="train")
    tree, back = json.loads(source.read_text()), export_coco(tmp_path / "a.db", "train")
    assert back["images"] == tree["images"] and back["categories"] == tree["categories"]
    assert len(back["annotations"]) == len(tree["annotations"]) == counts.annotations
    assert counts.crowd == sum(row["iscrowd"] for row in tree["annotations"]) > 0
    for row, original in zip(back["annotations"], tree["annotations"], strict=True):
        assert row["bbox"] == pytest.approx(original["bbox"], abs=1e-6)
        assert {**row, "bbox": None} == {**original, "bbox": None}


def test_a_second_trip_changes_nothing(tmp_path, write):
    import_coco(tmp_path / "a.db", make_mini_coco(tmp_path / "mini", num_images=NUM_IMAGES), split="train")
    once = export_coco(tmp_path / "a.db", "train")
    import_coco(tmp_path / "b.db", write(once), split="train")
    assert export_coco(tmp_path / "b.db", "train") == once


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    boxes=st.lists(
        st.tuples(st.floats(0, 99), st.floats(0, 79), st.floats(0.01, 1e3), st.floats(0.01, 1e3)), min_size=1
    )
)
def test_any_box_that_touches_its_picture_comes_back(tmp_path, write, boxes):
    (tmp_path / "any.db").unlink(missing_ok=True)
    import_coco(tmp_path / "any.db", write(with_boxes(*boxes)), split="train")
    rows = export_coco(tmp_path / "any.db", "train")["annotations"]
    assert [row["bbox"] for row in rows] == [pytest.approx(box, abs=1e-6) for box in boxes]


def test_equal_sources_make_equal_databases(tmp_path, write):
    path = write(TREE)
    for name in ("a.db", "b.db"):
        import_coco(tmp_path / name, path, split="train")
    assert (tmp_path / "a.db").read_bytes() == (tmp_path / "b.db").read_bytes()


def test_meta_names_the_source_and_its_digest(tmp_path, write):
    import_coco(tmp_path / "a.db", write(TREE), split="val")
    with contextlib.closing(open_read_only(tmp_path / "a.db")) as conn:
        meta = dict(conn.execute("SELECT key, value FROM meta").fetchall())
    assert meta["val.source"] == "coco.json" and len(meta["val.sha256"]) == 64


# --- what is left out, counted ---


def test_a_box_without_area_is_left_out_and_counted(tmp_path, write):
    path = write(with_boxes((1, 1, 10, 10), (5, 5, 0, 10), (5, 5, 10, 0), (2, 2, 3, 3)))
    counts = import_coco(tmp_path / "a.db", path, split="train", max_bad_share=0.5)
    assert (counts.annotations, counts.rejected) == (2, {"box without area": 2})
    assert "annotation 10" in counts.examples[0]


def test_a_box_outside_its_picture_is_left_out_and_one_that_stands_out_is_kept_as_written(tmp_path, write):
    path = write(with_boxes((-10, -5, 30, 30), (100, 10, 5, 5), (10, 90, 5, 5), (-9, 3, 9, 9)))
    counts = import_coco(tmp_path / "a.db", path, split="train", max_bad_share=0.8)
    assert (counts.annotations, counts.rejected) == (1, {"box outside the image": 3})
    assert export_coco(tmp_path / "a.db", "train")["annotations"][0]["bbox"] == [-10, -5, 30, 30]


@pytest.mark.parametrize("box", [(5, 5, 0, 10), (200, 10, 5, 5)])
def test_too_many_bad_boxes_end_the_import_and_leave_no_file(tmp_path, write, box):
    with pytest.raises(BadInput, match=r"coco\.json: 1 of 2 "):
        import_coco(tmp_path / "a.db", write(with_boxes((1, 1, 10, 10), box)), split="train")
    assert not (tmp_path / "a.db").exists()


def test_pictures_without_annotations_are_kept_and_counted(tmp_path):
    source = make_mini_coco(tmp_path / "mini", num_images=NUM_IMAGES)
    counts = import_coco(tmp_path / "a.db", source, split="train")
    assert (counts.images, counts.images_without_annotations) == (NUM_IMAGES, 1)
    assert len(export_coco(tmp_path / "a.db", "train")["images"]) == NUM_IMAGES


def test_an_annotation_marked_ignore_is_stored_as_crowd(tmp_path, write):
    tree = copy.deepcopy(TREE)
    tree["annotations"][0]["ignore"] = 1
    assert import_coco(tmp_path / "a.db", write(tree), split="train").crowd == 1
    assert export_coco(tmp_path / "a.db", "train")["annotations"][0]["iscrowd"] == 1


# --- what is refused ---


def test_a_picture_of_size_0_is_refused(tmp_path, write):
    tree = copy.deepcopy(TREE)
    tree["images"][0]["height"] = 0
    with pytest.raises(BadInput, match="image 5: height is 0, not a positive integer"):
        import_coco(tmp_path / "a.db", write(tree), split="train")


def test_a_file_without_annotations_is_refused(tmp_path, write):
    with pytest.raises(BadInput, match="no usable annotation"):
        import_coco(tmp_path / "a.db", write({**TREE, "annotations": []}), split="train")


def test_a_second_split_needs_ids_of_its_own_and_a_collision_changes_nothing(tmp_path, write):
    import_coco(tmp_path / "a.db", write(TREE), split="train")
    before = (tmp_path / "a.db").read_bytes()
    with pytest.raises(BadInput, match=r"a\.db: split 'val' collides .*images\.image_id"):
        import_coco(tmp_path / "a.db", write(TREE), split="val")
    assert (tmp_path / "a.db").read_bytes() == before


def test_two_splits_live_in_one_database(tmp_path):
    for split, first_id in (("train", 1), ("val", 1000)):
        source = make_mini_coco(tmp_path / split, num_images=4, first_id=first_id)
        import_coco(tmp_path / "a.db", source, split=split)
    assert [row["id"] for row in export_coco(tmp_path / "a.db", "val")["images"]] == [1000, 1001, 1002, 1003]


def test_other_classes_under_known_ids_are_refused(tmp_path, write):
    import_coco(tmp_path / "a.db", write(TREE), split="train")
    other = copy.deepcopy(TREE)
    other["categories"][0]["name"] = "cat"
    with pytest.raises(BadInput, match="category 1 is 'person' there and 'cat' here"):
        import_coco(tmp_path / "a.db", write(other), split="val")


def test_a_database_of_a_newer_schema_is_refused(tmp_path, write):
    import_coco(tmp_path / "a.db", write(TREE), split="train")
    with contextlib.closing(sqlite3.connect(tmp_path / "a.db")) as conn:
        conn.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    for use in (open_read_only, open_to_write, lambda path: export_coco(path, "train")):
        with pytest.raises(BadInput, match=rf"a\.db: has schema {SCHEMA_VERSION + 1}, .*update the program"):
            use(tmp_path / "a.db")


@pytest.mark.parametrize("content", [b"no database at all, but text of some length", b""])
def test_another_file_is_refused(tmp_path, content):
    (tmp_path / "a.db").write_bytes(content)
    with pytest.raises(BadInput, match=r"a\.db: (not an SQLite database|holds no annotations of ours)"):
        open_read_only(tmp_path / "a.db")


def test_a_missing_database_is_refused_and_not_made(tmp_path):
    with pytest.raises(BadInput, match=r"a\.db: no such database"):
        open_read_only(tmp_path / "a.db")
    assert not (tmp_path / "a.db").exists()


def test_a_read_only_connection_cannot_write(tmp_path, write):
    import_coco(tmp_path / "a.db", write(TREE), split="train")
    with contextlib.closing(open_read_only(tmp_path / "a.db")) as conn:
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            conn.execute("DELETE FROM annotations")


def test_the_schema_refuses_boxes_turned_inside_out_and_annotations_of_no_picture(tmp_path):
    with contextlib.closing(create(tmp_path / "a.db")) as conn:
        conn.execute("INSERT INTO categories VALUES (1, 'person', '')")
        conn.execute("INSERT INTO images VALUES (1, 'a.jpg', 'train', 10, 10)")
        with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
            conn.execute("INSERT INTO annotations VALUES (1, 1, 1, 5, 0, 4, 9, 1, 1, 0)")
        with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
            conn.execute("INSERT INTO annotations VALUES (1, 2, 1, 0, 0, 4, 9, 1, 1, 0)")
        with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
            conn.execute("INSERT INTO images VALUES (2, 'b.jpg', 'train', 0, 10)")


def test_another_split_is_refused_with_those_there_are(tmp_path, write):
    import_coco(tmp_path / "a.db", write(TREE), split="train")
    with pytest.raises(BadInput, match="holds no split 'val'; choose one of train"):
        export_coco(tmp_path / "a.db", "val")
