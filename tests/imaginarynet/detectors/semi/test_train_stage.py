"""The stage that trains an arm, on a few pictures of tabletop."""

import json

import numpy as np
import pytest

from experiments.imaginarynet.config import CONFIG, CONFIGS
from experiments.imaginarynet.detectors import api
from experiments.imaginarynet.detectors.semi import train_stage
from suite.config import load_config
from suite.errors import BadInput, Stopped
from suite.stage import Context, Stage
from suite.tables import read_csv
from tests.imaginarynet.detectors.semi import tiny


def job(folder, arm, *overrides):
    """A context of `train-<arm>` on the tiny settings."""
    setting, _, detector = arm.partition(":")
    chosen = [f"setting=[{setting}]", f"detector=[{detector}]", *overrides]
    config = load_config(CONFIG, CONFIGS / "tiny.yaml", chosen)
    name = f"train-{setting}-{detector}"
    stage = Stage(system="imaginarynet", name=name, summary="", toolchain="detectron2", version=1, run="")
    folder.mkdir(exist_ok=True)
    return Context(
        stage=stage, config=config, seed=0, device="cpu", inputs={}, out=folder, final=folder, key="k"
    )


def files(folder):
    return {
        name: (folder / name).read_bytes() for name in ("metrics.csv", "summary.json", api.MODEL, api.HEADER)
    }


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stage") / "whole"
    train_stage.run(job(folder, "ssod-real:unbiased-teacher"))
    return folder


def test_the_stage_leaves_a_detector_its_curve_and_a_summary(trained):
    rows = read_csv(trained / "metrics.csv")
    assert [row["step"] for row in rows] == ["1", "2", "3"]
    assert float(rows[0]["loss_unsup_rpn_cls"]) == 0 < float(rows[2]["loss_unsup_rpn_cls"])
    summary = json.loads((trained / "summary.json").read_text())
    assert (summary["pictures_labelled"], summary["pictures_unlabelled"]) == (6, 6)
    detector = api.load_detector(trained, "cpu")
    assert detector.class_names == ("mug", "chair", "lemon")
    detector.detect(np.zeros((72, 96, 3), np.uint8), None)


def test_a_kill_changes_no_byte_of_what_is_left(trained, tmp_path, monkeypatch):
    ctx = job(tmp_path / "killed", "ssod-real:unbiased-teacher")
    asked = iter(range(2))

    def check_stop():
        if next(asked, None) is None:
            raise Stopped("stopped by SIGTERM")

    monkeypatch.setattr(ctx, "check_stop", check_stop)
    with pytest.raises(Stopped):
        train_stage.run(ctx)
    train_stage.run(job(tmp_path / "killed", "ssod-real:unbiased-teacher"))
    assert files(tmp_path / "killed") == files(trained)


def test_the_supervised_arm_uses_the_pictures_with_boxes_alone(tmp_path):
    train_stage.run(job(tmp_path / "plain", "supervised:faster-rcnn"))
    summary = json.loads((tmp_path / "plain" / "summary.json").read_text())
    assert summary["pictures_unlabelled"] == 0 and summary["kind"] == "faster-rcnn"
    assert float(read_csv(tmp_path / "plain" / "metrics.csv")[2]["loss_unsup_cls"]) == 0


def test_without_unlabelled_pictures_a_teacher_is_refused(tmp_path):
    ctx = job(tmp_path / "empty", "ssod-real:unbiased-teacher", "target.boxed=null")
    with pytest.raises(BadInput, match="no picture in real-unlabelled"):
        train_stage.run(ctx)


def test_weights_of_the_result_are_those_of_one_detector(trained):
    names = api.read_state(trained)
    assert not any(name.startswith(("student.", "teacher.")) for name in names)
    assert names["roi_head.bbox_head.fc_cls.weight"].shape == (len(tiny.CLASSES) + 1, 16)
