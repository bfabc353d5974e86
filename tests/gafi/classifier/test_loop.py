"""Epochs that are killed and go on, and which of them is the best."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from experiments.gafi.classifier.loop import STATE, FixedProvider, Samples, best_epoch, fit
from experiments.gafi.config_ours import ComputeSection
from experiments.gafi.config_sections import AugSection
from experiments.gafi.nn import backend
from experiments.gafi.nn.state import load_arrays, save_arrays
from suite.errors import BadInput, Stopped
from tests.gafi.classifier.toy import make_images, make_trainer

TRAIN, VAL = make_images(40, seed=0), make_images(20, seed=1)
EPOCHS = 4


@pytest.fixture(scope="module")
def trainer():
    return make_trainer(aug=AugSection())


@pytest.fixture(scope="module")
def sparse():
    """Writes its state every third epoch."""
    return make_trainer(aug=AugSection(), compute=ComputeSection(checkpoint_epochs=3))


class Counting(FixedProvider):
    """Notes the epochs that it is asked for; may fail at one."""

    def __init__(self, fail_at=None):
        super().__init__(*TRAIN)
        object.__setattr__(self, "asked", [])
        object.__setattr__(self, "fail_at", fail_at)

    def epoch(self, epoch):
        if epoch == self.fail_at:
            raise KeyboardInterrupt
        self.asked.append(epoch)
        return Samples(*TRAIN, {"renewal": epoch // 2})


def run(trainer, folder: Path, provider=None, **kw):
    settings = {"evals": {"val": VAL}, "epochs": EPOCHS, "seed": 1} | kw
    return fit(trainer, provider or Counting(), work=folder, keep_epochs_dir=folder / "epochs", **settings)


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*.npz"))}


@pytest.fixture(scope="module")
def straight(trainer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("straight")
    return run(trainer, folder), folder


def stop_at(number):
    """A check_stop that raises at its `number`-th call, as after SIGTERM."""
    calls = iter(range(1, 100))

    def check():
        if next(calls) == number:
            raise Stopped("stopped")

    return check


def test_two_runs_of_one_seed_are_equal_to_the_byte_and_another_seed_differs(trainer, straight, tmp_path):
    result, folder = straight
    again = run(trainer, tmp_path / "again")
    assert again.history == result.history and content(tmp_path / "again") == content(folder)
    assert run(trainer, tmp_path / "other", seed=2).history != result.history


@pytest.mark.parametrize("after", [1, 3])
def test_a_run_stopped_between_epochs_goes_on_to_the_same_bytes(trainer, straight, tmp_path, after):
    with pytest.raises(Stopped):
        run(trainer, tmp_path, check_stop=stop_at(after + 1))
    provider = Counting()
    result = run(trainer, tmp_path, provider)
    assert provider.asked == list(range(after + 1, EPOCHS + 1))
    assert result.history == straight[0].history and content(tmp_path) == content(straight[1])


def test_a_stop_keeps_the_epochs_since_the_last_written_state(sparse, straight, tmp_path):
    with pytest.raises(Stopped):
        run(sparse, tmp_path, check_stop=stop_at(3))
    provider = Counting()
    run(sparse, tmp_path, provider)
    assert provider.asked == [3, 4] and content(tmp_path) == content(straight[1])


def test_a_kill_repeats_the_epochs_since_the_last_written_state(sparse, straight, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(sparse, tmp_path, Counting(fail_at=3))
    provider = Counting()
    run(sparse, tmp_path, provider)
    assert provider.asked == [1, 2, 3, 4] and content(tmp_path) == content(straight[1])


def test_a_finished_run_is_read_and_not_repeated(trainer, straight):
    provider, told = Counting(), []
    result = run(trainer, straight[1], provider, progress=told.append)
    assert provider.asked == [] and result.history == straight[0].history == told
    for a, b in zip(result.last.slots, straight[0].last.slots, strict=True):
        np.testing.assert_array_equal(backend.to_numpy(a), backend.to_numpy(b))


def test_the_state_of_another_training_is_refused(trainer, straight):
    with pytest.raises(BadInput, match="the state of another training; remove it"):
        run(trainer, straight[1], seed=9)


@pytest.mark.parametrize("arrays", [{"meta": np.array("{}")}, {"meta": np.array("{")}, {"a": np.zeros(1)}])
def test_a_damaged_state_is_refused(trainer, tmp_path, arrays):
    save_arrays(tmp_path / STATE, arrays)
    with pytest.raises(BadInput, match=f"{STATE}: the state of another training; remove it"):
        run(trainer, tmp_path)


def test_the_history_holds_the_columns_of_every_split_and_of_the_provider(straight):
    rows = straight[0].history
    columns = ["epoch", "lr", "loss", "accuracy", "val_loss", "val_accuracy", "renewal"]
    assert all(list(row) == columns for row in rows)
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    assert [row["renewal"] for row in rows] == [0, 1, 1, 2]


def test_the_rate_falls_at_the_milestones(tmp_path):
    trainer = make_trainer(compute=ComputeSection(lr_milestones=(0.5, 4)), lr=0.02)
    rates = [row["lr"] for row in run(trainer, tmp_path).history]
    assert rates == pytest.approx([0.02, 0.002, 0.002, 0.0002])


def test_each_split_keeps_the_first_epoch_of_its_greatest_accuracy(trainer, tmp_path, monkeypatch):
    scripted = {"val": iter([0.2, 0.5, 0.5, 0.4]), "test": iter([0.1, 0.0, 0.1, 0.3])}
    by_size = {20: "val", 40: "test"}
    monkeypatch.setattr(
        trainer, "evaluate", lambda state, images, labels: (1.0, next(scripted[by_size[len(labels)]]))
    )
    result = run(trainer, tmp_path, evals={"val": VAL, "test": TRAIN})
    assert (result.best["val"].epoch, result.best["val"].accuracy) == (2, 0.5)
    assert (result.best["test"].epoch, result.best["test"].accuracy) == (4, 0.3)
    for split, best in result.best.items():
        kept = load_arrays(tmp_path / "epochs" / f"epoch_{best.epoch:03d}.npz")
        saved = load_arrays(tmp_path / f"best_{split}.npz")
        assert all(np.array_equal(kept[name], saved[name]) for name in kept)
        np.testing.assert_array_equal(backend.to_numpy(best.model.trainable[0]), kept["conv0/kernel"])


def test_the_best_epoch_is_the_first_maximum():
    rows = [{"val_accuracy": a} for a in (0.1, 0.7, 0.3, 0.7)]
    assert best_epoch(rows, "val") == 2


def test_all_networks_of_a_process_share_one_compiled_step_per_batch_size(trainer, tmp_path):
    if backend.NAME != "tensorflow":
        pytest.skip("counts TensorFlow's tracings")
    for seed in (11, 12):
        run(trainer, tmp_path / str(seed), seed=seed)
    assert trainer.step.experimental_get_tracing_count() == 2  # 16 images, and 8 at the end
    assert trainer._predict.experimental_get_tracing_count() == 1
