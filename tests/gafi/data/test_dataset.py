"""The stage `import` and what later stages read from it."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from experiments.gafi.config import GafiConfig
from experiments.gafi.data.catalogue import SOURCES
from experiments.gafi.data.dataset import make_dataset, read_dataset, samples_per_class
from experiments.gafi.data.load import load_raw
from experiments.gafi.data.preprocess import preprocess, scaled
from experiments.gafi.stages import STAGES
from suite.config import load_config
from suite.errors import BadInput, Missing
from suite.stage import Job
from tests.gafi.data.lookalikes import WRITERS, write_fashion

TINY = "experiments/gafi/configs/tiny.yaml"
WHOLE = ("SUBSET.train=null", "SUBSET.val=null", "SUBSET.test=null")


@pytest.fixture(autouse=True)
def data_dir(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr("experiments.gafi.data.locate.FASHION_SYSTEM_FOLDER", str(tmp_path / "usr"))
    return tmp_path / "data"


def import_stage(out: Path, *overrides: str, seed: int = 0) -> tuple[Path, GafiConfig]:
    """The stage's folder, and the config it ran with."""
    config = load_config(GafiConfig, TINY, overrides)
    job = Job(stage=STAGES["import"], config=config, seed=seed, device="cpu", inputs={}, out=out)
    job.run()
    return out, config


@pytest.mark.parametrize("name", ["FashionMNIST", "CIFAR10", "CIFAR100", "DermaMNIST"])
def test_the_stage_imports_each_data_set_and_it_is_read_as_it_was_made(data_dir, tmp_path, name):
    WRITERS[name](data_dir / SOURCES[name].folder)
    folder, config = import_stage(tmp_path / "import", f"dataset={name}", *WHOLE)
    data = config.classifier.DATA
    read = read_dataset(folder, data, merged=False)
    made = make_dataset(data, config.SUBSET, load_raw(name))
    for split in ("train", "val", "test"):
        assert np.array_equal(read.splits[split].images, made.splits[split].images)
        assert np.array_equal(read.splits[split].labels, made.splits[split].labels)
        assert read.counts[split] == len(read.splits[split].labels)
    assert read.x_train.shape[1:] == (16, 16, 1 if name == "FashionMNIST" else 3)
    assert read.x_train.dtype == np.float32 and read.y_train.dtype == np.int64
    assert (read.num_classes, read.class_names) == (made.num_classes, made.class_names)
    facts = json.loads((folder / "splits.json").read_text())
    assert facts["counts"] == dict(read.counts) and not facts["official_size"]
    assert facts["per_class"]["val"] == np.bincount(read.y_val, minlength=read.num_classes).tolist()
    assert facts["samples_per_class"] == len(read.y_train) // read.num_classes
    assert str(tmp_path) not in json.dumps(facts)


def test_merged_data_trains_on_train_and_val_and_validates_on_test(data_dir, tmp_path):
    write_fashion(data_dir / "fashion-mnist")
    folder, config = import_stage(tmp_path / "import", *WHOLE)
    apart = read_dataset(folder, config.gan.DATA, merged=False)
    merged = read_dataset(folder, config.gan.DATA, merged=True)
    assert merged.counts == {"train": 60, "val": 20, "test": 20}
    assert np.array_equal(merged.x_train, preprocess(load_raw("FashionMNIST").train.images, config.gan.DATA))
    assert merged.x_val is merged.x_test and np.array_equal(merged.x_val, apart.x_test)
    assert merged.splits.reads == {"train": 1, "test": 3}  # val is test, and counts as such


def test_readings_are_counted_and_a_split_that_nobody_asks_for_is_not_read(data_dir, tmp_path):
    write_fashion(data_dir / "fashion-mnist")
    folder, config = import_stage(tmp_path / "import", *WHOLE)
    dataset = read_dataset(folder, config.classifier.DATA, merged=False)
    assert dataset.counts["test"] == 20 and dataset.samples_per_class() == 4
    assert dataset.x_train is dataset.x_train
    assert np.array_equal(dataset.y_val, dataset.splits["val"].labels)
    assert dataset.splits.reads == {"train": 2, "val": 2} and dataset.splits.reads["test"] == 0


def test_bytes_are_the_floats_before_scaling(data_dir, tmp_path):
    write_fashion(data_dir / "fashion-mnist")
    folder, config = import_stage(tmp_path / "import", *WHOLE)
    floats = read_dataset(folder, config.classifier.DATA, merged=False)
    small = read_dataset(folder, config.classifier.DATA, merged=False, as_uint8=True)
    assert small.x_val.dtype == np.uint8
    assert np.array_equal(scaled(small.x_val, normalize=True), floats.x_val)


def test_noise_is_added_to_training_pictures_once_and_the_same_each_time(data_dir, tmp_path):
    write_fashion(data_dir / "fashion-mnist")
    folder, config = import_stage(tmp_path / "import", *WHOLE)
    plain = config.classifier.DATA
    noisy = SimpleNamespace(**{**vars(plain), "dequantize": True})
    one, two, three = (read_dataset(folder, data, merged=False) for data in (plain, noisy, noisy))
    assert np.array_equal(two.x_train, three.x_train)
    assert (two.x_train != one.x_train).mean() > 0.9 and np.array_equal(two.x_val, one.x_val)


