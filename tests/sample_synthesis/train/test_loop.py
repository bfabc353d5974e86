"""The loop: Adam, batch normalisation, choice of the epoch, going on exactly after a stop or a kill."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest

from experiments.sample_synthesis.detector.anchors import make_anchors
from experiments.sample_synthesis.detector.build import build_detector
from experiments.sample_synthesis.detector.encode import encode_batch_tf
from experiments.sample_synthesis.detector.loss import detection_loss
from experiments.sample_synthesis.train.checkpoint import (
    Weights,
    digest,
    read_state,
    read_weights,
    weights_of,
    write_weights,
)
from experiments.sample_synthesis.train.loop import STATE, Trainer, fit
from experiments.sample_synthesis.train.order import item_order
from experiments.sample_synthesis.train.pipeline import StreamSet, batches
from experiments.sample_synthesis.train.schedule import Schedule, chosen_epoch
from suite.errors import BadInput, Stopped
from suite.provenance import ROOT
from tests.sample_synthesis.train.toy import SIZE, SOURCE, ToyStream

LR = 1e-3
SCHEDULE = Schedule(epochs=3, steps_per_epoch=3, checkpoint_every=2)
IDENTITY = {"cell": "toy", "seed": 0}
VALUES = (0.2, 0.5, 0.5)


@cache
def trainer():
    return Trainer(build_detector("tiny", image_size=SIZE, seed=1), lr=LR, loss=detection_loss)


@cache
def initial():
    return weights_of(build_detector("tiny", image_size=SIZE, seed=1))


def stream(start, *, num_items=12):
    items = StreamSet(ToyStream(), num_items, source_size=SOURCE, max_boxes=1, image_size=SIZE)
    order = item_order(num_items, 4 * SCHEDULE.num_steps, seed=0, name="toy")
    encode = partial(encode_batch_tf, make_anchors("tiny", SIZE))
    return batches(items, order, batch=4, encode=encode, start=start)


def train(work: Path, **changes):
    """A toy training; its validation values are VALUES in turn, by the number of calls."""
    values = iter(VALUES[changes.pop("known", 0) :])
    common = {
        "schedule": SCHEDULE,
        "initial": initial(),
        "identity": IDENTITY,
        "evaluate": lambda: next(values),
    }
    return fit(trainer(), stream, work=work, **{**common, **changes})


@cache
def uninterrupted():
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        result = train(Path(folder))
        return digest(result.weights), result.history, result.epoch


class StopAt:
    def __init__(self, step):
        self.left = step

    def __call__(self):
        if self.left == 0:
            raise Stopped("told to stop")
        self.left -= 1


@pytest.mark.parametrize("step", [0, 1, 3, 4, 8])
def test_a_stopped_training_goes_on_to_the_same_bytes(tmp_path, step):
    with pytest.raises(Stopped):
        train(tmp_path, check_stop=StopAt(step))
    assert read_state(tmp_path / STATE, IDENTITY).step == step
    result = train(tmp_path, known=step // SCHEDULE.steps_per_epoch)
    assert result.resumed_from == step
    assert (digest(result.weights), result.history, result.epoch) == uninterrupted()


@pytest.mark.kill
@pytest.mark.slow
def test_a_training_killed_without_warning_goes_on_to_the_same_bytes(tmp_path):
    code = (
        "import os, signal, sys, pathlib\n"
        "import tests.sample_synthesis.conftest\n"  # the same threads
        "from tests.sample_synthesis.train.test_loop import train\n"
        "class Kill:\n"
        "    left = 5\n"
        "    def __call__(self):\n"
        "        if not self.left: os.kill(os.getpid(), signal.SIGKILL)\n"
        "        self.left -= 1\n"
        "train(pathlib.Path(sys.argv[1]), check_stop=Kill())\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], env=environment, check=False)
    assert done.returncode == -9
    result = train(tmp_path, known=1)
    assert result.resumed_from == 4  # the last checkpoint before the fifth step
    assert (digest(result.weights), result.history, result.epoch) == uninterrupted()


def cut(path):
    path.write_bytes(path.read_bytes()[:-200])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("damage", [cut, flip, lambda path: path.write_bytes(b"")])
def test_a_damaged_state_is_neither_finished_nor_used(tmp_path, damage):
    with pytest.raises(Stopped):
        train(tmp_path, check_stop=StopAt(4))
    damage(tmp_path / STATE)
    result = train(tmp_path)
    assert result.resumed_from == 0
    assert digest(result.weights) == uninterrupted()[0]


def test_the_state_of_another_training_is_not_used(tmp_path):
    with pytest.raises(Stopped):
        train(tmp_path, check_stop=StopAt(4))
    assert train(tmp_path, identity={"cell": "other", "seed": 0}).resumed_from == 0


def test_the_first_epoch_of_the_greatest_value_is_kept(tmp_path):
    # VALUES are 0.2, 0.5, 0.5: the third is not strictly greater.
    result = train(tmp_path)
    assert result.epoch == 2
    last = train(
        tmp_path / "last",
        schedule=Schedule(epochs=3, steps_per_epoch=3, checkpoint_every=9, selection="last"),
    )
    assert last.epoch == 3
    two = Schedule(epochs=2, steps_per_epoch=3, checkpoint_every=9, selection="last")
    assert digest(train(tmp_path / "two", schedule=two).weights) == digest(result.weights)
    assert digest(last.weights) != digest(result.weights)


@pytest.mark.parametrize(
    ("values", "selection", "epoch"),
    [([], "best", 0), ([0.0, 0.0], "best", 1), ([0.1, 0.3, 0.2], "best", 2), ([0.3, 0.2], "last", 2)],
)
def test_the_choice_of_the_epoch(values, selection, epoch):
    assert chosen_epoch([{"val_meanAP": value} for value in values], selection) == epoch


def test_without_validation_pictures_the_last_epoch_counts(tmp_path):
    assert train(tmp_path, evaluate=lambda: None).epoch == 3


def test_the_history_holds_the_mean_loss_of_each_epoch_and_its_parts(tmp_path):
    rows = []
    result = train(tmp_path, progress=rows.append)
    assert rows == result.history and [row["epoch"] for row in rows] == [1, 2, 3]
    for row, value in zip(rows, VALUES, strict=True):
        parts = row["class_loss"] + row["box_loss"] + row["l2_loss"]
        assert row["loss"] == pytest.approx(parts) and row["val_meanAP"] == value


def test_the_first_step_of_adam_is_the_rate_times_the_sign_of_the_gradient():
    # m = (1 - b1) g, v = (1 - b2) g^2, both corrected: the step is lr g / (|g| + eps), |g| >> eps.
    one = trainer()
    one.reset(initial())
    one.step(next(iter(stream(0))))
    moved = [np.abs(a - initial()[n]) for n, a in weights_of(one.model).items() if n.endswith("kernel")]
    moved = np.concatenate([array.ravel() for array in moved])
    assert moved.max() <= LR * (1 + 1e-3)
    assert np.median(moved) == pytest.approx(LR, rel=1e-2)


def test_training_updates_moving_statistics_and_prediction_does_not():
    one = trainer()
    one.reset(initial())
    batch = next(iter(stream(0)))
    before = digest(weights_of(one.model))
    one.predict(batch[0])
    assert digest(weights_of(one.model)) == before
    one.step(batch)
    after = weights_of(one.model)
    names = [name for name in after if "moving" in name]
    assert names and all(not np.array_equal(after[name], initial()[name]) for name in names)


def test_the_loss_of_a_repeated_batch_falls():
    one = trainer()
    one.reset(initial())
    batch = next(iter(stream(0)))
    losses = [float(one.step(batch).numpy().sum()) for _ in range(15)]
    assert losses[-1] < 0.5 * losses[0]


def test_a_reset_brings_back_weights_and_a_fresh_optimiser():
    one = trainer()
    one.reset(initial())
    fresh = [array.copy() for array in one.slots()]
    one.step(next(iter(stream(0))))
    assert any(not np.array_equal(a, b) for a, b in zip(fresh, one.slots(), strict=True))
    one.reset(initial())
    assert digest(weights_of(one.model)) == digest(initial())
    assert all(np.array_equal(a, b) for a, b in zip(fresh, one.slots(), strict=True))


def test_a_loss_that_is_not_finite_ends_in_one_line(tmp_path):
    broken = {name: np.full_like(array, np.nan) for name, array in initial().items()}
    with pytest.raises(BadInput, match="loss of epoch 1 is not finite.*lower train.lr"):
        train(tmp_path, initial=broken)


def test_weights_of_another_architecture_are_refused_by_name(tmp_path):
    arrays = initial()
    name = next(iter(arrays))
    path = tmp_path / "weights.npz"
    write_weights(path, Weights(arrays, "tiny", SIZE))
    assert digest(read_weights(path, arch="tiny").arrays) == digest(arrays)
    with pytest.raises(BadInput, match="weights.npz: weights of another architecture: tiny, not mobilenet"):
        read_weights(path, arch="mobilenet")
    for wrong, text in (
        ({n: a for n, a in arrays.items() if n != name}, f"no `{name}`"),
        ({**arrays, name: arrays[name][..., :1]}, f"`{name}` is "),
        ({**arrays, "more": arrays[name]}, "surplus `more`"),
    ):
        with pytest.raises(BadInput, match=text):
            trainer().reset(wrong)


def test_a_file_that_is_no_weights_is_refused(tmp_path):
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(BadInput, match="no weights of a detector"):
        read_weights(tmp_path / "other.npz")
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(BadInput, match="cannot be read as .npz"):
        read_weights(tmp_path / "text.npz")
    with pytest.raises(BadInput, match="no such file"):
        read_weights(tmp_path / "none.npz")
