"""Reading Zarr 2 by hand, on arrays that zarr 2 wrote and on damaged ones."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.solid.importing.zarr2 import Array2, Folder, decode_items
from suite.errors import BadInput, Missing
from tests.solid.importing import make_v2_store as v2

STORE = Path(__file__).parent / "store_v2"


@pytest.fixture
def store(tmp_path) -> Path:
    return Path(shutil.copytree(STORE, tmp_path / "store"))


def rewrite(store: Path, array: str, **changes: object) -> Array2:
    path = store / array / ".zarray"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return Array2.open(Folder(store), array)


@pytest.mark.parametrize("start", range(0, v2.NUM_IMAGES, 3))
def test_rows_across_chunks_are_those_that_zarr_2_wrote(start):
    stop = min(start + 5, v2.NUM_IMAGES)
    found = Array2.open(Folder(STORE), "bboxes").rows(start, stop)
    for row, value in zip(range(start, stop), found, strict=True):
        if row in v2.NEVER_WRITTEN or row in v2.NULL:
            assert value is None
        else:
            np.testing.assert_array_equal(value.reshape(-1, 5), v2.boxes(row))


def test_a_chunk_that_was_never_written_and_a_null_in_a_written_one_are_both_missing():
    images = Array2.open(Folder(STORE), "images")
    assert images.chunk((2,)) is None
    assert images.chunk((0,))[v2.NULL[0]] is None
    assert not (STORE / "images" / "2").exists()


def test_the_padding_of_wide_chunks_is_cut_off():
    queries = Array2.open(Folder(STORE), "queries")
    assert queries.chunks == (4, 4)
    assert queries.shape == (6, 3)
    found = queries.rows(0, 6)
    assert found.shape == (6, 3)
    assert found[3, 2].tobytes() == v2.png(v2.view(3, 2))


def test_plain_arrays_are_decoded_by_their_type():
    valids = Array2.open(Folder(STORE), "valids").rows(0, v2.NUM_IMAGES)
    lost = {*v2.NEVER_WRITTEN, *v2.NULL, *v2.FLAG_LOST}
    assert valids.dtype == bool
    assert set(np.flatnonzero(~valids)) == lost
    np.testing.assert_array_equal(Array2.open(Folder(STORE), "query_ids").rows(1, 4), [1, 2, 3])


def test_pickled_elements_are_refused_with_the_reason(store):
    with pytest.raises(BadInput, match="pickles are not read, because reading one runs the code in it"):
        rewrite(store, "images", filters=[{"id": "pickle", "protocol": 5}])


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"zarr_format": 3}, "Zarr format 3, expected 2"),
        ({"compressor": {"id": "lzma"}}, "compressor 'lzma' is not read"),
        ({"filters": [{"id": "json2"}]}, r"filters \['json2'\] is not read"),
        ({"filters": [{"id": "vlen-array", "dtype": "|O"}]}, "is not read"),
        ({"filters": None}, "is not read"),
        ({"chunks": [0]}, "in chunks"),
        ({"chunks": [4, 4]}, "in chunks"),
        ({"order": "X"}, "order X"),
    ],
)
def test_what_is_not_read_is_named(store, changes, what):
    with pytest.raises((BadInput, TypeError), match=what) as caught:
        rewrite(store, "images", **changes)
    assert isinstance(caught.value, BadInput)


def test_a_missing_array_and_a_damaged_description_are_told_apart(store):
    with pytest.raises(Missing, match="has no array 'depths'"):
        Array2.open(Folder(store), "depths")
    (store / "masks" / ".zarray").write_text("{")
    with pytest.raises(BadInput, match="no array description"):
        Array2.open(Folder(store), "masks")


@pytest.mark.parametrize("array", ["images", "masks"])  # without and with Blosc
@pytest.mark.parametrize("cut", [0, 3, 20, -1])
def test_a_chunk_that_is_cut_short_is_one_clear_line_with_its_file(store, array, cut):
    path = store / array / "0"
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(BadInput, match="does not decode") as caught:
        Array2.open(Folder(store), array).rows(0, 4)
    assert str(path) in str(caught.value)


def encode(items: list[np.ndarray]) -> bytes:
    """The inverse, written from the format's description."""
    parts = [len(items).to_bytes(4, "little")]
    for item in items:
        parts += [item.nbytes.to_bytes(4, "little"), item.tobytes()]
    return b"".join(parts)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.integers(-(2**31), 2**31 - 1), max_size=6), max_size=6))
def test_items_come_back_as_they_were_and_empty_ones_as_none(rows):
    items = [np.array(row, "<i4") for row in rows]
    found = list(decode_items(memoryview(encode(items)), np.dtype("<i4"), len(items)))
    for item, value in zip(items, found, strict=True):
        assert (value is None) == (item.size == 0)
        if value is not None:
            np.testing.assert_array_equal(value, item)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 40))
def test_every_cut_of_a_chunk_is_noticed(length):
    data = encode([np.arange(3, dtype="<i4"), np.arange(5, dtype="<i4")])
    with pytest.raises(ValueError, match="chunk|no whole number|items"):
        list(decode_items(memoryview(data[: min(length, len(data) - 1)]), np.dtype("<i4"), 2))
