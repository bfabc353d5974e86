"""The weights of SOLID's pre-training: which file, checked again when it is opened."""

import json

import pytest

from experiments.compare.config import CONFIG
from experiments.compare.cost import arm_cost
from experiments.compare.stages import stages_of
from experiments.compare.weights import weights_file
from suite.config import load_config
from suite.errors import BadInput, Missing
from suite.provenance import ROOT
from suite.stage import Job
from tests.compare.test_cost import put


@pytest.fixture
def job(tmp_path, monkeypatch):
    monkeypatch.setenv("RUNS_DIR", str(tmp_path))
    config = load_config(CONFIG, ROOT / "experiments/compare/configs/tiny.yaml")
    stage = stages_of(config)["solid-weights"]
    out = tmp_path / "compare/solid-weights"
    return lambda: Job(stage=stage, config=config, seed=0, device="cpu", inputs={}, out=out)


@pytest.fixture
def pretrained(tmp_path):
    run = tmp_path / "solid/tiny/seed0"
    put(run / "targets", cpu=5.0)
    put(run / "pretrain", cpu=7.0, inputs=("targets",))
    (run / "pretrain/model.pth").write_bytes(b"weights")
    return run / "pretrain"


def test_the_file_is_named_below_runs_dir_and_found_again(job, pretrained, tmp_path):
    made = job()
    made.run()
    row = json.loads((made.out / "weights.json").read_text())
    assert row["path"] == "solid/tiny/seed0/pretrain/model.pth" and row["bytes"] == 7
    assert weights_file(made.out) == pretrained / "model.pth"
    assert arm_cost(made.out).cpu_seconds >= 12.0


def test_another_file_in_its_place_is_not_taken(job, pretrained):
    made = job()
    made.run()
    (pretrained / "model.pth").write_bytes(b"others!")
    with pytest.raises(BadInput, match="not the file that was noted"):
        weights_file(made.out)


def test_a_run_that_was_pre_trained_anew_is_a_reason_to_look_again(job, pretrained):
    job().run()
    tree = json.loads((pretrained / "manifest.json").read_text())
    (pretrained / "manifest.json").write_text(json.dumps({**tree, "key": "another"}))
    assert job().run()


def test_without_weights_the_command_that_makes_them_is_told(job):
    with pytest.raises(Missing, match="make reproduce-solid SCALE=tiny SEED=0"):
        job().run()
