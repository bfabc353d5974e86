"""The stage `evaluate-<arm>` with a detector whose answers are known."""

import csv
import importlib.util
import json

import pytest

from experiments.imaginarynet.config import CONFIG, CONFIGS
from experiments.imaginarynet.detectors.proposals.book import write_book
from suite.config import load_config
from suite.datasets import read_detections
from suite.errors import BadInput, Stopped
from suite.stage import STOP
from tests.imaginarynet.candidates import context
from tests.imaginarynet.detectors.fakes import BlobDetector, LocatingDetector, blob_book, blob_target

if importlib.util.find_spec("torch") is None:
    pytest.skip("the stage sets torch's threads", allow_module_level=True)

from experiments.imaginarynet.detectors import evaluate

ARM = "isod-oicr"


@pytest.fixture
def at_work(tmp_path, monkeypatch):
    """(context, target) of the stage; `detector` decides what load_detector gives."""

    def make(detector, *, name="out", with_book=None, target=None):
        target = target or blob_target(tmp_path / "data")
        monkeypatch.setattr(evaluate, "load_target", lambda config: target)
        monkeypatch.setattr(evaluate, "load_detector", lambda folder, device: detector)
        config = load_config(CONFIG, CONFIGS / "tiny.yaml", ["setting=[isod]", "detector=[oicr]"])
        inputs = {f"train-{ARM}": tmp_path / "train"}
        if with_book is not None:
            write_book(tmp_path / "proposals", with_book)
            inputs["proposals"] = tmp_path / "proposals"
        return context(tmp_path / name, f"evaluate-{ARM}", config=config, inputs=inputs), target

    return make


def results_of(ctx):
    return json.loads((ctx.out / "results.json").read_text())


def test_a_detector_that_finds_every_object_scores_one_and_the_tables_say_so(at_work):
    ctx, target = at_work(BlobDetector())
    evaluate.run(ctx)
    tree = results_of(ctx)
    assert (tree["arm"], tree["setting"], tree["detector"]) == (ARM, "isod", "oicr")
    assert tree["test"]["voc07_ap"]["mean"] == tree["test"]["voc_area_ap"]["mean"] == 1.0
    assert tree["train"]["corloc"]["mean"] == tree["train"]["median_area_ratio"] == 1.0
    assert (tree["test"]["pictures"], tree["train"]["pictures"]) == (4, 2)
    with (ctx.out / "results.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == ["table", "row", "metric", "value", "unit"]
    assert {row["row"] for row in rows} == {ARM}
    values = {row["metric"]: float(row["value"]) for row in rows}
    assert (values["AP VOC07 11 points"], values["CorLoc"]) == (100.0, 100.0)
    found = read_detections(ctx.out / "detections.json", target.test)
    assert len(found) == ctx.counts["detections"] == 8


def test_corloc_asks_locate_where_the_detector_has_it(at_work):
    ctx, _ = at_work(LocatingDetector())
    evaluate.run(ctx)
    tree = results_of(ctx)
    assert tree["test"]["voc07_ap"]["mean"] == 1.0  # from `detect`
    assert tree["train"]["corloc"]["mean"] == 0.0  # the whole picture is no object here


def test_what_the_report_draws_is_the_surest_boxes_of_pictures_over_the_set(at_work, monkeypatch):
    monkeypatch.setattr(evaluate, "SHOWN_PICTURES", 2)
    monkeypatch.setattr(evaluate, "SHOWN_BOXES", 1)
    ctx, _ = at_work(BlobDetector())
    evaluate.run(ctx)
    rows = json.loads((ctx.out / "shown.json").read_text())
    assert [row["file_name"] for row in rows] == ["1.png", "4.png"]
    assert [row["labels"] for row in rows] == [["mug"], ["lemon"]]
    assert rows[0]["boxes"] == [[2.0, 3.0, 14.0, 20.0]]


def test_a_stop_between_pictures_goes_on_to_the_same_bytes(at_work, monkeypatch):
    from experiments.imaginarynet.detectors import detect_all

    monkeypatch.setattr(detect_all, "CHUNK", 1)
    whole, target = at_work(BlobDetector(), name="whole")
    evaluate.run(whole)
    ctx, _ = at_work(BlobDetector(), name="cut", target=target)

    class Stopping(BlobDetector):
        def detect(self, picture, proposals):
            STOP.is_set = len(self.seen) == 2
            return super().detect(picture, proposals)

    monkeypatch.setattr(evaluate, "load_detector", lambda folder, device: Stopping())
    try:
        with pytest.raises(Stopped):
            evaluate.run(ctx)
    finally:
        STOP.is_set = False
    monkeypatch.setattr(evaluate, "load_detector", lambda folder, device: BlobDetector())
    evaluate.run(ctx)
    written = [path for path in whole.out.iterdir() if path.is_file()]
    assert len(written) == 6
    for path in written:
        assert (ctx.out / path.name).read_bytes() == path.read_bytes(), path.name


def test_pictures_without_proposals_are_counted_and_told(at_work, tmp_path):
    target = blob_target(tmp_path / "data")
    book = blob_book(target.test_dir, target.train_dir, empty=("2.png",))
    ctx, _ = at_work(BlobDetector(needs_proposals=True), with_book=book, target=target)
    evaluate.run(ctx)
    assert ctx.counts["pictures without proposals"] == 1
    assert "1 pictures have no proposals" in ctx.warnings[0]


def test_a_picture_that_nobody_searched_is_one_line(at_work, tmp_path):
    target = blob_target(tmp_path / "data")
    ctx, _ = at_work(BlobDetector(needs_proposals=True), with_book=blob_book(target.test_dir), target=target)
    with pytest.raises(BadInput, match="has no proposals for the picture"):
        evaluate.run(ctx)


def test_a_detector_of_other_classes_is_one_line_before_anything_is_detected(at_work):
    detector = BlobDetector(class_names=("mug", "teapot"))
    ctx, _ = at_work(detector)
    with pytest.raises(BadInput, match="no class 'teapot'"):
        evaluate.run(ctx)
    assert detector.seen == []
