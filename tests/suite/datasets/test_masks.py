import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as mask_api

from suite.datasets.masks import decode, encode, mask_box, to_rle
from suite.datasets.rle import check_rle, encode_rle, rle_area, rle_counts

MASKS = arrays(bool, st.tuples(st.integers(1, 40), st.integers(1, 40)))


@settings(deadline=None)
@given(mask=MASKS)
def test_masks_survive_encoding_and_the_checker_accepts_what_pycocotools_writes(mask):
    rle = encode(mask)
    check_rle(rle, *mask.shape)
    assert rle_area(rle) == mask.sum()
    assert (decode(rle, *mask.shape) == mask).all()


@settings(deadline=None)
@given(mask=MASKS, repeat=st.integers(1, 60))
def test_the_encoder_without_pycocotools_writes_the_same_string(mask, repeat):
    for one in (np.repeat(mask, repeat, axis=0), np.zeros_like(mask), np.ones_like(mask)):
        assert encode_rle(one) == encode(one)


@settings(deadline=None)
@given(mask=MASKS)
def test_run_lengths_equal_those_counted_from_the_pixels(mask):
    flat = mask.flatten(order="F")
    edges = np.flatnonzero(np.diff(flat.astype(np.int8), prepend=0)) if flat.size else np.zeros(0, int)
    runs = np.diff(np.concatenate(([0], edges, [flat.size])))
    assert rle_counts(encode(mask)["counts"]).tolist() == runs.tolist()
    plain = {"size": list(mask.shape), "counts": runs.tolist()}
    assert to_rle(plain, *mask.shape) == encode(mask)


def test_long_runs_need_several_groups_of_bits():
    mask = np.zeros((3000, 2000), bool)
    mask[100:2900, 500:1500] = True
    mask[1500, 1000] = False
    assert rle_area(encode(mask)) == mask.sum() == 2_799_999


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_pixels_are_those_that_pycocotools_decodes():
    rng = np.random.default_rng(0)
    for height, width in ((1, 1), (1, 7), (9, 1), (13, 8), (60, 70)):
        rle = encode(rng.random((height, width)) < 0.4)
        assert (decode(rle, height, width) == mask_api.decode(rle)).all()


@settings(deadline=None)
@given(text=st.text(st.characters(min_codepoint=48, max_codepoint=111), max_size=12))
def test_no_string_passes_the_checker_that_pycocotools_reads_otherwise(text):
    try:
        check_rle({"size": [6, 5], "counts": text}, 6, 5)
    except ValueError:
        return
    assert mask_api.area({"size": [6, 5], "counts": text}) == rle_area({"counts": text})


def test_a_rectangle_polygon_covers_its_half_open_pixels():
    mask = decode(((2.0, 1.0, 6.0, 1.0, 6.0, 4.0, 2.0, 4.0),), 8, 10)
    wanted = np.zeros((8, 10), bool)
    wanted[1:4, 2:6] = True
    assert (mask == wanted).all() and mask_box(mask) == (2.0, 1.0, 4.0, 3.0)


def test_several_polygons_are_one_mask_and_overlap_counts_once():
    left, right = (0, 0, 4, 0, 4, 4, 0, 4), (2, 0, 6, 0, 6, 4, 2, 4)
    assert decode((left, right), 4, 8).sum() == 24


def test_an_empty_mask_has_no_box():
    assert mask_box(np.zeros((3, 4), bool)) is None


def test_an_rle_of_another_picture_is_refused():
    with pytest.raises(ValueError, match="RLE size"):
        decode(encode(np.ones((3, 4), bool)), 4, 3)
