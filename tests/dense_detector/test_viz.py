"""What TensorBoard and the report show: every tag in one event file, and heat where the object is."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from experiments.dense_detector.assign import BACKGROUND, NEUTRAL
from experiments.dense_detector.descent import Descent
from experiments.dense_detector.detector import choose_shapes, make_detector
from experiments.dense_detector.splits import Subset, dataset_of
from experiments.dense_detector.viz import (
    NEGATIVE_COLOR,
    NEUTRAL_COLOR,
    POSITIVE_COLOR,
    assignment_cells,
    class_heat,
    colour,
    drawn_batch,
)
from suite.errors import Stopped
from tests.dense_detector.chain import Chain, make_sets, make_trainer, subsets


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    folder = tmp_path_factory.mktemp("viz")
    return Chain(make_sets(folder / "sets"), folder)


def test_one_event_file_holds_every_tag_also_after_a_stop(chain, tmp_path):
    trainer = make_trainer(chain, tmp_path)
    with pytest.raises(Stopped):
        trainer.run(lambda: trainer.step == 3)
    make_trainer(chain, tmp_path, resume=True).run()
    (path,) = (tmp_path / "tensorboard").iterdir()
    events = EventAccumulator(str(path))
    events.Reload()
    tags = events.Tags()
    images = {"heatmap/any", "heatmap_by_anchor", "assignment", "predictions"}
    batch, _ = trainer.drawn
    names = [name for _, name in trainer.detector.classes]
    shown = {names[label] for label in batch.labels[batch.valid].tolist()}
    images |= {f"heatmap/{name}" for name in shown}
    assert shown and images == set(tags["images"])
    assert {"pr/person", "pr/car", "pr/dog"} <= set(tags["tensors"])
    assert {"train/loss", "train/cls", "train/box", "val/ap", "val/ap50"} <= set(tags["scalars"])
    assert [event.step for event in events.Scalars("train/loss")] == [1, 2, 3, 4, 5, 6]
    assert [event.step for event in events.Images("predictions")] == [0, 6]


def test_the_heat_of_a_picture_known_by_heart_peaks_inside_its_object(chain, tmp_path):
    torch.manual_seed(0)
    config, (train, _) = chain.config, subsets(tmp_path, chain.config, chain.sets)
    image = max(
        (image for image in train.selection.images if len(image.boxes) == 1),
        key=lambda image: image.areas.max(),
    )
    selection = replace(train.selection, images=(image,))
    dataset = dataset_of(Subset(selection, train.images_dir), config.data)
    config = replace(config, anchors=replace(config.anchors, num_auto=1))
    shapes = choose_shapes(config, selection, 0)
    detector = make_detector(config, train.classes, shapes, "cpu")
    descent, batch = Descent(detector, config.train), dataset.batch([0])
    for _ in range(60):
        descent.update(detector, batch, 3e-3)
    detector.model.eval()
    logits = detector.forward(batch.images).logits[0].detach().numpy()
    heat = class_heat(logits, detector.feature_hw, int(image.labels[0]))
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    stride = detector.model.network.stride
    x1, y1, x2, y2 = batch.boxes[0, 0].tolist()
    assert heat.max() > 0.5
    assert x1 < (column + 0.5) * stride < x2 and y1 < (row + 0.5) * stride < y2


def test_heat_is_the_best_score_over_anchors_and_classes():
    logits = np.full((2 * 3 * 2, 2), -9.0)  # 2 rows, 3 columns, 2 shapes, 2 classes
    logits[(1 * 3 + 2) * 2 + 1, 0] = 0.0  # row 1, column 2, shape 1, class 0
    assert class_heat(logits, (2, 3), 0)[1, 2] == class_heat(logits, (2, 3))[1, 2] == 0.5
    assert class_heat(logits, (2, 3), 1).max() < 0.001
    assert np.argwhere(class_heat(logits, (2, 3), 0) > 0.4).tolist() == [[1, 2]]


def test_a_cell_is_drawn_by_the_best_that_one_of_its_anchors_is():
    labels = np.array([BACKGROUND, BACKGROUND, BACKGROUND, NEUTRAL, NEUTRAL, 2])  # three cells of two anchors
    cells = assignment_cells(labels, (1, 3))
    assert [tuple(cell) for cell in cells[0].tolist()] == [NEGATIVE_COLOR, NEUTRAL_COLOR, POSITIVE_COLOR]


def test_colours_rise_from_black_to_white():
    scale = colour(np.linspace(0, 1, 50)).astype(int).sum(axis=1)
    assert scale[0] == 0 and scale[-1] == 3 * 255
    assert (np.diff(scale) >= 0).all()


def test_the_same_pictures_are_drawn_every_time_and_each_has_a_box(chain, tmp_path):
    _, val = subsets(tmp_path, chain.config, chain.sets)
    dataset = dataset_of(val, chain.config.data)
    (batch, rgb), (again, _) = drawn_batch(dataset, 2), drawn_batch(dataset, 2)
    assert batch.image_ids == again.image_ids and len(set(batch.image_ids)) == 2
    assert batch.valid.any(dim=1).all()
    assert rgb.shape == (2, 32, 64, 3) and rgb.dtype == np.uint8
