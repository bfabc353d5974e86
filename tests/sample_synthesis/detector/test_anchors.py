import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.sample_synthesis.detector.anchors import make_anchors
from experiments.sample_synthesis.detector.archs import ARCHS
from suite.errors import BadInput


@pytest.mark.parametrize(
    ("arch", "image_size", "number"),
    [
        ("mobilenet", 300, 2430),  # published training logs
        ("mobilenet", 320, 3000),
        ("resnet50", 300, 4149),  # published training logs
        ("resnet50", 320, 4500),
        ("mobilenetv2", 300, (2 * 19 * 19 + 2 * 10 * 10) * 3),
        ("tiny", 96, 1080),
    ],
)
def test_each_detector_has_its_number_of_anchors(arch: str, image_size: int, number: int) -> None:
    assert len(make_anchors(arch, image_size)) == number


@given(arch=st.sampled_from(sorted(ARCHS)), image_size=st.integers(32, 400))
def test_centers_fill_the_image_and_sizes_are_clipped(arch: str, image_size: int) -> None:
    anchors = make_anchors(arch, image_size)
    side = ARCHS[arch].grids(image_size)[0]
    assert anchors.centers[0] == pytest.approx([image_size / 2 / side] * 2)
    assert anchors.centers.min() > 0
    assert anchors.centers.max() < image_size
    assert anchors.sizes.max() <= image_size
    rebuilt = np.concatenate(
        [anchors.centers - anchors.sizes / 2, anchors.centers + anchors.sizes / 2], axis=1
    )
    np.testing.assert_allclose(anchors.boxes, rebuilt, atol=1e-4)


def test_order_is_level_row_column_aspect_ratio() -> None:
    anchors = make_anchors("mobilenet", 300)
    # 18 x 18 cells of 300/18 px; scale 0.1: 30 px; sqrt(0.5) = 0.70711.
    np.testing.assert_allclose(anchors.centers[3], [25.0, 25 / 3], rtol=1e-6)
    np.testing.assert_allclose(anchors.centers[3 * 18], [25 / 3, 25.0], rtol=1e-6)
    expected = [[21.2132, 42.4264], [30, 30], [42.4264, 21.2132]]
    np.testing.assert_allclose(anchors.sizes[:3], expected, rtol=1e-5)
    np.testing.assert_allclose(anchors.sizes[3 * 18 * 18 + 1], [60, 60], rtol=1e-6)


def test_largest_anchors_are_clipped_to_the_image_not_moved() -> None:
    anchors = make_anchors("mobilenet", 300)
    # Scale 0.8: 240 px; 240 * sqrt(2) = 339 px is cut to 300, 240 / sqrt(2) = 169.7 px is not.
    np.testing.assert_allclose(anchors.sizes[-3:], [[169.7056, 300], [240, 240], [300, 169.7056]], rtol=1e-5)
    assert anchors.boxes[-1, 2] > 300


def test_unknown_detector_and_tiny_image_are_bad_input() -> None:
    with pytest.raises(BadInput, match="no detector 'vgg'; choose one of mobilenet"):
        make_anchors("vgg", 300)
    with pytest.raises(BadInput, match="image_size 16 is too small"):
        make_anchors("tiny", 16)
