"""The grid of trainings: as many as published, each with a name of its own, parents first."""

from collections import Counter

import pytest

from experiments.sample_synthesis.cells import (
    cells,
    epochs,
    num_synthetic,
    other_cells,
    pretraining_cells,
    variants,
)
from experiments.sample_synthesis.config import CONFIG, CONFIGS
from experiments.sample_synthesis.names import OBJECTS
from experiments.sample_synthesis.shards import cell_shards, cuts, pretrain_shards, share, synth_shards
from suite.config import load_config

ALL = "objects=[qr,face,bird,car]"
MAIN = {"qr": 126, "face": 162, "bird": 150, "car": 126}  # models (Sample synthesis, published code)


def load(scale="paper", *overrides):
    return load_config(CONFIG, CONFIGS / f"{scale}.yaml", (ALL, *overrides))


def test_the_main_grid_has_the_published_number_of_models():
    found = Counter(cell.object for cell in cells(load()) if cell.ablation is None)
    assert found == MAIN


def test_the_ablations_have_the_published_numbers_of_models():
    found = Counter((cell.ablation, cell.object) for cell in cells(load()) if cell.ablation is not None)
    expected = {("pretraining", name): 72 for name in OBJECTS}
    expected |= {(kind, name): 12 for kind in ("naive", "nogan") for name in OBJECTS if name != "qr"}
    assert found == expected


def test_the_published_steps_of_the_main_grid():
    config = load()
    steps = sum(epochs(config, c) * config.train.steps_per_epoch for c in cells(config) if c.ablation is None)
    per_cell = {"qr": 20, "face": 20, "bird": 40, "car": 20}
    real = {name: MAIN[name] - 6 for name in OBJECTS}
    assert steps == 25 * sum(6 * 40 + real[name] * per_cell[name] for name in OBJECTS) == 366_000


def test_the_epochs_of_each_arm():
    config = load("paper", "arms=[from_scratch,finetuned,matched]")
    found = {(c.object, c.arm, c.ablation): epochs(config, c) for c in cells(config)}
    assert found["qr", "pretrained", None] == found["qr", "pretrained", None] == 40
    assert found["qr", "from_scratch", None] == found["qr", "finetuned", None] == 20
    assert found["qr", "matched", None] == 60 and found["bird", "matched", None] == 80
    assert found["qr", "mixed", "pretraining"] == 40 and found["bird", "mixed", "pretraining"] == 80
    assert found["qr", "pretrained", "pretraining"] == 20
    assert found["face", "pretrained", "naive"] == 40 and found["face", "finetuned", "nogan"] == 20


def test_matched_has_as_many_steps_as_a_pretraining_and_its_finetuning():
    config = load("smoke", "arms=[finetuned,matched]")
    by_size = {(c.object, c.num_real, c.arm): c for c in cells(config)}
    for (name, size, arm), cell in by_size.items():
        if arm == "matched":
            tuned = by_size[name, size, "finetuned"]
            assert epochs(config, cell) == epochs(config, tuned) + epochs(config, tuned.parent)


@pytest.mark.parametrize("scale", ["tiny", "smoke", "small", "paper"])
def test_names_are_unique_and_every_parent_is_a_cell_of_the_stage_before(scale):
    config = load(scale, "arms=[from_scratch,finetuned,matched]", "ablations=[pretraining,naive,nogan]")
    found = cells(config)
    assert len({cell.name for cell in found}) == len(found)
    assert {*pretraining_cells(config), *other_cells(config)} == set(found)
    before = set(pretraining_cells(config))
    for cell in found:
        assert (cell.parent is not None) == (cell.arm == "finetuned")
        assert cell.parent is None or cell.parent in before
        assert cell.is_pretraining == (cell.num_real is None or cell.arm == "pretrained")


def test_synthetic_images_of_the_arms():
    config = load()
    for cell in cells(config):
        number = num_synthetic(config, cell)
        assert (number is not None) == cell.sees_synthetic
        if cell.factor is not None and cell.sees_synthetic:
            assert number == cell.factor * cell.num_real <= 800
        elif cell.sees_synthetic:
            assert number == 10_000


def test_names_tell_everything():
    names = {cell.name for cell in cells(load())}
    assert {
        "qr-mobilenet-pretrained-run1", "face-resnet50-from_scratch-1449-run3",
        "car-mobilenet-finetuned-50-run2", "qr-mobilenet-mixed-50-8x-run1",
        "bird-resnet50-finetuned-100-naive-run1", "car-mobilenet-pretrained-nogan-run3",
    } <= names  # fmt: skip


def test_without_arms_an_ablation_stands_alone():
    config = load("tiny", "objects=[bird]", "arms=[]", "ablations=[naive]")
    assert {cell.ablation for cell in cells(config)} == {"naive"}


def test_qr_codes_have_neither_naive_nor_nogan():
    config = load("tiny")
    assert variants(config, "qr") == ("masked",)
    assert variants(config, "face") == ("masked", "naive", "nogan")
    assert variants(load("tiny", "ablations=[pretraining]"), "face") == ("masked",)


@pytest.mark.parametrize("scale", ["tiny", "smoke", "paper"])
@pytest.mark.parametrize("per_shard", [1, 2, 7, 1000])
def test_shards_hold_every_cell_once_in_order_and_as_evenly_as_can_be(scale, per_shard):
    config = load(scale, f"compute.cells_per_shard={per_shard}")
    for shards, wanted in (
        (pretrain_shards(config), pretraining_cells(config)),
        (cell_shards(config), other_cells(config)),
    ):
        assert sum(shards, ()) == wanted
        sizes = {len(shard) for shard in shards}
        assert max(sizes) <= per_shard and max(sizes) - min(sizes) <= 1
        assert len(shards) == -(-len(wanted) // per_shard)


def test_nothing_is_shared_into_no_shards():
    assert share((), 3) == ()
    assert cuts(0, 10) == []


@pytest.mark.parametrize("size", [1, 5, 12, 100])
def test_synth_shards_cover_every_image_of_every_variant_once(size):
    config = load("tiny", f"compute.synth_shard_size={size}")
    found = Counter((s.object, s.variant, i) for s in synth_shards(config) for i in range(s.start, s.stop))
    expected = {
        (name, variant, i)
        for name in OBJECTS
        for variant in variants(config, name)
        for i in range(config.of(name).synthesis.num_samples)
    }
    assert set(found) == expected and set(found.values()) == {1}
