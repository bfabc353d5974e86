import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from experiments.dense_detector.anchors import anchor_shapes, grid_anchors, kmeans_shapes
from experiments.dense_detector.boxes import box_area
from experiments.dense_detector.presets import PRESETS, get_preset
from suite.errors import BadInput

# preset, height and width of the picture, rows and columns of the map, anchors: published code
PUBLISHED = [("master", (128, 64), (32, 16), 6144), ("research", (75, 100), (10, 13), 3120)]


def anchors_of(name: str, image_hw: tuple[int, int], grid: str = "cell") -> tuple[torch.Tensor, torch.Tensor]:
    """Anchors and shapes of a preset."""
    preset = PRESETS[name]
    shapes = anchor_shapes(preset.anchors, image_hw)
    return grid_anchors(preset.network.feature_hw(image_hw), image_hw, shapes, grid=grid), shapes


@pytest.mark.parametrize("name, image_hw, feature_hw, count", PUBLISHED)
@pytest.mark.parametrize("grid", ["cell", "published"])
def test_as_many_anchors_as_cells_times_shapes(name, image_hw, feature_hw, count, grid):
    preset = PRESETS[name]
    assert preset.network.feature_hw(image_hw) == feature_hw
    assert feature_hw[0] * feature_hw[1] * preset.anchors.num_shapes == count
    assert anchors_of(name, image_hw, grid)[0].shape == (count, 4)


@pytest.mark.parametrize("name, image_hw", [row[:2] for row in PUBLISHED])
def test_centres_lie_in_the_picture_evenly_and_areas_are_those_of_the_sizes(name, image_hw):
    anchors, shapes = anchors_of(name, image_hw)
    centres = (anchors[:, :2] + anchors[:, 2:]) / 2
    size = torch.tensor([image_hw[1], image_hw[0]])
    assert (centres > 0).all() and (centres < size).all()
    assert torch.allclose(centres.mean(0), size / 2)  # no bias to a side
    preset = PRESETS[name].anchors
    scale = image_hw[1] if preset.unit == "width" else 1
    squares = torch.tensor([(scale * s) ** 2 for s in preset.sizes] * len(preset.ratios)).float()
    assert torch.allclose(shapes.prod(1), squares)
    assert torch.allclose(box_area(anchors).reshape(-1, len(shapes)), squares, rtol=1e-4)


def test_the_published_grid_is_half_a_cell_up_and_left_and_rounded():
    ours, _ = anchors_of("master", (128, 64))
    published, _ = anchors_of("master", (128, 64), "published")
    assert torch.equal(published, published.round())
    # stride 4: half a cell is 2 px, rounding adds less than half a pixel to each corner
    assert (ours - published - 2).abs().max() <= 0.5


def test_the_order_is_row_column_shape():
    shapes = torch.tensor([[2.0, 4.0], [6.0, 8.0]])
    anchors = grid_anchors((2, 3), (20, 60), shapes).reshape(2, 3, 2, 4)
    # cells of 20 x 10 px; row 1, column 2 has its centre at x = 50, y = 15
    assert anchors[1, 2, 0].tolist() == [49, 13, 51, 17]
    assert anchors[1, 2, 1].tolist() == [47, 11, 53, 19]
    assert anchors[0, 2, 0].tolist() == [49, 3, 51, 7]


def test_shapes_are_ordered_by_ratio_then_size_with_height_over_width():
    shapes = anchor_shapes(PRESETS["master"].anchors, (128, 64))
    assert shapes[:4].tolist() == [[8, 8], [16, 16], [32, 32], [64, 64]]  # ratio 1, sizes W/8 .. W
    assert torch.allclose(shapes[:, 1] / shapes[:, 0], torch.tensor([1.0, 0.5, 2.0]).repeat_interleave(4))


def test_kmeans_finds_clusters_that_are_there():
    rng = np.random.default_rng(0)
    truth = np.array([[5.0, 10.0], [30.0, 12.0], [40.0, 60.0]])
    sizes = np.concatenate([row * rng.uniform(0.97, 1.03, (50, 2)) for row in truth])
    found = kmeans_shapes(sizes, 3, np.random.default_rng(1)).numpy()
    np.testing.assert_allclose(found, truth, rtol=0.02)


@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_kmeans_of_as_many_sizes_as_shapes_returns_them_by_area(seed, count):
    sizes = np.random.default_rng(seed).uniform(2, 90, (count, 2))
    found = kmeans_shapes(sizes, count, np.random.default_rng(0)).numpy()
    np.testing.assert_allclose(found, sizes[np.argsort(sizes.prod(1))], rtol=1e-5)


def test_kmeans_of_one_seed_is_one_result_and_too_few_boxes_are_refused():
    sizes = np.random.default_rng(3).uniform(2, 90, (40, 2))
    first, second = (kmeans_shapes(sizes, 9, np.random.default_rng(7)) for _ in range(2))
    assert torch.equal(first, second)
    with pytest.raises(BadInput, match="2 distinct box sizes for 3 anchor shapes"):
        kmeans_shapes(np.array([[4, 5], [4, 5], [6, 7]]), 3, np.random.default_rng(0))


def test_an_unknown_preset_is_refused_with_the_known_ones():
    with pytest.raises(BadInput, match="unknown preset 'mobile'; choose one of master, research, cpu"):
        get_preset("mobile")
    assert get_preset("master", head_channels=64) == PRESETS["cpu"]
