"""`predict`: what it writes, that it goes on, and what it says of pictures that it cannot use."""

import argparse
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from experiments.imaginarynet.detectors import predict
from experiments.imaginarynet.detectors.proposals.book import write_book
from suite.datasets import read_coco
from suite.errors import BadInput, Stopped
from suite.metrics.iou import xywh_to_xyxy
from suite.stage import STOP
from tests.imaginarynet.detectors.fakes import BOXES, BlobDetector, blob_book, blob_set


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "photos"
    blob_set(folder / "deep")
    return folder


@pytest.fixture
def command(tmp_path, pictures, monkeypatch):
    """Runs the command with a fake detector; returns (folder, lines)."""
    detector = tmp_path / "detector"
    detector.mkdir()
    header = {"schema": 1, "kind": "faster-rcnn", "class_names": ["mug", "lemon"], "settings": {}}
    (detector / "detector.json").write_text(json.dumps(header))

    def run(*words, fake=None, out="found"):
        monkeypatch.setattr(predict, "_loaded", lambda args: fake or BlobDetector())
        parser = argparse.ArgumentParser()
        predict.add_flags(parser)
        images = [] if "--images" in words else ["--images", str(pictures)]
        flags = ["--detector", str(detector), "--out", str(tmp_path / out), *images, *words]
        return tmp_path / out, list(predict.run(parser.parse_args(flags)))

    return run


def read(folder, name=predict.PREDICTIONS):
    return json.loads((folder / name).read_text())


def test_predictions_are_coco_with_the_pictures_classes_and_boxes(command):
    folder, lines = command("--score", "0.5")
    coco = read_coco(folder / predict.PREDICTIONS)
    assert [image.file_name for image in coco.images] == [f"deep/{k}.png" for k in (1, 2, 3, 4)]
    assert [category.name for category in coco.categories] == ["mug", "lemon"]
    boxes = [
        tuple(box) for box in xywh_to_xyxy(np.array([one.box_xywh for one in coco.annotations])).tolist()
    ]
    assert boxes == [tuple(map(float, box)) for box in BOXES]
    assert [one.category_id for one in coco.annotations] == [1, 2, 1, 2]
    assert [one["score"] for one in read(folder)["annotations"]] == pytest.approx([0.9] * 4)
    assert lines == [f"predict: 4 detections in 4 pictures, in {folder}"]


def test_the_list_of_results_is_what_pycocotools_loads(command):
    coco = pytest.importorskip("pycocotools.coco").COCO
    folder, _ = command()
    loaded = coco(str(folder / predict.PREDICTIONS)).loadRes(str(folder / predict.RESULTS))
    assert len(loaded.anns) == 4
    assert set(read(folder, predict.RESULTS)[0]) == {"image_id", "category_id", "bbox", "score"}


def test_scores_below_the_wanted_one_are_left_out_and_a_lower_one_brings_them_back(command):
    assert len(read(command("--score", "0.1", out="all")[0])["annotations"]) == 8
    folder, lines = command("--score", "0.95", out="none")
    assert read(folder)["annotations"] == []
    assert lines[1] == "none has a score of 0.95 or more; the best has 0.900: lower --score"


def test_every_picture_is_drawn_and_pictures_of_one_name_are_kept_apart(command, pictures):
    shutil.copy(pictures / "deep" / "1.png", pictures / "1.png")
    folder, _ = command()
    names = sorted(path.name for path in (folder / "annotated").iterdir())
    assert names == ["000001_1.jpg", "000002_1.jpg", "000003_2.jpg", "000004_3.jpg", "000005_4.jpg"]
    with Image.open(folder / "annotated" / names[0]) as drawn:
        assert drawn.width >= 480


def test_the_drawing_has_a_box_around_what_was_found(tmp_path):
    picture = np.full((40, 40, 3), 128, np.uint8)
    found = [{"label": 0, "score": 0.9, "box": [10.0, 10.0, 30.0, 30.0]}]
    predict.write_annotated(tmp_path / "a.jpg", picture, found, class_names=("mug",))
    predict.write_annotated(tmp_path / "b.jpg", picture, [], class_names=("mug",))
    with Image.open(tmp_path / "a.jpg") as one, Image.open(tmp_path / "b.jpg") as other:
        changed = np.abs(np.asarray(one, int) - np.asarray(other, int)).max(axis=2) > 60
    factor = changed.shape[0] // 40
    assert changed[20 * factor, 10 * factor]
    assert changed[20 * factor, 30 * factor - 1]
    assert not changed[20 * factor, 20 * factor]
    assert not changed[35 * factor, 35 * factor]


