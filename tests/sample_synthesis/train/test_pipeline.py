"""The input pipeline: what a batch holds, whatever the kind of set."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.sample_synthesis.train.pipeline import (
    FileSet,
    JoinedSet,
    MemorySet,
    StreamSet,
    batches,
    images,
    pad_boxes,
)
from suite.errors import BadInput
from tests.sample_synthesis.train.toy import SIZE, SOURCE, ToyStream, write_pictures


def no_encoding(boxes, num_boxes):
    return boxes, num_boxes


def file_set(folder, numbers=range(12), image_size=SIZE, **options):
    paths, boxes = write_pictures(folder, numbers, **options)
    return FileSet(paths, boxes, np.full((len(paths), 2), SOURCE), image_size=image_size)


def stream_set(num_items=12):
    return StreamSet(ToyStream(), num_items, source_size=SOURCE, max_boxes=1, image_size=SIZE)


def collect(items, order, **options):
    options = {"batch": 4, "encode": no_encoding, **options}
    found = [[part.numpy() for part in batch] for batch in batches(items, np.asarray(order), **options)]
    return [np.concatenate(part) for part in zip(*found, strict=True)]


ORDER = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8]


def test_the_cache_changes_no_byte(tmp_path):
    files = file_set(tmp_path)
    for one, other in zip(collect(files, ORDER), collect(MemorySet(files), ORDER), strict=True):
        assert np.array_equal(one, other)


def test_threads_change_neither_order_nor_byte(tmp_path):
    files = file_set(tmp_path)
    for one, other in zip(collect(files, ORDER), collect(files, ORDER, threads=3), strict=True):
        assert np.array_equal(one, other)


def test_the_stream_gives_what_the_files_give_where_they_lose_nothing(tmp_path):
    for one, other in zip(collect(file_set(tmp_path), ORDER), collect(stream_set(), ORDER), strict=True):
        assert np.array_equal(one, other)


def test_jpeg_files_differ_from_the_stream_in_pixels_alone(tmp_path):
    written, drawn = collect(file_set(tmp_path, suffix="jpg"), ORDER), collect(stream_set(), ORDER)
    assert not np.array_equal(written[0], drawn[0])
    assert np.array_equal(written[1], drawn[1])


@pytest.mark.parametrize("start", [0, 1, 2])
def test_going_on_from_a_batch_gives_the_batches_that_are_left(tmp_path, start):
    items = MemorySet(file_set(tmp_path))
    whole, rest = collect(items, ORDER), collect(items, ORDER, start=start)
    assert np.array_equal(whole[0][4 * start :], rest[0])


def test_items_come_in_the_order_that_is_given(tmp_path):
    pictures, boxes, num = collect(file_set(tmp_path), ORDER)
    wanted = np.array([ToyStream().item(i).boxes for i in ORDER]) * (SIZE / SOURCE)
    assert np.allclose(boxes, wanted)
    assert (num == 1).all()
    for picture, ((x1, y1, x2, y2),), item in zip(pictures, wanted, ORDER, strict=True):
        assert picture[int((y1 + y2) / 2), int((x1 + x2) / 2), 0] == 255 - item % 40


def test_pictures_are_stretched_with_their_boxes(tmp_path):
    from PIL import Image

    wide = np.zeros((20, 80, 3), np.uint8)
    wide[10:20, 40:80] = 200
    Image.fromarray(wide).save(tmp_path / "wide.png")
    items = FileSet(
        [tmp_path / "wide.png"], [np.array([[40, 10, 80, 20]])], np.array([[80, 20]]), image_size=40
    )
    (picture,), ((box,),), _ = collect(items, [0], batch=1)
    assert box.tolist() == [20, 20, 40, 40]
    assert (picture[22:, 22:] == 200).all() and (picture[:18] == 0).all() and (picture[:, :18] == 0).all()


def test_joined_sets_number_the_second_behind_the_first(tmp_path):
    first, second = file_set(tmp_path / "a", range(5)), MemorySet(file_set(tmp_path / "b", range(100, 104)))
    pictures, *_ = collect(JoinedSet(first, second), [4, 5, 8, 0])
    wanted = np.concatenate([collect(first, [4, 0, 0, 0])[0][:2], collect(second, [0, 3, 0, 0])[0][:2]])
    assert np.array_equal(pictures[[0, 3, 1, 2]], wanted)


def test_memory_decodes_what_is_needed_once(tmp_path):
    items = MemorySet(file_set(tmp_path))
    collect(items, ORDER)
    for path in tmp_path.iterdir():
        path.unlink()
    collect(items, ORDER)  # without the files
    with pytest.raises(BadInput, match="00007.png: cannot be decoded"):
        collect(items, [7, 7, 7, 7])


@pytest.mark.parametrize("in_memory", [False, True])
def test_a_cut_file_is_named(tmp_path, in_memory):
    files = file_set(tmp_path)
    victim = tmp_path / "00005.png"
    victim.write_bytes(victim.read_bytes()[:60])
    items = MemorySet(files) if in_memory else files
    with pytest.raises(BadInput, match="00005.png: cannot be decoded"):
        collect(JoinedSet(stream_set(3), items), [0, 3, 8, 4])


def test_pictures_alone_keep_the_last_incomplete_batch(tmp_path):
    found = [batch.numpy() for batch in images(file_set(tmp_path), np.arange(10), batch=4)]
    assert [len(batch) for batch in found] == [4, 4, 2]


def test_padding_keeps_the_boxes_and_counts_them():
    boxes, num = pad_boxes([np.ones((2, 4)), np.zeros((0, 4)), np.full((1, 4), 7)])
    assert boxes.shape == (3, 2, 4) and num.tolist() == [2, 0, 1]
    assert boxes[2].tolist() == [[7] * 4, [0] * 4]
    assert pad_boxes([np.zeros((0, 4))])[0].shape == (1, 1, 4)
