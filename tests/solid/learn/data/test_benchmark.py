import numpy as np
import pytest

from benchmarks.solid_loader import as_store, contours, measure_ours, measure_published, polygon_sample
from benchmarks.zarr_read import synthetic_sample


@pytest.fixture(scope="module")
def samples():
    return [synthetic_sample(np.random.default_rng([index, 7]), 5) for index in range(3)]


@pytest.fixture
def settings(tiny_config):
    return tiny_config.pretrain


def test_both_ways_give_the_same_picture_and_nearly_the_same_boxes(tmp_path, samples, settings):
    from experiments.solid.learn.data.pretrain import load_target

    store, index = as_store(tmp_path / "store", samples)
    for row, sample in enumerate(samples):
        theirs = polygon_sample(sample.rgb(), sample.bboxes, sample.masks(), 56, settings, flip=True)
        ours, image, _ = load_target(store, index, row, settings, short_edge=56, flip=True)
        assert (theirs["image"].numpy() == image).all()
        assert theirs["instances"].gt_classes.tolist() == ours.classes.tolist()
        # The published outlines lie half a stored pixel too far up and left.
        assert np.abs(theirs["instances"].gt_boxes.tensor.numpy() - ours.boxes).max() <= 1.5


def test_every_rate_is_of_real_work(tmp_path, samples, settings):
    assert min(measure_ours(tmp_path / "ours", samples, settings)) > 0
    assert min(measure_published(tmp_path / "published", samples, settings)) > 0


def test_a_published_outline_is_shifted_by_half_a_pixel_and_an_empty_mask_has_none():
    mask = np.zeros((10, 12), bool)
    mask[2:6, 3:9] = True
    (outline,) = contours(mask)
    assert outline.min(axis=0).tolist() == [2.5, 1.5]
    assert outline.max(axis=0).tolist() == [8.5, 5.5]
    assert contours(np.zeros((4, 4), bool)) == []
