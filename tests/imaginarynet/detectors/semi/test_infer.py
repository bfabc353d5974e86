"""The finished detector."""

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from experiments.imaginarynet.detectors import api
from experiments.imaginarynet.detectors.semi.infer import SemiDetector
from suite.config import to_tree
from suite.errors import BadInput
from tests.imaginarynet.detectors.semi import tiny

PICTURE = np.random.default_rng(0).integers(0, 255, (96, 128, 3), dtype=np.uint8)


class FixedNetwork(torch.nn.Module):
    """Finds the same boxes in every input."""

    def predict(self, inputs, samples, rescale):
        assert inputs.shape == (1, 3, 64, 64) and not rescale  # 48 x 64 pixels, padded
        boxes = torch.tensor([[8.0, 4, 16, 12], [60.0, 40, 70, 60]])
        found = InstanceData(bboxes=boxes, scores=torch.tensor([0.9, 0.5]), labels=torch.tensor([2, 0]))
        return [DetDataSample(pred_instances=found)]


def test_boxes_are_in_pixels_of_the_picture_and_inside_of_it():
    detector = SemiDetector(FixedNetwork(), tiny.settings(test_side=48), tiny.CLASSES, "cpu")
    found = detector.detect(PICTURE)
    assert found.boxes.tolist() == [[16, 8, 32, 24], [120, 80, 128, 96]]
    assert found.labels.tolist() == [2, 0] and not detector.needs_proposals


@pytest.fixture(scope="module")
def folder(pool, tmp_path_factory):
    learner, path = tiny.learner(pool, "faster-rcnn"), tmp_path_factory.mktemp("detector")
    api.save_detector(
        path, kind="faster-rcnn", class_names=tiny.CLASSES, settings=to_tree(learner.settings),
        state=learner.model.student.state_dict(),
    )  # fmt: skip
    return path


def test_a_folder_gives_the_detector_that_was_kept(pool, folder):
    detector = api.load_detector(folder, "cpu")
    student = tiny.learner(pool, "faster-rcnn").model.student
    expected = SemiDetector(student, tiny.SETTINGS, tiny.CLASSES, "cpu").detect(PICTURE)
    found = detector.detect(PICTURE, None)
    assert detector.class_names == tiny.CLASSES and len(found) > 0
    assert np.array_equal(found.boxes, expected.boxes) and np.array_equal(found.scores, expected.scores)


def test_locating_tells_one_box_per_class_and_none_surer_is_among_the_detections(folder):
    detector = api.load_detector(folder, "cpu")
    best, found = detector.locate(PICTURE), api.surest(detector.detect(PICTURE))
    assert best.labels.tolist() == [0, 1, 2]
    assert (best.boxes >= 0).all() and (best.boxes <= [128, 96, 128, 96]).all()
    for label, score, box in zip(found.labels, found.scores, found.boxes, strict=True):
        assert best.scores[label] == score and np.allclose(best.boxes[label], box, atol=1e-3)


def test_detecting_twice_finds_the_same(folder):
    detector = api.load_detector(folder, "cpu")
    assert np.array_equal(detector.detect(PICTURE).scores, detector.detect(PICTURE).scores)


def test_a_folder_of_another_class_list_is_refused(folder, tmp_path):
    header = api.read_header(folder)
    api.save_detector(
        tmp_path, kind="faster-rcnn", class_names=("one", "two"), settings=header["settings"],
        state=api.read_state(folder),
    )  # fmt: skip
    with pytest.raises(BadInput, match=r"does not fit the network of detector.json: size mismatch"):
        api.load_detector(tmp_path, "cpu")


def test_unknown_settings_in_a_header_are_refused(folder, tmp_path):
    header = api.read_header(folder)
    api.save_detector(
        tmp_path, kind="faster-rcnn", class_names=tiny.CLASSES, settings={**header["settings"], "wdth": 8},
        state=api.read_state(folder),
    )  # fmt: skip
    with pytest.raises(BadInput, match="unknown key `wdth`"):
        api.load_detector(tmp_path, "cpu")
