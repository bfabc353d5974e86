from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from experiments.dense_detector import figures
from experiments.dense_detector.checkpoint import KEYS, save_checkpoint
from experiments.dense_detector.config import DenseConfig
from experiments.dense_detector.detector import choose_shapes, detector_state, make_detector
from experiments.dense_detector.viz import ENLARGE
from suite.config import load_config
from suite.datasets.coco import read_coco
from suite.datasets.tabletop import tabletop_path

CONFIGS = Path(__file__).parents[2] / "experiments/dense_detector/configs"
MAX_BYTES = 150_000  # of all pictures under docs/


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    """An untrained detector of the scale `tiny` with tabletop's classes."""
    config = load_config(DenseConfig, CONFIGS / "tiny.yaml", ["anchors.sizes=[0.25, 0.5]"])
    categories = read_coco(tabletop_path("val")[0]).categories
    torch.manual_seed(0)
    shapes = choose_shapes(config, None, 0)
    detector = make_detector(config, tuple((row.id, row.name) for row in categories), shapes, "cpu")
    path = tmp_path_factory.mktemp("figures") / "best.pt"
    save_checkpoint(path, dict.fromkeys(KEYS, 0) | detector_state(detector))
    return path


def test_the_command_draws_a_panel_for_each_part(checkpoint, tmp_path, capsys):
    figures.main(["--checkpoint", str(checkpoint), "--picture", "1", "--out", str(tmp_path / "parts.png")])
    assert "parts.png" in capsys.readouterr().out
    width, height = Image.open(tmp_path / "parts.png").size
    # two rows of four panels of 64 x 32 pixels, enlarged, with captions and gaps of 4 between them
    assert width == 4 * (64 * ENLARGE + 4) - 4
    assert height == 2 * (32 * ENLARGE + figures.CAPTION_HEIGHT + 4) - 4


def lit_outside(detector, flatten) -> int:
    """Of all anchors, every 37th: panels that are lit outside the receptive field of the anchor's cell."""
    dataset = figures.validation_pictures(detector)
    (height, width), columns = detector.image_hw, detector.feature_hw[1]
    black = np.zeros((height * ENLARGE, width * ENLARGE, 3), np.uint8)
    images, network, count = dataset.batch([0]).images, detector.model.network, 0
    reach, no_boxes = network.receptive_field // 2, torch.zeros(len(detector.anchors), 4) - 10
    detector.anchors = no_boxes  # only the heat is looked at
    detector.model.eval()
    for index in range(0, len(no_boxes), 37):
        panel = figures.draw_gradient(detector, images, black, index, flatten).copy()
        row, column = divmod(index // len(detector.shapes), columns)
        y, x = row * network.stride, column * network.stride
        top, left = (max(v - reach, 0) * ENLARGE for v in (y, x))
        panel[top : (y + reach + 1) * ENLARGE, left : (x + reach + 1) * ENLARGE] = 0
        count += bool(panel.any())
    return count


def test_the_aligned_panel_is_dark_outside_the_receptive_field_and_the_published_one_is_not(checkpoint):
    ours, published = (
        lit_outside(figures.load_detector(checkpoint, "cpu"), flatten)
        for flatten in (figures.flatten_head, figures.flatten_head_published)
    )
    assert ours == 0 < published


def test_the_pictures_under_docs_are_small():
    files = [path for path in figures.OUT.parent.iterdir() if path.is_file()]
    assert figures.OUT in files
    assert sum(path.stat().st_size for path in files) <= MAX_BYTES
