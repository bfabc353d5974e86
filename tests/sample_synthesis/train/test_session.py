"""Cells from images to files: where they start, what they leave, what they may look at."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from experiments.sample_synthesis.cells import cells
from experiments.sample_synthesis.metrics.scores import above, score
from experiments.sample_synthesis.train.cell_files import (
    CELL,
    WEIGHTS,
    cell_folder,
    finished,
    predictions_file,
    read_predictions,
)
from experiments.sample_synthesis.train.checkpoint import Weights, digest, read_weights, write_weights
from experiments.sample_synthesis.train.pipeline import FileSet, MemorySet
from experiments.sample_synthesis.train.predict import predict
from experiments.sample_synthesis.train.session import Detectors, train_cell
from experiments.sample_synthesis.train.sources import Sources
from suite.errors import BadInput, Missing, Stopped
from tests.sample_synthesis.train.toy import SIZE, SOURCE, real_set, settings, write_pictures

CONFIG = settings(
    "qr.grid={sizes: [4], epochs_real: 2, epochs_pretrain: 2}", "ablation={factors: [2], qr_images: 3}"
)
CELLS = {cell.name: cell for cell in cells(CONFIG)}
PRETRAINED, FINETUNED = CELLS["qr-tiny-pretrained-run1"], CELLS["qr-tiny-finetuned-4-run1"]


@cache
def detectors():
    """One network and one compiled step for all cells of these tests."""
    return Detectors(CONFIG, seed=0)


class Watched(Sources):
    """Sources that note when the test split is opened."""

    def __init__(self, *args):
        super().__init__(*args)
        self.opened = []

    def items(self, split):
        self.opened.append(split)
        return super().items(split)


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    splits = {"train": range(6), "valid": range(100, 103), "test": range(200, 204)}
    real = {split: real_set(folder, split, numbers) for split, numbers in splits.items()}
    paths, boxes = write_pictures(folder / "synthetic", range(300, 312))
    synthetic = FileSet(paths, boxes, np.full((12, 2), SOURCE), image_size=SIZE)
    return Watched(CONFIG, real, lambda variant: MemorySet(synthetic))


def train(cell, sources, out: Path, **options):
    return train_cell(
        cell, config=CONFIG, sources=sources, detectors=detectors(), seed=0, out=out / cell.name,
        work=out / "work" / cell.name, **options,
    )  # fmt: skip


@pytest.fixture(scope="module")
def done(sources, tmp_path_factory):
    """A pretrained cell and one that is finetuned from it."""
    out = tmp_path_factory.mktemp("cells")
    train(PRETRAINED, sources, out)
    train(FINETUNED, sources, out, parent=out / PRETRAINED.name / WEIGHTS)
    return out


def test_finetuning_starts_from_the_pretrained_tensors_and_changes_them(done):
    pretrained, finetuned = finished(done / PRETRAINED.name), finished(done / FINETUNED.name)
    assert finetuned["initial_sha256"] == pretrained["weights_sha256"]
    assert digest(read_weights(done / PRETRAINED.name / WEIGHTS).arrays) == pretrained["weights_sha256"]
    assert finetuned["weights_sha256"] != pretrained["weights_sha256"]


def test_the_arms_of_a_run_begin_with_the_same_weights(sources, done, tmp_path):
    scratch = train(CELLS["qr-tiny-from_scratch-4-run1"], sources, tmp_path)
    assert scratch["initial_sha256"] == finished(done / PRETRAINED.name)["initial_sha256"]
    assert digest(detectors().initial("tiny", 2)) != scratch["initial_sha256"]


def test_several_cells_share_one_compiled_step(done):
    assert detectors().trainer("tiny")._step.experimental_get_tracing_count() == 1


def test_a_cell_leaves_its_files_and_no_state(done):
    names = sorted(path.name for path in (done / FINETUNED.name).iterdir())
    wanted = [CELL, "history.json", predictions_file("test"), predictions_file("valid"), WEIGHTS]
    assert names == sorted(wanted)
    assert not (done / "work" / FINETUNED.name).exists()


def test_a_finished_cell_is_left_as_it_is(sources, done):
    path = done / PRETRAINED.name / WEIGHTS
    before = path.stat().st_mtime_ns
    train(PRETRAINED, sources, done)
    assert path.stat().st_mtime_ns == before


@pytest.mark.parametrize("name", [WEIGHTS, "history.json", predictions_file("test")])
def test_a_damaged_file_makes_a_cell_unfinished(done, name):
    path = done / FINETUNED.name / name
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert finished(done / FINETUNED.name) is None
    path.write_bytes(content)
    assert finished(done / FINETUNED.name) is not None


def test_training_again_gives_the_same_bytes(sources, done, tmp_path):
    train(PRETRAINED, sources, tmp_path)
    for path in (done / PRETRAINED.name).iterdir():
        assert (tmp_path / PRETRAINED.name / path.name).read_bytes() == path.read_bytes()


def test_the_test_pictures_are_opened_once_after_the_last_step(sources, tmp_path):
    sources.opened.clear()
    steps = []
    train(
        CELLS["qr-tiny-from_scratch-4-run1"], sources, tmp_path,
        check_stop=lambda: steps.append("test" in sources.opened),
    )  # fmt: skip
    assert not any(steps) and sources.opened.count("test") == 1


def test_a_stopped_cell_is_not_finished_and_goes_on(sources, done, tmp_path):
    left = [3]

    def stop():
        if not left[0]:
            raise Stopped("told to stop")
        left[0] -= 1

    with pytest.raises(Stopped):
        train(PRETRAINED, sources, tmp_path, check_stop=stop)
    assert finished(tmp_path / PRETRAINED.name) is None
    left[0] = -1
    assert train(PRETRAINED, sources, tmp_path) == finished(done / PRETRAINED.name)


def test_the_mixed_arm_trains_on_both_sets(sources, tmp_path):
    facts = train(CELLS["qr-tiny-mixed-3-2x-run1"], sources, tmp_path)
    assert facts["steps"] == 2 * 2 * CONFIG.train.steps_per_epoch
    assert facts["different_images"] > 3


def test_a_finetuned_cell_needs_weights_of_its_architecture(sources, tmp_path):
    with pytest.raises(BadInput, match="starts from pretrained weights"):
        train(FINETUNED, sources, tmp_path)
    path = tmp_path / "weights.npz"
    write_weights(path, Weights(detectors().initial("tiny", 1), "mobilenet", SIZE))
    with pytest.raises(BadInput, match="weights of another architecture: mobilenet, not tiny"):
        train(FINETUNED, sources, tmp_path, parent=path)


def test_the_detections_of_a_higher_floor_are_those_of_the_table_above_it(sources, done):
    # Suppression takes the surest first, so one table with a low floor serves every metric.
    config = CONFIG.detector
    trainer = detectors().trainer("tiny")
    trainer.reset(read_weights(done / PRETRAINED.name / WEIGHTS).arrays)
    found = read_predictions(done / PRETRAINED.name / predictions_file("test"))
    assert len(found)
    floor = float(np.median(found.scores))
    strict = predict(
        trainer, sources.pictures("test"), detectors().anchors("tiny"), min_confidence=floor,
        nms_iou=config.nms_iou,
    )  # fmt: skip
    kept = above(found, floor)
    assert 0 < len(kept) < len(found)
    assert np.array_equal(strict.scores, kept.scores) and np.array_equal(strict.boxes_xyxy, kept.boxes_xyxy)


def test_detections_are_in_the_pixels_of_the_files(sources, done):
    found = read_predictions(done / PRETRAINED.name / predictions_file("test"))
    centers = (found.boxes_xyxy[:, :2] + found.boxes_xyxy[:, 2:]) / 2
    assert centers.max() > SIZE and centers.max() < 1.5 * SOURCE  # beyond the detector's input
    assert set(found.image_ids) <= {image.id for image in sources.real["test"].coco.images}
    assert score(sources.real["test"].coco, found, "compat", CONFIG.detector)["compat_map"] is not None


def test_the_folder_of_a_cell_is_found_in_a_stage_or_named_as_missing(done, tmp_path):
    stage = tmp_path / "pretrain"
    (stage / "00000").mkdir(parents=True)
    (stage / "00000" / PRETRAINED.name).symlink_to(done / PRETRAINED.name)
    assert cell_folder(stage, PRETRAINED) == stage / "00000" / PRETRAINED.name
    with pytest.raises(BadInput, match="holds no cell qr-tiny-finetuned-4-run1; run that stage first"):
        cell_folder(stage, FINETUNED)


def test_a_network_whose_weights_are_replaced_needs_no_imagenet_file(tmp_path):
    config = settings("detector.init=imagenet", "detector.weights=missing", "detector.archs=[mobilenetv2]")
    assert Detectors(config, seed=0, weights=tmp_path).trainer("mobilenetv2").model.name == "mobilenetv2"
    with pytest.raises(Missing):
        Detectors(config, seed=0, weights=tmp_path).initial("mobilenetv2", 1)
