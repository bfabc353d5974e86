import json

import numpy as np
import pytest

from suite.audits.inputs.generators import coco_tree as tree
from suite.datasets import Detections, read_coco, read_detections, write_detections
from suite.datasets.masks import encode
from suite.errors import BadInput
from tests.suite.datasets.coco_cases import write

ROW = {"image_id": 3, "category_id": 5, "bbox": [1, 2, 3, 4], "score": 0.5}


def detections(masks=None) -> Detections:
    return Detections(
        [7, 3, 3], [5, 5, 9], [0.25, 0.5, 0.75], [[1, 2, 4, 6], [0, 0, 1, 1], [2, 2, 3, 3]], masks
    )


@pytest.mark.parametrize("with_masks", [False, True])
def test_results_are_written_by_image_and_score_and_read_back(with_masks, tmp_path):
    truth = read_coco(write(tmp_path, tree()))
    masks = tuple(encode(np.eye(30, 40, k) > 0) for k in range(3)) if with_masks else None
    write_detections(tmp_path / "out.json", detections(masks))
    back = read_detections(tmp_path / "out.json", truth)
    assert back.image_ids.tolist() == [3, 3, 7] and back.scores.tolist() == [0.75, 0.5, 0.25]
    assert back.boxes_xyxy.tolist() == [[2, 2, 3, 3], [0, 0, 1, 1], [1, 2, 4, 6]]
    assert back.masks == (None if masks is None else (masks[2], masks[1], masks[0]))
    write_detections(tmp_path / "again.json", back)
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "out.json").read_bytes()


def test_no_detections_are_a_valid_result(tmp_path):
    truth = read_coco(write(tmp_path, tree()))
    write_detections(tmp_path / "out.json", Detections.empty())
    assert (tmp_path / "out.json").read_text() == "[]\n" and len(
        read_detections(tmp_path / "out.json", truth)
    ) == 0


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"image_id": 4}, "image_id 4 is not in the ground truth"),
        ({"category_id": "5"}, "category_id '5' is not"),
        ({"score": float("nan")}, "score is nan"),
        ({"bbox": [1, 2, 3]}, "bbox is"),
        ({"bbox": [1, 2, -3, 4]}, "bbox is"),
        ({"segmentation": [[1, 2, 3, 4, 5, 6]]}, "segmentation is no RLE"),
        ({"segmentation": {"size": [30, 40], "counts": "q"}}, "RLE string holds characters"),
    ],
)
def test_a_bad_row_is_told_with_its_position(change, line, tmp_path):
    truth = read_coco(write(tmp_path, tree()))
    (tmp_path / "out.json").write_text(json.dumps([ROW, {**ROW, **change}]))
    with pytest.raises(BadInput, match=f"out.json: detection at position 1: {line}"):
        read_detections(tmp_path / "out.json", truth)


def test_arrays_that_do_not_fit_together_are_refused():
    with pytest.raises(ValueError, match="do not fit together"):
        Detections([1], [1, 2], [0.5], [[0, 0, 1, 1]])
    with pytest.raises(ValueError, match="not finite"):
        Detections([1], [1], [np.inf], [[0, 0, 1, 1]])
    with pytest.raises(ValueError, match="x2 < x1"):
        Detections([1], [1], [0.5], [[5, 0, 4, 1]])
    with pytest.raises(ValueError, match="1 masks for 0"):
        Detections([], [], [], np.zeros((0, 4)), ({},))
