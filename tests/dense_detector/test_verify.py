"""Unusable pictures end up on the skip list, and figures of a database are what it holds (check 16)."""

from __future__ import annotations

import contextlib
import json

import numpy as np
import pytest
from PIL import Image

from experiments.dense_detector.data import DetectionDataset, batches
from experiments.dense_detector.db import import_coco, open_read_only
from experiments.dense_detector.selection import select
from experiments.dense_detector.stats import describe, stats
from experiments.dense_detector.verify import skip_list, verify
from suite.errors import BadInput
from tests.dense_detector.mini_coco import HEIGHT, WIDTH, make_mini_coco

NUM_IMAGES = 10


@pytest.fixture
def mini(tmp_path):
    """Database and folder of pictures of a set in which four pictures are bad."""
    json_path = make_mini_coco(tmp_path / "set", num_images=NUM_IMAGES, seed=2)
    images = tmp_path / "set" / "images"
    whole = (images / "000004.jpg").read_bytes()
    (images / "000004.jpg").write_bytes(whole[: len(whole) // 2])
    (images / "000005.jpg").write_bytes(b"")
    (images / "000006.jpg").unlink()
    Image.new("RGB", (WIDTH, HEIGHT - 1)).save(images / "000007.jpg")
    import_coco(tmp_path / "a.db", json_path, split="train")
    return tmp_path / "a.db", images, whole


def selected(db_path):
    with contextlib.closing(open_read_only(db_path)) as conn:
        return select(conn, split="train", keep_empty=True)


def test_each_bad_picture_is_listed_with_its_reason_and_leaves_the_selection(mini):
    db_path, images, _ = mini
    found = verify(db_path, images, split="train", max_bad_share=0.5)
    assert (found.num_images, found.num_skipped) == (NUM_IMAGES, 4)
    assert found.faults == {"missing picture": 1, "picture of another size": 1, "unreadable picture": 2}
    reasons = dict(skip_list(db_path, "train"))
    assert list(reasons) == [f"00000{k}.jpg" for k in (4, 5, 6, 7)]
    assert "truncated" in reasons["000004.jpg"] and "does not exist" in reasons["000006.jpg"]
    assert reasons["000007.jpg"].endswith("is 160x119, the entry says 160x120")
    assert not any(str(images) in reason for reason in reasons.values())
    selection = selected(db_path)
    assert [image.image_id for image in selection.images] == [1, 2, 3, 8, 9, 10]
    list(batches(DetectionDataset(selection, images, size_wh=(32, 16)), 4))  # they all decode


def test_a_mended_picture_comes_off_the_list(mini):
    db_path, images, whole = mini
    verify(db_path, images, max_bad_share=0.5)
    (images / "000004.jpg").write_bytes(whole)
    assert verify(db_path, images, max_bad_share=0.5).num_skipped == 3
    assert 4 in [image.image_id for image in selected(db_path).images]


def test_past_the_permitted_share_it_stops_with_the_first_reason_and_keeps_the_list(mini):
    db_path, images, _ = mini
    with pytest.raises(BadInput, match=r"4 of 10 pictures are unusable; first: image 4: .*truncated"):
        verify(db_path, images)
    assert len(skip_list(db_path)) == 4


def test_the_number_of_workers_changes_nothing(mini):
    db_path, images, _ = mini
    first = verify(db_path, images, max_bad_share=0.5, workers=1)
    assert verify(db_path, images, max_bad_share=0.5, workers=4) == first


def test_a_folder_that_is_not_there_is_refused(mini):
    with pytest.raises(BadInput, match="no such folder of pictures"):
        verify(mini[0], mini[1] / "none")


def test_figures_are_those_of_the_annotations(mini):
    db_path, images, _ = mini
    verify(db_path, images, max_bad_share=0.5)
    tree = json.loads((images.parent / "annotations.json").read_text())
    figures = stats(db_path, split="train")
    assert (figures.pictures, figures.without_boxes, figures.skipped) == (NUM_IMAGES, 1, 4)
    assert figures.sizes == ((WIDTH, HEIGHT, NUM_IMAGES),)
    for one in figures.per_class:
        rows = [row for row in tree["annotations"] if row["category_id"] == one.category_id]
        areas = [row["area"] for row in rows if not row["iscrowd"]]
        assert (one.boxes, one.crowd) == (len(areas), len(rows) - len(areas))
        assert one.pictures == len({row["image_id"] for row in rows})
        np.testing.assert_allclose(one.areas, np.quantile(areas, [0, 0.25, 0.5, 0.75, 1]), atol=0.05)
    assert stats(db_path).per_class == figures.per_class
    text = describe(figures)
    assert f"{NUM_IMAGES} pictures" in text and all(one.name in text for one in figures.per_class)


def test_figures_of_another_split_are_refused(mini):
    with pytest.raises(BadInput, match="holds no split 'val'"):
        stats(mini[0], split="val")
