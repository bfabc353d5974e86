"""Detection over many pictures: each alone, whatever the chunks, and what is finished stays."""

import numpy as np
import pytest

from experiments.imaginarynet.detectors import detect_all as module
from experiments.imaginarynet.detectors.api import Found
from experiments.imaginarynet.detectors.detect_all import detect_all, from_book, items_of
from suite.errors import BadInput, Stopped
from tests.imaginarynet.detectors.fakes import (
    BOXES,
    BlobDetector,
    LocatingDetector,
    blob_book,
    blob_set,
)


@pytest.fixture
def items(tmp_path):
    return items_of(blob_set(tmp_path / "pictures"), tmp_path / "pictures")


def rows(found):
    return found.image_ids.tolist(), found.boxes.tolist(), found.scores.tolist(), found.labels.tolist()


def test_every_picture_is_detected_with_its_id_in_the_order_of_the_set(items, tmp_path):
    found = detect_all(BlobDetector(), items, None, folder=tmp_path / "work")
    assert found.image_ids.tolist() == [1, 1, 2, 2, 3, 3, 4, 4]
    assert found.boxes[::2].tolist() == [list(map(float, box)) for box in BOXES]
    assert found.labels.tolist() == [0, 1, 1, 0, 0, 1, 1, 0]
    assert found.without_proposals == 0


def test_the_chunks_do_not_matter(items, tmp_path, monkeypatch):
    whole = rows(detect_all(BlobDetector(), items, None, folder=tmp_path / "a"))
    monkeypatch.setattr(module, "CHUNK", 3)
    assert rows(detect_all(BlobDetector(), items, None, folder=tmp_path / "b")) == whole


def test_a_stop_keeps_finished_chunks_and_the_next_call_ends_with_the_same(items, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 1)
    whole = rows(detect_all(BlobDetector(), items, None, folder=tmp_path / "whole"))
    calls, later = [], BlobDetector()

    def stop():
        calls.append(1)
        if len(calls) == 3:
            raise Stopped("enough")

    with pytest.raises(Stopped):
        detect_all(BlobDetector(), items, None, folder=tmp_path / "work", after=stop)
    ticks = []
    found = detect_all(later, items, None, folder=tmp_path / "work", after=lambda: ticks.append(1))
    assert rows(found) == whole
    assert len(later.seen) == 2  # the picture at which it stopped, and the last
    assert len(ticks) == 4


def test_a_detector_that_judges_proposals_gets_those_of_its_picture(items, tmp_path):
    detector = BlobDetector(needs_proposals=True)
    book = blob_book(items[0].file.parent)
    detect_all(detector, items, from_book(book), folder=tmp_path / "work")
    assert [boxes.shape for boxes in detector.seen] == [(2, 5)] * 4


def test_a_picture_without_proposals_is_counted_and_has_no_detection(items, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 2)
    detector = BlobDetector(needs_proposals=True)
    book = blob_book(items[0].file.parent, empty=("2.png", "3.png"))
    found = detect_all(detector, items, from_book(book), folder=tmp_path / "work")
    assert found.without_proposals == 2
    assert set(found.image_ids.tolist()) == {1, 4}


def test_proposals_that_nobody_gave_are_one_line(items, tmp_path):
    with pytest.raises(BadInput, match="needs proposals"):
        detect_all(BlobDetector(needs_proposals=True), items, None, folder=tmp_path / "work")


def test_best_asks_a_detector_that_can_locate_and_else_takes_the_surest(items, tmp_path):
    best = detect_all(LocatingDetector(), items, None, folder=tmp_path / "a", best=True)
    assert best.labels.tolist() == [0, 1] * 4
    assert best.boxes.tolist() == [[0.0, 0.0, 32.0, 32.0]] * 8
    plain = detect_all(BlobDetector(), items, None, folder=tmp_path / "b", best=True)
    assert plain.labels.tolist() == [0, 1] * 4
    assert plain.scores.tolist() == pytest.approx([0.9, 0.2, 0.2, 0.9] * 2)


def test_a_score_that_is_no_number_is_not_passed_on():
    class Broken(BlobDetector):
        def detect(self, picture, proposals):
            return Found([[0, 0, 1, 1]], [np.nan], [0])

    with pytest.raises(ValueError, match="not finite"):
        module.judge(Broken(), np.zeros((8, 8, 3), np.uint8), None)


def test_no_pictures_give_no_detections(tmp_path):
    found = detect_all(BlobDetector(), (), None, folder=tmp_path / "work")
    assert len(found) == 0
    assert len(found.detections((7, 8))) == 0


def test_labels_become_the_ids_of_the_set(items, tmp_path):
    found = detect_all(BlobDetector(), items, None, folder=tmp_path / "work").detections((7, 8))
    assert found.category_ids.tolist() == [7, 8, 8, 7, 7, 8, 8, 7]
    assert found.scores.dtype == np.float64
