"""Training steps and predictions of a tiny classifier."""

from __future__ import annotations

import numpy as np
import pytest
from keras import ops

from experiments.gafi.classifier.trainer import TrainState, as_device, cross_entropy, decode, next_scale
from experiments.gafi.config_ours import ComputeSection
from experiments.gafi.config_sections import AugSection
from experiments.gafi.nn import backend
from suite.errors import BadInput
from tests.gafi.classifier.toy import CLASSES, make_images, make_trainer

SAMPLES, LABELS = make_images()


@pytest.fixture(scope="module")
def trainer():
    return make_trainer()


class Recorder:
    """In the place of a compiled step: keeps what it is given and changes nothing."""

    def __init__(self):
        self.images, self.keys = [], []

    def __call__(self, trainable, other, slots, images, labels, key, lr):
        self.images.append(ops.convert_to_numpy(images))
        self.keys.append(tuple(ops.convert_to_numpy(key)))
        return trainable, other, slots, ops.zeros(()), ops.zeros(())


def record(monkeypatch, trainer, num, *, epoch=1, seed=0):
    """What an epoch over images that show their own number feeds to the step."""
    step = Recorder()
    monkeypatch.setattr(trainer, "step", step)
    numbers = np.broadcast_to(np.arange(num, dtype=np.uint8)[:, None, None, None], (num, 8, 8, 1))
    trainer.train_epoch(trainer.initial(0), numbers, np.zeros(num, int), epoch=epoch, seed=seed, lr=0.1)
    return step


def test_an_epoch_shows_every_image_once_and_keeps_the_smaller_last_batch(monkeypatch, trainer):
    step = record(monkeypatch, trainer, 40)
    assert [len(batch) for batch in step.images] == [16, 16, 8]
    assert sorted(np.concatenate(step.images)[:, 0, 0, 0]) == list(range(40))
    assert len(set(step.keys)) == 3


def test_order_and_keys_are_functions_of_seed_and_epoch(monkeypatch, trainer):
    def order(**kw):
        step = record(monkeypatch, trainer, 40, **kw)
        return tuple(np.concatenate(step.images)[:, 0, 0, 0]), tuple(step.keys)

    first = order(epoch=3, seed=1)
    assert order(epoch=3, seed=1) == first
    for other in (order(epoch=4, seed=1), order(epoch=3, seed=2)):
        assert other[0] != first[0] and not set(other[1]) & set(first[1])


def test_drop_remainder_leaves_the_smaller_last_batch_out(monkeypatch):
    step = record(monkeypatch, make_trainer(drop_remainder=True), 40)
    assert [len(batch) for batch in step.images] == [16, 16]


def run_steps(trainer, step, images=SAMPLES, num=5):
    """Losses of some steps on one batch."""
    (trainable, other), slots = trainer.initial(3)
    losses = []
    for i in range(num):
        key = ops.convert_to_tensor(np.array([i, 7], np.int32))
        trainable, other, slots, loss, _ = step(
            list(trainable), list(other), list(slots), as_device(images[:16]), as_device(LABELS[:16]), key,
            ops.convert_to_tensor(np.float32(0.05)),
        )  # fmt: skip
        losses.append(float(loss))
    return losses


def test_the_compiled_step_does_what_the_same_step_does_uncompiled():
    trainer = make_trainer(aug=AugSection())
    np.testing.assert_allclose(run_steps(trainer, trainer.step), run_steps(trainer, trainer._step), rtol=1e-4)


@pytest.mark.slow
def test_xla_does_what_the_uncompiled_step_does():
    trainer = make_trainer(compute=ComputeSection(xla_classifier=True))  # XLA draws other random numbers
    np.testing.assert_allclose(run_steps(trainer, trainer.step), run_steps(trainer, trainer._step), rtol=1e-4)


def test_bytes_and_their_float_form_train_alike(trainer):
    as_float = (SAMPLES.astype(np.float32) / 255 - 0.5) / 0.5
    np.testing.assert_allclose(
        run_steps(trainer, trainer.step), run_steps(trainer, trainer.step, as_float), rtol=1e-5
    )


