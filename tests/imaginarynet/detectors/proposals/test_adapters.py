"""The forms that detectron2 and mmdet take: their code reads the same boxes in the same order."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from experiments.imaginarynet.detectors.proposals.adapters import (
    add_to_dicts,
    objectness_logits,
    to_detectron2,
    to_mmdet,
    write_detectron2,
)
from tests.imaginarynet.detectors.proposals.shapes import proposals

FOUND = {
    7: proposals(*((i, 0, i + 5, 5) for i in range(40))),
    9: proposals((0, 0, 2, 2), (1, 1, 3, 3), scores=[0.9, 0.1]),
    11: proposals(),
}


def test_detectron2_reads_the_same_boxes_in_the_same_order(tmp_path):
    pytest.importorskip("torch", reason="detectron2 needs PyTorch")
    import suite.compat.detectron2  # noqa: F401

    # isort: split
    from detectron2.data.build import load_proposals_into_dataset

    path = tmp_path / "theirs.pkl"
    path.write_bytes(pickle.dumps(to_detectron2(FOUND)))  # their reader takes pickles alone
    theirs = load_proposals_into_dataset([{"image_id": key} for key in FOUND], str(path))
    ours = add_to_dicts([{"image_id": key} for key in FOUND], FOUND)
    for key, one, other in zip(FOUND, theirs, ours, strict=True):
        np.testing.assert_array_equal(one["proposal_boxes"], FOUND[key].boxes)
        np.testing.assert_array_equal(one["proposal_boxes"], other["proposal_boxes"])
        logits = "proposal_objectness_logits"
        np.testing.assert_array_equal(one[logits], other[logits])
        assert one["proposal_bbox_mode"] == other["proposal_bbox_mode"]


def test_boxes_without_scores_keep_their_order_by_falling_logits():
    assert (np.diff(objectness_logits(FOUND[7])) < 0).all()
    np.testing.assert_array_equal(objectness_logits(FOUND[9]), FOUND[9].scores)


def test_the_npz_holds_what_the_dict_holds(tmp_path):
    write_detectron2(tmp_path / "d2.npz", FOUND)
    with np.load(tmp_path / "d2.npz", allow_pickle=False) as arrays:
        assert arrays["ids"].tolist() == ["7", "9", "11"]
        pieces = np.split(arrays["boxes"], arrays["offsets"][1:-1])
        assert arrays["bbox_mode"] == 0
    for wanted, piece in zip(FOUND.values(), pieces, strict=True):
        np.testing.assert_array_equal(piece, wanted.boxes)


def test_mmdet_finds_them_by_folder_and_file():
    tree = to_mmdet({Path("/x/JPEGImages/7.jpg"): FOUND[7], Path("/x/JPEGImages/9.jpg"): FOUND[9]})
    assert sorted(tree) == ["JPEGImages/7.jpg", "JPEGImages/9.jpg"]
    assert set(tree["JPEGImages/9.jpg"]) == {"bboxes", "scores"}
    np.testing.assert_array_equal(tree["JPEGImages/7.jpg"]["bboxes"], FOUND[7].boxes)


def test_two_pictures_that_mmdet_cannot_tell_apart_are_a_fault():
    with pytest.raises(ValueError, match="cannot tell"):
        to_mmdet({Path("/a/train/7.jpg"): FOUND[7], Path("/b/train/7.jpg"): FOUND[9]})
