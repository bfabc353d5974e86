"""The stages train-redo and redo-masks on a small folder of `objects`."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments.sample_synthesis.config import SampleSynthesisConfig
from experiments.sample_synthesis.objects.object_set import Index, open_objects, write_index
from experiments.sample_synthesis.redo import stage
from experiments.sample_synthesis.redo.masks import save_mask_net
from experiments.sample_synthesis.redo.networks import MaskNet, build
from experiments.sample_synthesis.stages import stages_of
from suite.config import load_config
from suite.errors import BadInput, Missing, Stopped
from suite.seeds import item_rng
from suite.stage import STOP, Context
from tests.sample_synthesis.redo.scenes import scenes

TINY = Path(__file__).resolve().parents[3] / "experiments/sample_synthesis/configs/tiny.yaml"
VARIANTS = ("masked", "nogan")
COUNT = 14


@pytest.fixture
def config(settings):
    """Birds by ReDO, all ablations."""
    overrides = ["objects=[bird]", "bird.masks.provider=redo", "bird.source.size=32", "bird.nogan.size=32",
                 "redo.size=32", "redo.nf=8"]  # fmt: skip
    return dataclasses.replace(load_config(SampleSynthesisConfig, TINY, overrides), redo=settings)


@pytest.fixture
def objects(tmp_path):
    """The stage `objects` of both variants, without masks."""
    for number, variant in enumerate(VARIANTS):
        folder = tmp_path / "objects" / f"{number:05d}"
        folder.mkdir(parents=True)
        pictures, _ = scenes(COUNT, side=32, seed=number)
        np.save(folder / "pictures.npy", pictures)
        keys = tuple(f"picture {i}" for i in range(COUNT))
        write_index(folder, Index("bird", variant, "folder", 32, keys, {}, ()))
    return tmp_path / "objects"


@pytest.fixture
def context(tmp_path, config, objects):
    """`context("redo-masks", shard=1)`: the context of a stage of birds."""

    def make(verb, *, shard=None, config=config, device="cpu", **inputs):
        out = tmp_path / f"{verb}.part" / ("" if shard is None else f"{shard:05d}")
        out.mkdir(parents=True, exist_ok=True)
        return Context(
            stage=stages_of(config)[f"bird-{verb}"], config=config, seed=1, device=device,
            inputs={"objects": objects, **inputs}, out=out, final=tmp_path / verb, key="k", shard=shard,
        )  # fmt: skip

    return make


def trained(tmp_path, small):
    """A folder of train-redo whose network is not trained."""
    folder = tmp_path / "train-redo"
    folder.mkdir()
    save_mask_net(folder / "mask.safetensors", build(MaskNet, small, seed=1), small)
    return folder


def test_train_redo_writes_a_network_its_history_and_what_it_did(context):
    ctx = context("train-redo")
    stage.run_train(ctx)
    assert {path.name for path in ctx.out.iterdir()} >= {"mask.safetensors", "masks", "history.csv"}
    assert ctx.counts == {"pictures": COUNT, "steps": 4, "restarts": 0}
    assert ctx.facts["last"]["step"] == 4 and "iou" not in ctx.facts["last"]


def test_train_redo_measures_against_true_masks_where_the_pictures_have_them(context, objects):
    np.save(objects / "00000" / "masks.npy", scenes(COUNT, side=32)[1].astype(np.uint8) * 255)
    ctx = context("train-redo")
    stage.run_train(ctx)
    assert 0 < ctx.facts["last"]["iou"] <= 1


def test_sigterm_keeps_what_is_trained(context, monkeypatch):
    ctx = context("train-redo")
    monkeypatch.setattr(STOP, "is_set", True)
    with pytest.raises(Stopped):
        stage.run_train(ctx)
    assert (ctx.work / "state.pt").exists()
    monkeypatch.setattr(STOP, "is_set", False)
    stage.run_train(ctx)
    assert ctx.counts["steps"] == 4


def test_redo_masks_has_the_masks_of_every_shard_that_synth_reads(context, tmp_path, small, objects, config):
    weights = trained(tmp_path, small)
    for shard in range(2):
        ctx = context("redo-masks", shard=shard, **{"train-redo": weights})
        stage.run_masks(ctx)
        masks = np.load(ctx.out / "masks.npy")
        assert masks.shape == (COUNT, 32, 32) and masks.dtype == np.uint8
        assert ctx.counts["pictures"] == COUNT
        sheet = np.asarray(Image.open(ctx.out / "sheet.png"))
        assert sheet.shape == (2 * 3 * 32, 8 * 32, 3)
    for variant in VARIANTS:
        found = open_objects(objects, "bird", config, variant=variant, masks=tmp_path / "redo-masks.part")
        assert found.draw(item_rng(0, "test", 0)).mask.shape == (32, 32)


def test_masks_are_those_of_the_file_that_the_settings_name(context, tmp_path, small, config):
    path = tmp_path / "mine.safetensors"
    save_mask_net(path, build(MaskNet, small, seed=7), small)
    masks = dataclasses.replace(config.bird.masks, weights=str(path))
    named = dataclasses.replace(config, bird=dataclasses.replace(config.bird, masks=masks))
    ctx = context("redo-masks", shard=0, config=named)
    stage.run_masks(ctx)
    facts = json.loads((ctx.out / "masks.json").read_text())
    assert facts["provider"].endswith("-ours") and facts["has_been_flipped"] in (True, False)
    assert facts["border_coverage"] <= facts["centre_coverage"]


def test_a_second_run_finds_the_masks_by_their_content(context, tmp_path, small):
    weights = trained(tmp_path, small)
    counts = []
    for _ in range(2):
        ctx = context("redo-masks", shard=0, **{"train-redo": weights})
        stage.run_masks(ctx)
        counts.append(ctx.facts["masks"])
    assert counts == [{"computed": COUNT}, {"found": COUNT}]


def test_without_pytorch_it_is_one_line(context, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    for verb, function in (("train-redo", stage.run_train), ("redo-masks", stage.run_masks)):
        with pytest.raises(Missing, match="needs PyTorch; work in the detectron2 environment"):
            function(context(verb))


def test_damaged_pictures_and_a_missing_gpu_are_one_line(context, objects, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(Missing, match="no usable GPU"):
        stage.run_train(context("train-redo", device="cuda"))
    np.save(objects / "00000" / "pictures.npy", np.zeros((3, 32, 32, 3), np.uint8))
    with pytest.raises(BadInput, match="pictures.npy: is uint8"):
        stage.run_train(context("train-redo"))
    (objects / "00000" / "pictures.npy").write_text("x")
    with pytest.raises(BadInput, match="pictures.npy: cannot be read"):
        stage.run_train(context("train-redo"))