def test_bytes_are_decoded_to_the_range_that_the_settings_name():
    x = np.array([0, 51, 255], np.uint8)
    np.testing.assert_allclose(decode(as_device(x), normalize=True), [-1, -0.6, 1], atol=1e-6)
    np.testing.assert_allclose(decode(as_device(x), normalize=False), [0, 0.2, 1], atol=1e-6)


@pytest.mark.parametrize("optimizer", ["sgdw", "adam"])
def test_a_few_epochs_learn_what_is_easy(optimizer):
    trainer = make_trainer(optimizer=optimizer, lr=0.05 if optimizer == "sgdw" else 0.01)
    images, labels = make_images(96)
    state = trainer.initial(0)
    for epoch in range(1, 7):
        state, loss, accuracy = trainer.train_epoch(state, images, labels, epoch=epoch, seed=0, lr=0.05)
    assert accuracy > 0.9 and loss < 0.5


def test_predictions_are_probabilities_that_depend_on_neither_batch_nor_augmentation():
    trainer = make_trainer(aug=AugSection())
    state = trainer.initial(0)
    probs = trainer.predict(state, SAMPLES)
    assert probs.shape == (40, CLASSES) and probs.dtype == np.float32
    np.testing.assert_allclose(probs.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(trainer.predict(state.model, SAMPLES), probs)
    np.testing.assert_allclose(trainer.predict(state, SAMPLES[5:8]), probs[5:8], atol=1e-6)
    assert trainer.predict(state, SAMPLES[:0]).shape == (0, CLASSES)


def test_the_evaluation_is_accuracy_and_cross_entropy_of_the_predictions(trainer):
    state = trainer.initial(1)
    probs = trainer.predict(state, SAMPLES)
    loss, accuracy = trainer.evaluate(state, SAMPLES, LABELS)
    assert accuracy == np.mean(probs.argmax(1) == LABELS)
    assert loss == pytest.approx(-np.mean(np.log(probs[np.arange(40), LABELS])), rel=1e-5)


def test_the_loss_is_the_cross_entropy_of_the_softmax():
    logits = np.array([[2.0, 0.0, -1.0], [80.0, 0.0, -80.0]], np.float32)
    probs = np.exp(logits[0]) / np.exp(logits[0]).sum()
    labels = np.array([1, 0], np.int32)
    assert float(cross_entropy(logits, labels)) == pytest.approx(-np.log(probs[1]) / 2, rel=1e-6)


def test_a_loss_that_is_not_finite_ends_in_one_line_that_names_the_rate(trainer):
    with pytest.raises(BadInput, match=r"not finite \(epoch 4, step \d, lr 1e\+30\); lower OPTIMIZATION.lr"):
        state = trainer.initial(0)
        trainer.train_epoch(state, SAMPLES, LABELS, epoch=4, seed=0, lr=1e30)


def test_the_loss_scale_halves_at_an_overflow_and_doubles_after_two_thousand_calm_steps():
    def scale(fine, scale, calm):
        return tuple(float(x) for x in next_scale(*map(ops.convert_to_tensor, (fine, scale, calm))))

    assert scale(False, 1024.0, 1999.0) == (512.0, 0.0)
    assert scale(True, 1024.0, 1998.0) == (1024.0, 1999.0)
    assert scale(True, 1024.0, 1999.0) == (2048.0, 0.0)
    assert scale(False, 1.0, 0.0) == (1.0, 0.0)


@pytest.mark.parametrize(("scale", "moved"), [(16.0, True), (2.0**60, False)])
def test_an_overflow_in_half_precision_changes_the_loss_scale_alone(scale, moved):
    trainer = make_trainer(compute=ComputeSection(precision="mixed_float16"))
    model, slots = trainer.initial(0)
    state = TrainState(model, [*slots[:-2], ops.convert_to_tensor(np.float32(scale)), slots[-1]])
    after, _, _ = trainer.train_epoch(state, SAMPLES[:16], LABELS[:16], epoch=1, seed=0, lr=0.01)
    pairs = zip(backend.to_numpy(after.model), backend.to_numpy(model), strict=True)
    changed = [(a != b).any() for new, old in pairs for a, b in zip(new, old, strict=True)]
    assert any(changed) == moved
    assert float(after.slots[-2]) == (scale if moved else scale / 2)
