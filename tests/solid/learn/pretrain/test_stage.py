"""The `pretrain` command, whole."""

import json

import pytest
import torch

from experiments.solid.learn.engine.checkpoint import load_model_tensors
from tests.solid.learn.pretrain.runs import Run, digests, rows

pytestmark = pytest.mark.slow
OUTPUTS = {
    "model.pth",
    "model.safetensors",
    "metrics.jsonl",
    "retrieval.jsonl",
    "lazy_config.yaml",
    "summary.json",
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    made = Run(tmp_path_factory.mktemp("run"))
    made.must("pretrain", fresh=True)
    return made


def test_the_outputs_tell_what_was_learnt(run):
    folder = run.folder / "pretrain"
    assert set(digests(folder)) == OUTPUTS
    assert [row["step"] for row in rows(folder)] == list(range(1, 7))
    assert [row["step"] for row in rows(folder, "retrieval.jsonl")] == [0, 3, 6]
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["iterations"] == 6 and not summary["shuffled_queries"]
    assert summary["last_tenth"]["loss_cls"] == rows(folder)[-1]["loss_cls"]
    assert summary["retrieval"]["last"] == rows(folder, "retrieval.jsonl")[-1]
    counts = json.loads((folder / "manifest.json").read_text())["counts"]
    assert counts == {"iterations": 6, "skipped_samples": 0}


def test_the_model_file_holds_the_detector_the_key_network_and_the_bank(run):
    tensors = load_model_tensors(run.folder / "pretrain/model.safetensors")
    assert {name: value.dtype for name, value in tensors.items() if "queue" in name} == {
        "queue": torch.float32,
        "queue_ids": torch.int64,
    }
    torch.testing.assert_close(tensors["queue"].norm(dim=1), torch.ones(6))
    other = load_model_tensors(run.folder / "pretrain/model.pth")
    assert set(other) == set(tensors) and all(torch.equal(other[name], tensors[name]) for name in tensors)


def test_the_same_seed_gives_the_same_bytes_however_many_loader_processes(run):
    again = run.must("again", "pretrain.workers=2")
    assert digests(again) == digests(run.folder / "pretrain")
    assert rows(run.must("other", "pretrain.shuffled_queries=true")) != rows(again)


def test_overrides_of_the_tree_reach_the_run(run):
    folder = run.must("deep", 'pretrain.overrides=["model.roi_heads.box_predictor.embed_dims=[24,12]"]')
    assert load_model_tensors(folder / "model.pth")["queue"].shape == (6, 12)
    assert "embed_dims: [24, 12]" in (folder / "lazy_config.yaml").read_text()


def test_half_precision_trains(run):
    for row in rows(run.must("half", "pretrain.precision=bfloat16")):
        assert 0 < row["total_loss"] < 20


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("pretrain.overrides=[model.backbon.norm=BN]", "did you mean backbone"),
        ("pretrain.embed_dims=[]", "pretrain.embed_dims"),
        ("pretrain.lr=1.0e+30", "look at these samples, or lower the learning rate"),
        ("pretrain.batch_size=64", "10 pictures to train on"),
    ],
)
def test_bad_settings_end_in_one_line_and_exit_2(run, override, message):
    done = run("bad", override)
    assert done.returncode == 2, done.stderr[-2000:]
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ") and message in last and "Traceback" not in done.stderr


def test_a_class_table_of_another_store_is_refused(run, tmp_path):
    other = Run(tmp_path)
    table = json.loads((tmp_path / "clean/classes.json").read_text())
    (tmp_path / "clean/classes.json").write_text(json.dumps(table[:-1]))
    done = other("pretrain")
    assert done.returncode == 2 and "5 classes, the store" in done.stderr


def test_sync_bn_needs_cuda_as_soon_as_there_are_two_ranks(run):
    done = run("sync", "pretrain.norm=SyncBN", ranks=2)
    assert done.returncode != 0 and "torch shares batch statistics on CUDA only" in done.stderr
    run.must("sync-alone", "pretrain.norm=SyncBN")
