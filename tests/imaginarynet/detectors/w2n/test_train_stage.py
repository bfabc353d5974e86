"""The training of W2N as a stage: labels, rounds, what it leaves, and that a kill changes no byte of it."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from experiments.imaginarynet.arms import Arm
from experiments.imaginarynet.config_w2n import W2NConfig, W2NRound
from experiments.imaginarynet.detectors import api
from experiments.imaginarynet.detectors.api import Found
from experiments.imaginarynet.detectors.data.records import ImageLabelled, picture_digest
from experiments.imaginarynet.detectors.proposals.book import write_book
from experiments.imaginarynet.detectors.proposals.records import Proposals
from experiments.imaginarynet.detectors.semi import infer
from experiments.imaginarynet.detectors.w2n import train_stage
from experiments.imaginarynet.detectors.w2n.labels import NoisyLabels
from experiments.imaginarynet.detectors.w2n.learner import boxed, unlabelled
from suite.errors import BadInput, Stopped
from suite.stage import Context, Stage
from suite.tables import read_csv
from tests.imaginarynet.detectors.w2n.test_model import STUDENT

ARM = Arm("wsod", "w2n")
NAMES = ("a", "b", "c")
TINY = replace(
    STUDENT, steps=2, batch_labelled=2, batch_unlabelled=1, sides=(32,), max_side=48, test_side=32, warmup=0,
    lr=0.001, decay_steps=(), ema=0.5, measure_every=1, save_every=1,
)  # fmt: skip
ROUNDS = W2NRound(steps=1, teacher_boxes=True, decay_steps=()), W2NRound(steps=2, split=True, decay_steps=())
SETTINGS = W2NConfig(student=TINY, rounds=ROUNDS, clean_cls=0.5, clean_reg=0.5, jitter_copies=3)
PRESENT = ({0}, {1, 2}, {2})


class Oicr:
    """Finds the first proposal for class 0, the second for 1, and so on."""

    class_names, needs_proposals = NAMES, True

    def detect(self, picture, proposals):
        return self.locate(picture, proposals)

    def locate(self, picture, proposals):
        return Found(proposals[:3, :4], np.array([0.9, 0.8, 0.7]), np.arange(3))


BOXES = np.array([[0, 0, 16, 16], [8, 8, 30, 22], [2, 2, 12, 20]], np.float32)


@pytest.fixture
def make(tmp_path, monkeypatch):
    """A job in a folder of that name; `stop_at`: the check at which SIGTERM has come."""
    pictures, found = [], {}
    for number, present in enumerate(PRESENT):
        pixels = np.random.default_rng(number).integers(0, 256, (24, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        file = tmp_path / f"{number}.png"
        pictures.append(ImageLabelled(number, file, 32, 24, "real", frozenset(present)))
        found[picture_digest(file)] = Proposals(BOXES, np.zeros(3, np.float32))
    write_book(tmp_path / "proposals", found)
    monkeypatch.setattr(train_stage.api, "load_detector", lambda folder, device: Oicr())

    def made(name, settings=SETTINGS, stop_at=None):
        stage = Stage(
            system="imaginarynet",
            name="train-wsod-w2n",
            summary="",
            toolchain="detectron2",
            version=1,
            run="",
        )
        out = tmp_path / name
        out.mkdir(exist_ok=True)
        inputs = {"proposals": tmp_path / "proposals", "train-wsod-oicr": tmp_path}
        ctx = Context(
            stage=stage, config=None, seed=0, device="cpu", inputs=inputs, out=out, final=out, key="k"
        )
        asked = [0]

        def check_stop():
            asked[0] += 1
            if stop_at is not None and asked[0] >= stop_at:
                raise Stopped("stopped")

        ctx.check_stop = check_stop
        return train_stage.Job(ctx, settings, tuple(pictures), NAMES), asked

    return made


def train(job):
    state = job.first(ARM)
    for number, round in enumerate(job.settings.rounds, 1):
        state = job.round(number, round, state)
    job.write(state)
    return job.ctx.out


def test_the_first_labels_are_the_surest_boxes_of_the_known_classes(make):
    job, _ = make("out")
    job.first(ARM)
    labels = NoisyLabels.load(job.ctx.out / "labels-0.npz")
    assert labels.picture.tolist() == [0, 1, 1, 2]
    assert labels.labels.tolist() == [0, 1, 2, 2]
    assert np.array_equal(labels.boxes, BOXES[[0, 1, 2, 2]])


def test_a_run_that_was_stopped_again_and_again_leaves_the_same_bytes(make):
    whole, asked = make("whole")
    expected = files(train(whole))
    job, times = None, 0
    while job is None:
        # Two checks further every time, so that it gets on.
        attempt, _ = make("stopped", stop_at=2 + 2 * times)
        try:
            train(attempt)
            job = attempt
        except Stopped:
            times += 1
    assert times >= 3
    assert files(job.ctx.out) == expected
    assert asked[0] > 10


def files(folder):
    """Bytes of the results; of labels those of their arrays, since an archive has dates."""
    names = "model.safetensors", "detector.json", "metrics.csv", "summary.json"
    labels = {path.name: NoisyLabels.load(path) for path in folder.glob("labels-*.npz")}
    arrays = {name: [vars(found)[key].tobytes() for key in vars(found)] for name, found in labels.items()}
    return {name: (folder / name).read_bytes() for name in names} | arrays


def test_what_is_left_is_a_detector_and_the_figures_of_every_phase(make):
    job, _ = make("out")
    out = train(job)
    detector = infer.load(out, api.read_header(out), "cpu")
    assert detector.class_names == NAMES
    detector.detect(np.zeros((24, 32, 3), np.uint8))
    assert api.read_header(out)["kind"] == "w2n"
    rows = read_csv(out / "metrics.csv")
    assert [int(row["step"]) for row in rows] == [1, 2, 3, 4, 5]
    assert [int(row["phase"]) for row in rows] == [0, 0, 1, 2, 2]
    phases = json.loads((out / "summary.json").read_text())["phases"]
    assert [phase["phase"] for phase in phases] == [0, 1, 2]
    last = phases[-1]
    assert 0 < last["trusted_for_classification"] <= last["instances"]
    assert last["pictures_labelled"] <= 3


def test_a_round_begins_with_the_weights_of_the_phase_before(make):
    frozen = replace(SETTINGS, rounds=(W2NRound(steps=1, lr=0.0, decay_steps=()),))
    frozen = replace(frozen, student=replace(TINY, norm="gn", weight_decay=0.0))
    job, _ = make("out", frozen)
    state = job.first(ARM)
    after = job.round(1, frozen.rounds[0], state)
    assert state.keys() == after.keys()
    for name in state:
        assert np.allclose(state[name], after[name], atol=1e-6), name


def test_the_labels_of_a_round_that_does_not_relabel_are_those_before(make):
    settings = replace(SETTINGS, rounds=(W2NRound(steps=1, relabel=False, split=True, decay_steps=()),))
    job, _ = make("out", settings)
    job.round(1, settings.rounds[0], job.first(ARM))
    first, second = (NoisyLabels.load(job.ctx.out / f"labels-{number}.npz") for number in (0, 1))
    assert np.array_equal(first.boxes, second.boxes)
    assert second.clean_cls.sum() == second.clean_reg.sum() == 2
    assert first.clean_cls.all()


def test_a_detector_that_finds_nothing_is_one_line(make, monkeypatch):
    monkeypatch.setattr(Oicr, "locate", lambda self, picture, proposals: Found.nothing())
    job, _ = make("out")
    with pytest.raises(BadInput, match="no box was found for the 3 pictures"):
        job.first(ARM)


def test_no_box_but_those_of_the_detector_reaches_training(make):
    """A record of image-level labels has no field for one; labelled records hold the detector's boxes."""
    job, _ = make("out")
    job.first(ARM)
    for record in boxed(job.pictures, job.labels):
        assert all(any(np.array_equal(box, own) for own in BOXES) for box in record.boxes)
    assert not any(hasattr(record, "boxes") for record in (*job.pictures, *unlabelled(job.pictures)))