def test_subsets_are_stratified_and_the_same_for_every_seed_of_a_run(data_dir, tmp_path):
    write_fashion(data_dir / "fashion-mnist", num_train=400, num_test=100)
    first, config = import_stage(tmp_path / "a")
    second, _ = import_stage(tmp_path / "b", seed=7)
    assert (first / "data.npz").read_bytes() == (second / "data.npz").read_bytes()
    dataset = read_dataset(first, config.classifier.DATA, merged=False)
    assert dataset.counts == {"train": 100, "val": 30, "test": 50}
    for labels, each in ((dataset.y_train, 10), (dataset.y_val, 3), (dataset.y_test, 5)):
        assert np.bincount(labels).tolist() == [each] * 10
    assert read_dataset(first, config.gan.DATA, merged=True).counts["train"] == 130


def test_the_digests_of_the_split_are_those_of_the_whole_data_set_whatever_the_subset(data_dir, tmp_path):
    write_fashion(data_dir / "fashion-mnist", num_train=400, num_test=100)
    found = [
        json.loads((import_stage(tmp_path / name, *overrides)[0] / "splits.json").read_text())
        for name, overrides in (("a", ()), ("b", WHOLE))
    ]
    assert found[0]["whole_split_sha256"] == found[1]["whole_split_sha256"]
    assert found[0]["counts"] != found[1]["counts"]


@pytest.mark.parametrize(
    ("num_train", "num_classes", "class_samples", "expected"),
    [(40_000, 10, None, 4000), (7007, 7, None, 1001), (50_000, 10, 200, 200), (19, 10, None, 1)],
)
def test_pictures_per_class_are_the_published_rule(num_train, num_classes, class_samples, expected):
    assert samples_per_class(num_train, num_classes, class_samples) == expected


def test_no_picture_per_class_is_one_line():
    with pytest.raises(BadInput, match="0 synthetic pictures of each class"):
        samples_per_class(9, 10)


def test_another_data_set_than_the_imported_one_is_one_line(data_dir, tmp_path):
    write_fashion(data_dir / "fashion-mnist")
    folder, config = import_stage(tmp_path / "import", *WHOLE)
    other = SimpleNamespace(**{**vars(config.classifier.DATA), "dataset": "CIFAR10"})
    with pytest.raises(BadInput, match=r"holds FashionMNIST, DATA\.dataset is CIFAR10"):
        read_dataset(folder, other, merged=False)


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def flipped(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def objects(path):
    np.savez(path, **{name: np.array([{}]) for name in np.load(path)})


def without_labels(path):
    np.savez(path, trainval_images=np.load(path)["trainval_images"])


def no_archive(path):
    path.write_bytes(b"cut")


@pytest.mark.parametrize("damage", [Path.unlink, cut, flipped, objects, without_labels, no_archive])
def test_damaged_arrays_are_one_line_that_names_the_stage(data_dir, tmp_path, damage):
    write_fashion(data_dir / "fashion-mnist")
    folder, config = import_stage(tmp_path / "import", *WHOLE)
    damage(folder / "data.npz")
    with pytest.raises(BadInput, match=r"data\.npz: cannot be read .*; run the stage `import` again"):
        dict(read_dataset(folder, config.classifier.DATA, merged=False).splits)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}"])
def test_a_damaged_description_is_one_line_that_names_the_stage(data_dir, tmp_path, text):
    write_fashion(data_dir / "fashion-mnist")
    folder, config = import_stage(tmp_path / "import", *WHOLE)
    (folder / "splits.json").write_text(text)
    with pytest.raises(BadInput, match=r"splits\.json: is missing or damaged; run the stage `import` again"):
        read_dataset(folder, config.classifier.DATA, merged=False)


def test_a_named_folder_is_read_instead_of_the_usual_places(data_dir, tmp_path):
    write_fashion(data_dir / "fashion-mnist")
    write_fashion(tmp_path / "mine", num_train=80)
    folder, _ = import_stage(tmp_path / "import", f"SUBSET.folder={tmp_path / 'mine'}", *WHOLE)
    assert json.loads((folder / "splits.json").read_text())["counts"]["train"] == 60
    with pytest.raises(Missing, match="looked at"):
        import_stage(tmp_path / "other", f"SUBSET.folder={tmp_path / 'none'}", *WHOLE)


def test_a_subset_of_more_pictures_than_there_are_ends_the_stage_in_one_line(data_dir, tmp_path):
    write_fashion(data_dir / "fashion-mnist")
    with pytest.raises(BadInput, match=r"SUBSET\.train=100 of 40 pictures"):
        import_stage(tmp_path / "import")


def test_a_size_that_no_setting_leads_to_ends_the_stage_before_anything_is_written(data_dir, tmp_path):
    write_fashion(data_dir / "fashion-mnist")
    off = [f"{script}.DATA.resize=null" for script in ("classifier", "gan", "pipeline", "multigan")]
    with pytest.raises(BadInput, match=r"pictures of 28 pixels, DATA\.image_size is 16"):
        import_stage(tmp_path / "import", *off, *WHOLE)
    assert not (tmp_path / "import").exists()