def test_the_same_command_again_is_up_to_date_and_another_one_is_refused(command):
    folder, _ = command()
    before = (folder / predict.PREDICTIONS).stat().st_mtime_ns
    assert command()[1] == ["predict: up to date"]
    assert (folder / predict.PREDICTIONS).stat().st_mtime_ns == before
    with pytest.raises(BadInput, match="holds something else"):
        command("--score", "0.9")


def test_a_stopped_command_goes_on_and_ends_with_the_same_files(command):
    class Stopping(BlobDetector):
        def detect(self, picture, proposals):
            STOP.is_set = len(self.seen) == 1
            return super().detect(picture, proposals)

    whole, _ = command(out="whole")
    try:
        with pytest.raises(Stopped):
            command(fake=Stopping())
    finally:
        STOP.is_set = False
    later = BlobDetector()
    folder, _ = command(fake=later)
    assert len(later.seen) == 2
    names = [path.relative_to(whole) for path in whole.rglob("*") if path.is_file()]
    assert len(names) == 8  # two of predictions, manifest and key, four drawings
    for name in names:
        assert (folder / name).read_bytes() == (whole / name).read_bytes(), name


def test_pictures_that_do_not_decode_are_left_out_counted_and_named(command, pictures):
    (pictures / "deep" / "2.png").write_bytes(b"no picture")
    folder, lines = command()
    assert [image["id"] for image in read(folder)["images"]] == [1, 3, 4]
    assert read(folder, "manifest.json")["counts"] == {"pictures": 3, "detections": 3, "left_out": 1}
    assert lines[-1].startswith("left out: deep/2.png: does not decode")


def test_nothing_but_unusable_pictures_is_an_error(command, pictures):
    for path in pictures.rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(BadInput, match="no picture could be used"):
        command()


def test_given_proposals_reach_the_detector_clipped_and_pictures_without_are_left_out(
    command, pictures, tmp_path
):
    book = blob_book(pictures / "deep", empty=("3.png",))
    digest = next(iter(book))
    book[digest].boxes[1] = [-5, 4, 400, 28]
    write_book(tmp_path / "proposals", book)
    for given in (tmp_path / "proposals", tmp_path / "proposals" / "proposals.npz"):
        detector = BlobDetector(needs_proposals=True)
        _, lines = command("--proposals", str(given), fake=detector, out=f"from-{given.name}")
        assert len(detector.seen) == 3
        assert detector.seen[0].tolist() == [[0, 0, 16, 16, 0], [0, 4, 32, 28, 0]]
        assert lines[-1] == "left out: deep/3.png: no proposals"


def test_without_given_proposals_pictures_are_searched_with_the_settings_of_the_training(
    command, monkeypatch, tmp_path
):
    wanted = []
    boxes = np.array([[0, 0, 8, 8]], np.float32)
    monkeypatch.setattr(predict, "searched", lambda settings: wanted.append(settings) or (lambda *_: boxes))
    (tmp_path / "detector" / "config.yaml").write_text("proposals: {side: 123}\n")
    detector = BlobDetector(needs_proposals=True)
    command(fake=detector)
    assert wanted[0].side == 123
    assert [one.tolist() for one in detector.seen] == [boxes.tolist()] * 4
    assert predict.search_settings(tmp_path).side == 0


def test_files_and_folders_may_be_mixed_and_a_missing_one_is_one_line(command, pictures, tmp_path):
    one = pictures / "deep" / "4.png"
    folder, _ = command("--images", str(one), str(pictures))
    assert [image["file_name"] for image in read(folder)["images"]][:2] == ["4.png", "deep/1.png"]
    with pytest.raises(BadInput, match="no such picture or folder"):
        command("--images", str(tmp_path / "nowhere"))
    with pytest.raises(BadInput, match="holds no picture"):
        command("--images", str(tmp_path / "detector"))
