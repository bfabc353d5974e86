import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.sample_synthesis.objects.types import ObjectPicture
from experiments.sample_synthesis.synth.compose import PasteRule, Patch, blend, extent, make_patch
from suite.errors import BadInput
from tests.sample_synthesis.synth import fakes

RULE = PasteRule("patch", 0.5, "soft", "exclusive", naive=False, naive_fill="reflect")


def rule(**changes) -> PasteRule:
    return PasteRule(**{**vars(RULE), **changes})


def test_extent_is_tight_with_exclusive_ends():
    foreground = np.zeros((20, 30), bool)
    foreground[5:9, 12:20] = True
    assert extent(foreground).tolist() == [12, 5, 20, 9]


def test_inclusive_ends_are_the_last_pixel_scaled_and_truncated():
    foreground = np.zeros((100, 100), bool)
    foreground[10:20, 30:61] = True
    # Hand-computed: last column 60 * 0.55 = 33.0, last row 19 * 0.5 = 9.5 -> 9.
    assert extent(foreground, "inclusive", scale=(0.55, 0.5)).tolist() == [16, 5, 33, 9]
    # 61 * 0.55 = 33.55 -> 34, 20 * 0.5 = 10.
    assert extent(foreground, "exclusive", scale=(0.55, 0.5)).tolist() == [16, 5, 34, 10]


@pytest.mark.parametrize("edge", ["exclusive", "inclusive"])
def test_nothing_has_no_extent(edge):
    assert extent(np.zeros((4, 4), bool), edge) is None


def test_one_pixel_has_an_extent_with_exclusive_ends_only():
    foreground = np.zeros((4, 4), bool)
    foreground[1, 2] = True
    assert extent(foreground).tolist() == [2, 1, 3, 2]
    assert extent(foreground, "inclusive") is None  # published: a box without area


def test_blending_is_the_weighted_mean_truncated():
    image = np.full((4, 4, 3), 101, np.uint8)
    patch = Patch(np.full((2, 2, 3), 250, np.uint8), np.array([[0, 1], [0.5, 0.25]], np.float32), np.zeros(4))
    blend(image, np.array([1, 2, 3, 4]), patch)
    assert image[2:, 1:3, 0].tolist() == [[101, 250], [175, 138]]  # 175.5 and 138.25, truncated
    assert (image[:2] == 101).all()
    assert (image[:, 3] == 101).all()


@given(seed=st.integers(0, 2**32), value=st.integers(0, 255), under=st.integers(0, 255))
@settings(max_examples=50, deadline=None)
def test_full_weight_gives_the_object_and_none_the_background(seed, value, under):
    image = np.full((3, 3, 3), under, np.uint8)
    weight = np.random.default_rng(seed).integers(0, 2, (3, 3)).astype(np.float32)
    blend(image, np.array([0, 0, 3, 3]), Patch(np.full((3, 3, 3), value, np.uint8), weight, np.zeros(4)))
    assert np.array_equal(image[..., 0], np.where(weight == 1, value, under))


@pytest.mark.parametrize("raster", ["patch", "object"])
@given(seed=st.integers(0, 2**32), wide=st.integers(12, 120), high=st.integers(12, 120))
@settings(max_examples=60, deadline=None)
def test_boxes_are_inside_the_slot_and_tight_around_the_weight(raster, seed, wide, high):
    rng = np.random.default_rng(seed)
    patch = make_patch(rng, fakes.Discs().draw(rng), (wide, high), rule(raster=raster))
    assert patch.picture.shape == (high, wide, 3)
    assert patch.weight.shape == (high, wide)
    x1, y1, x2, y2 = patch.box
    assert 0 <= x1 < x2 <= wide
    assert 0 <= y1 < y2 <= high
    rows, columns = (np.flatnonzero((patch.weight > 0.5).any(axis=axis)) for axis in (1, 0))
    found = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
    # At the picture's own resolution the box ends at one of its pixels, up to two of the slot's, and resizing
    # to a narrow slot skips columns, and with them the tip of an ellipse.
    slack = 0 if raster == "patch" else 3 + max(wide, high) / fakes.SIDE
    assert np.abs(found - patch.box).max() <= slack


@given(seed=st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_both_rasters_put_the_object_at_the_same_place(seed):
    found = []
    for raster in ("patch", "object"):
        rng = np.random.default_rng(seed)
        drawn = fakes.Discs().draw(rng)
        found.append(make_patch(rng, drawn, (60, 90), rule(raster=raster)).box)
    assert np.abs(found[0] - found[1]).max() <= 2


def test_a_mask_of_nothing_gives_no_patch_and_a_faint_one_neither():
    picture = np.full((32, 32, 3), 200, np.uint8)
    for raster in ("patch", "object"):
        for value in (0.0, 0.05):
            mask = np.full((32, 32), value, np.float32)
            drawn = ObjectPicture(picture, mask, "faint")
            found = make_patch(np.random.default_rng(0), drawn, (40, 40), rule(raster=raster, threshold=0.0))
            assert found is None


def test_binary_blending_has_no_half_weights():
    rng = np.random.default_rng(0)
    mask = cv2.GaussianBlur(fakes.Discs().draw(rng).mask, (0, 0), 3)
    drawn = ObjectPicture(np.full((fakes.SIDE, fakes.SIDE, 3), 9, np.uint8), mask, "soft")
    hard = make_patch(np.random.default_rng(1), drawn, (64, 64), rule(blend="binary", threshold=0.1)).weight
    soft = make_patch(np.random.default_rng(1), drawn, (64, 64), rule(threshold=0.1)).weight
    assert set(np.unique(hard)) == {0, 1}
    assert len(np.unique(soft)) > 100
    assert np.array_equal(hard == 1, soft > 0.1)


def test_what_is_exactly_at_the_threshold_is_not_pasted():
    drawn = fakes.Discs().draw(np.random.default_rng(0))  # a mask of 0 and 1
    weight = make_patch(np.random.default_rng(1), drawn, (64, 64), rule(blend="binary", threshold=0.0)).weight
    assert 0 < np.count_nonzero(weight) < weight.size


@pytest.mark.parametrize("raster", ["patch", "object"])
def test_naive_patches_fill_the_slot_and_show_no_black_corner_unless_asked(raster):
    drawn = ObjectPicture(np.full((64, 64, 3), 200, np.uint8), None, "white")
    dark = {}
    for fill in ("reflect", "black"):
        dark[fill] = 0
        for seed in range(20):
            chosen = rule(raster=raster, naive=True, naive_fill=fill)
            patch = make_patch(np.random.default_rng(seed), drawn, (50, 40), chosen)
            assert patch.weight is None
            assert patch.box.tolist() == [0, 0, 50, 40]
            dark[fill] += np.count_nonzero(patch.picture.max(axis=2) < 20)
    assert dark["reflect"] == 0
    assert dark["black"] > 1000


def test_a_picture_without_a_mask_is_refused():
    drawn = ObjectPicture(np.zeros((8, 8, 3), np.uint8), None, "photo.jpg")
    with pytest.raises(BadInput, match="photo.jpg has no mask"):
        make_patch(np.random.default_rng(0), drawn, (8, 8), RULE)
