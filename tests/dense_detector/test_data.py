"""From files and boxes to batches (acceptance checks 4, 5, 11 and 16)."""

from __future__ import annotations

import contextlib
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from experiments.dense_detector import data
from experiments.dense_detector.augment import flip_item
from experiments.dense_detector.data import (
    DetectionDataset,
    batches,
    decode_picture,
    num_batches,
    scale_boxes,
)
from experiments.dense_detector.db import import_coco, open_read_only
from experiments.dense_detector.selection import select
from suite.errors import BadInput
from suite.seeds import item_rng
from tests.dense_detector.mini_coco import EMPTY, GREY, HEIGHT, WIDTH, make_mini_coco

SIZE_WH = (128, 64)
NUM_IMAGES = 10


@pytest.fixture(scope="module")
def mini(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mini")
    json_path = make_mini_coco(folder / "set", num_images=NUM_IMAGES, seed=5)
    import_coco(folder / "a.db", json_path, split="train")
    with contextlib.closing(open_read_only(folder / "a.db")) as conn:
        options = {"all": select(conn, split="train", keep_empty=True)}
        for classes, area, policy in product(
            (None, ("person",), ("dog", "car")), ((0, 1e5), (300, 1500)), ("ignore", "drop", "image")
        ):
            options[classes, area, policy] = select(
                conn, split="train", classes=classes, area=area, area_policy=policy
            )
    return SimpleNamespace(images=folder / "set" / "images", options=options, all=options["all"])


def dataset(mini, selection=None, **options):
    return DetectionDataset(selection or mini.all, mini.images, **{"size_wh": SIZE_WH, **options})


# --- shapes ---


@pytest.mark.parametrize("grey, channels", [(True, 1), (False, 3)])
def test_resize_128_64_gives_64_rows_and_128_columns_whatever_is_selected(mini, grey, channels):
    for selection in mini.options.values():
        for batch in batches(dataset(mini, selection, grey=grey), 4):
            number = len(batch.image_ids)
            assert batch.images.shape == (number, channels, 64, 128) and batch.images.dtype == torch.float32
            assert batch.boxes.shape == (*batch.labels.shape, 4) and batch.valid.shape == batch.labels.shape
            assert batch.ignore.shape == (*batch.ignore_valid.shape, 4)
            assert batch.sizes.tolist() == [[WIDTH, HEIGHT]] * number


def test_boxes_labels_and_masks_agree_with_the_selection_and_padding_is_zero(mini):
    for selection in mini.options.values():
        records = {image.image_id: image for image in selection.images}
        for batch in batches(dataset(mini, selection), 4):
            for k, image_id in enumerate(batch.image_ids):
                record, valid = records[image_id], batch.valid[k]
                assert batch.labels[k][valid].tolist() == record.labels.tolist()
                expected = record.boxes * np.tile([128 / WIDTH, 64 / HEIGHT], 2)
                np.testing.assert_allclose(batch.boxes[k][valid], expected, atol=1e-4)
                assert int(batch.ignore_valid[k].sum()) == len(record.ignore)
            assert not batch.boxes[~batch.valid].any() and not batch.labels[~batch.valid].any()
            assert not batch.ignore[~batch.ignore_valid].any()


def test_a_picture_without_annotations_gives_rows_that_are_not_valid(mini):
    batch = dataset(mini).batch([EMPTY])
    assert batch.boxes.shape == (1, 1, 4) and not batch.valid.any() and not batch.ignore_valid.any()


def test_a_grey_jpeg_becomes_three_equal_channels(mini):
    picture = dataset(mini, grey=False, normalise=False).batch([GREY]).images[0]
    assert torch.equal(picture[0], picture[1]) and torch.equal(picture[0], picture[2]) and picture.std() > 0


def test_normalised_pixels_are_the_pixels_less_mean_over_deviation(mini):
    plain = dataset(mini, normalise=False).batch([0, 1]).images
    assert 0 <= plain.min() and plain.max() <= 1
    torch.testing.assert_close(dataset(mini).batch([0, 1]).images, (plain - 0.456) / 0.225)


def test_a_picture_is_stretched_as_pillow_does(mini):
    record = mini.all.images[0]
    with Image.open(mini.images / record.file_name) as picture:
        expected = np.asarray(picture.convert("L").resize(SIZE_WH, Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(dataset(mini).picture(0)[0], expected)


# --- boxes ---

SIDES = st.integers(8, 1000)


@settings(max_examples=60, deadline=None)
@given(original=st.tuples(SIDES, SIDES), resized=st.tuples(SIDES, SIDES), seed=st.integers(0, 1000))
def test_boxes_stretched_there_and_back_are_the_same(original, resized, seed):
    corners = np.sort(item_rng(seed, "boxes", 0).random((20, 2, 2)), axis=1) * original
    boxes = corners.reshape(20, 4).astype(np.float32)
    back = scale_boxes(scale_boxes(boxes, original, resized), resized, original)
    assert np.abs(back - boxes).max() < 1e-3


def test_a_box_drawn_into_the_picture_is_where_its_pixels_are(tmp_path):
    pixels = np.zeros((60, 90), np.uint8)
    pixels[15:45, 30:60] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    stretched = decode_picture(tmp_path / "a.png", (90, 60), (180, 30), grey=True)[0]
    x1, y1, x2, y2 = scale_boxes(np.array([[30.0, 15, 60, 45]]), (90, 60), (180, 30))[0].astype(int)
    inside = stretched[y1 + 1 : y2 - 1, x1 + 2 : x2 - 2]
    assert inside.min() > 250 and stretched[: y1 - 1].max() < 5 and stretched[:, x2 + 2 :].max() < 5


def test_flipping_twice_changes_nothing_and_once_mirrors_pixels_and_boxes(mini):
    plain, mirrored = dataset(mini).batch(range(NUM_IMAGES)), dataset(mini).batch(range(NUM_IMAGES), flip=1.0)
    assert torch.equal(mirrored.images, plain.images.flip(-1))
    assert torch.equal(mirrored.labels, plain.labels) and torch.equal(mirrored.valid, plain.valid)
    for name, mask in (("boxes", "valid"), ("ignore", "ignore_valid")):
        rows = getattr(plain, mask)
        x1, y1, x2, y2 = getattr(plain, name)[rows].unbind(-1)
        torch.testing.assert_close(
            getattr(mirrored, name)[rows], torch.stack([128 - x2, y1, 128 - x1, y2], dim=-1)
        )
    item = data.resized_item(mini.all.images[0], SIZE_WH)
    twice = flip_item(flip_item(item, 128), 128)
    np.testing.assert_allclose(twice.boxes, item.boxes, atol=1e-4)


def test_a_box_that_clipping_left_without_area_takes_its_label_along(mini):
    record = mini.all.images[0]
    boxes = np.array([[5, 5, 20, 20], [160, 5, 160, 20], [8, 9, 30, 31]], np.float32)
    fields = {"boxes": boxes, "labels": np.array([2, 1, 0]), "ignore": boxes[1:2]}
    item = data.resized_item(SimpleNamespace(**{**vars(record), **fields}), SIZE_WH)
    assert item.labels.tolist() == [2, 0] and len(item.boxes) == 2 and len(item.ignore) == 0


# --- chance and order ---


def same(first, second):
    pairs = list(zip(first, second, strict=True))
    return all(
        torch.equal(a.images, b.images) and torch.equal(a.boxes, b.boxes) and a.image_ids == b.image_ids
        for a, b in pairs
    )


CHANCE = {"seed": 3, "epoch": 2, "shuffle": True, "flip": 0.5, "jitter": 0.3}


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("cache", [True, False])
def test_neither_workers_nor_the_cache_change_a_batch(mini, workers, cache):
    expected = list(batches(dataset(mini), 3, **CHANCE))
    assert same(batches(dataset(mini, cache=cache), 3, workers=workers, **CHANCE), expected)


def test_an_epoch_resumed_in_the_middle_goes_on_with_the_same_batches(mini):
    expected = list(batches(dataset(mini), 3, **CHANCE))
    assert same(batches(dataset(mini), 3, first=2, workers=2, **CHANCE), expected[2:])
    assert list(batches(dataset(mini), 3, first=4, **CHANCE)) == []


def test_what_happens_to_an_item_depends_on_seed_epoch_and_index_alone(mini):
    pictures = dataset(mini)
    alone = pictures.batch([4], seed=3, epoch=2, flip=0.5, jitter=0.3).images[0]
    among = pictures.batch([7, 4, 1], seed=3, epoch=2, flip=0.5, jitter=0.3).images[1]
    assert torch.equal(alone, among)
    assert not torch.equal(pictures.batch([4], seed=3, epoch=3, flip=0.5, jitter=0.3).images[0], alone)
    assert not torch.equal(pictures.batch([4], seed=4, epoch=2, flip=0.5, jitter=0.3).images[0], alone)


def test_every_epoch_shows_each_picture_once_in_an_order_of_its_own(mini):
    orders = []
    for epoch in range(3):
        found = [i for b in batches(dataset(mini), 4, seed=0, epoch=epoch, shuffle=True) for i in b.image_ids]
        assert sorted(found) == [image.image_id for image in mini.all.images]
        orders.append(tuple(found))
    assert len(set(orders)) == 3
    assert num_batches(dataset(mini), 4) == 3 and num_batches(dataset(mini), 5) == 2


def test_jitter_keeps_pixels_in_range_and_boxes_where_they_are(mini):
    plain = dataset(mini, normalise=False).batch([0, 3])
    varied = dataset(mini, normalise=False).batch([0, 3], jitter=0.9)
    assert 0 <= varied.images.min() and varied.images.max() <= 1
    assert torch.equal(varied.boxes, plain.boxes) and not torch.equal(varied.images, plain.images)


def test_jitter_does_not_change_which_pictures_are_flipped(mini):
    flipped = dataset(mini).batch(range(NUM_IMAGES), flip=0.5)
    both = dataset(mini).batch(range(NUM_IMAGES), flip=0.5, jitter=0.2)
    assert torch.equal(flipped.boxes, both.boxes)
    assert not torch.equal(flipped.boxes, dataset(mini).batch(range(NUM_IMAGES)).boxes)


def test_with_the_cache_each_file_is_decoded_once(mini, monkeypatch):
    decoded = []

    def count(path, *args, **options):
        decoded.append(path.name)
        return decode_picture(path, *args, **options)

    monkeypatch.setattr(data, "decode_picture", count)
    kept, fresh = dataset(mini), dataset(mini, cache=False)
    for pictures, times in ((kept, 1), (fresh, 3)):
        decoded.clear()
        for epoch in range(3):
            list(batches(pictures, 4, epoch=epoch, shuffle=True, workers=2))
        assert sorted(decoded) == sorted([image.file_name for image in mini.all.images] * times)


def test_a_loop_left_early_ends_its_workers(mini):
    for _ in batches(dataset(mini), 1, workers=2):
        break


# --- bad pictures ---


@pytest.mark.parametrize("workers", [0, 2])
def test_a_jpeg_that_is_cut_off_ends_in_one_line(mini, tmp_path, workers):
    for image in mini.all.images:
        content = (mini.images / image.file_name).read_bytes()
        length = len(content) // 2 if image.image_id == 4 else len(content)
        (tmp_path / image.file_name).write_bytes(content[:length])
    cut = DetectionDataset(mini.all, tmp_path, size_wh=SIZE_WH)
    with pytest.raises(BadInput, match=r"000004\.jpg: does not decode .*; run `verify`"):
        list(batches(cut, 4, workers=workers))


def test_missing_empty_and_other_pictures_end_in_one_line(tmp_path):
    Image.new("L", (10, 12)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"")
    with pytest.raises(BadInput, match=r"a\.png: is 10x12, the database says 12x10"):
        decode_picture(tmp_path / "a.png", (12, 10), SIZE_WH, grey=True)
    with pytest.raises(BadInput, match=r"b\.png: does not decode"):
        decode_picture(tmp_path / "b.png", None, SIZE_WH, grey=True)
    with pytest.raises(BadInput, match=r"c\.png: no such picture"):
        decode_picture(tmp_path / "c.png", None, SIZE_WH, grey=True)
