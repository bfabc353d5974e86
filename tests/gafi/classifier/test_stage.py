"""The stage `train-classifier` on a tiny look-alike of a data set."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from experiments.gafi.classifier.stage import FACTS, HISTORY, WEIGHTS, load_classifier, train
from experiments.gafi.classifier.trainer import ClassifierTrainer
from experiments.gafi.config_ours import ComputeSection, SubsetSection
from experiments.gafi.data.dataset import make_dataset
from experiments.gafi.data.raw import Part, RawDataset
from suite.errors import BadInput, Stopped
from suite.tables import read_csv
from tests.gafi.classifier.toy import SIZE, make_images, make_script

SCRIPT = make_script(dataset="FashionMNIST", image_size=SIZE)


def make_set():
    parts = [Part(*make_images(num, seed)) for seed, num in enumerate((48, 12, 12))]
    raw = RawDataset("FashionMNIST", parts[0], parts[1], parts[2], ("dark", "grey", "bright"), "given")
    return make_dataset(SCRIPT.DATA, SubsetSection(), raw, as_uint8=True)


def run(folder, **kw):
    dataset = make_set()
    facts = train(
        SCRIPT, dataset, compute=ComputeSection(), seed=3, out=folder / "out", work=folder / "work", **kw
    )
    return facts, dataset


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("classifier")
    facts, dataset = run(folder)
    return facts, dataset, folder / "out"


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_test_split_is_not_read_unless_it_selects(trained, tmp_path):
    _, dataset, out = trained
    assert dataset.splits.reads["test"] == 0 and dataset.splits.reads["val"] > 0
    assert "test_accuracy" not in read_csv(out / HISTORY)[0]
    facts, dataset = run(tmp_path, with_test=True)
    assert dataset.splits.reads["test"] > 0
    assert len(read_csv(tmp_path / "out" / HISTORY)[0]["test_accuracy"]) > 0
    assert facts == trained[0], "the best epoch is that of the validation images all the same"


def test_the_record_names_the_best_epoch_of_the_curve_and_the_size_of_the_network(trained):
    facts, dataset, out = trained
    rows = read_csv(out / HISTORY)
    accuracies = [float(row["val_accuracy"]) for row in rows]
    assert facts["best_epoch"] == 1 + int(np.argmax(accuracies)) and len(rows) == facts["epochs"] == 3
    assert facts["val_accuracy"] == max(accuracies)
    model, _ = load_classifier(out)
    assert facts["parameters"]["trainable"] == model.count_params() - facts["parameters"]["other"]
    assert json.loads((out / FACTS).read_text()) == facts


def test_the_loaded_network_reaches_the_recorded_accuracy(trained):
    facts, dataset, out = trained
    model, state = load_classifier(out, SCRIPT.MODEL)
    trainer = ClassifierTrainer(SCRIPT, image_shape=(SIZE, SIZE, 1), num_classes=3, compute=ComputeSection())
    loss, accuracy = trainer.evaluate(state, dataset.x_val, dataset.y_val)
    assert (loss, accuracy) == (facts["val_loss"], facts["val_accuracy"])
    assert model.name == "resnet14"


def test_a_killed_training_ends_with_the_same_files(trained, tmp_path):
    def stop():
        if (tmp_path / "work" / "fit_state.npz").exists() and not told:
            told.append(True)
            raise Stopped("stopped")

    told = []
    with pytest.raises(Stopped):
        run(tmp_path, check_stop=stop)
    run(tmp_path, check_stop=stop)
    assert files(tmp_path / "out") == files(trained[2])


@pytest.mark.parametrize(("key", "value"), [("name", "resnet20"), ("width", 8)])
def test_a_checkpoint_of_another_architecture_is_refused(trained, key, value):
    section = replace(SCRIPT.MODEL, **{key: value})
    with pytest.raises(BadInput, match=f"another architecture: MODEL.{key} is .*, not {value}") as error:
        load_classifier(trained[2], section)
    assert str(error.value).startswith(str(trained[2] / WEIGHTS))


def test_weights_that_are_not_the_recorded_ones_and_folders_without_any_are_refused(trained, tmp_path):
    for name, data in files(trained[2]).items():
        (tmp_path / name).write_bytes(data)
    arrays = dict(np.load(tmp_path / WEIGHTS))
    arrays["dense/bias"] = arrays["dense/bias"] + 1
    np.savez(tmp_path / WEIGHTS, **arrays)
    with pytest.raises(BadInput, match=r"is not the file that classifier.json describes"):
        load_classifier(tmp_path)
    for text in ("{", "[]", '{"schema": 1}'):
        (tmp_path / FACTS).write_text(text)
        with pytest.raises(BadInput, match="no readable classifier; run train-classifier first"):
            load_classifier(tmp_path)
    with pytest.raises(BadInput, match="no readable classifier; run train-classifier first"):
        load_classifier(tmp_path / "nowhere")
