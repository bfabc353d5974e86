"""What is measured while a GAN trains, by a classifier of a few weights."""

from types import SimpleNamespace

import numpy as np
import pytest

from experiments.gafi.classifier.stage import FACTS, SCHEMA, WEIGHTS
from experiments.gafi.data.raw import Part
from experiments.gafi.gan.meter import EpochMeter, fixed_fakes
from experiments.gafi.nn.classifiers import build_classifier
from experiments.gafi.nn.state import save_arrays, state_of, to_arrays
from suite.manifest import file_digest, write_json
from tests.gafi.gan.stubs import CHANNELS, CLASSES, LATENT, SIZE, StubTrainer, script

REALS, FAKES = 30, 24


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """A folder as `train-classifier` leaves it, with initial weights."""
    folder = tmp_path_factory.mktemp("classifier")
    shape = {"num_classes": CLASSES, "channels": CHANNELS, "image_size": SIZE}
    model = build_classifier(SimpleNamespace(name="resnet14", width=4), **shape, seed=0)
    save_arrays(folder / WEIGHTS, to_arrays(model, state_of(model)))
    facts = {
        "schema": SCHEMA, "sha256": file_digest(folder / WEIGHTS), "normalize": True,
        "architecture": {"name": "resnet14", "width": 4, **shape},
    }  # fmt: skip
    write_json(folder / FACTS, facts)
    return folder


def meter(folder, **run):
    trainer = StubTrainer(script())
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (REALS, SIZE, SIZE, CHANNELS)).astype(np.float32)
    dataset = SimpleNamespace(
        num_classes=CLASSES, counts={"val": REALS}, splits={"val": Part(images, np.arange(REALS) % CLASSES)}
    )
    config = SimpleNamespace(
        gan=script(run=run), METRICS=SimpleNamespace(extractor="c_real", nearest=3, num_fakes=FAKES)
    )
    found = EpochMeter(config, dataset, trainer.networks.generator, classifier=folder, seed=5)
    return found, trainer.initial()


def test_fakes_are_the_same_in_every_epoch_and_of_all_classes():
    one, again = (fixed_fakes(5, 200, num_classes=CLASSES, latent_dim=LATENT) for _ in range(2))
    assert one[0].tobytes() == again[0].tobytes()
    assert set(one[1]) == set(range(CLASSES))
    assert abs(one[0].mean()) < 0.2


def test_a_row_has_the_distances_by_name_of_their_weights_and_accuracies_are_shares(classifier):
    measure, state = meter(classifier, compute_metrics=True, compute_classifier_stats=True)
    row = measure(1, state)
    assert row == measure(2, state)
    assert row["FID on C_real features"] > 0
    assert all(0 <= row[name] <= 1 and row[name] * FAKES == round(row[name] * FAKES)
               for name in ("c_acc_real", "c_acc_fake"))  # fmt: skip


def test_only_what_is_asked_for_is_in_the_row_from_the_epoch_on_that_is_asked_for(classifier):
    measure, state = meter(classifier, compute_classifier_stats=True, start_eval_epoch=3)
    assert measure(2, state) == {}
    assert set(measure(3, state)) == {"c_acc_real", "c_acc_fake"}


def test_the_generator_that_is_measured_is_the_average(classifier):
    measure, state = meter(classifier, compute_metrics=True)
    before = measure(1, state)
    moved = state.generator._replace(trainable=[value + 1.0 for value in state.generator.trainable])
    assert measure(1, state._replace(generator=moved)) == before
    assert measure(1, state._replace(ema=moved)) != before
