"""The stage through its public command at tiny scale."""

import json
import re

import pytest
import torch

from experiments.solid.learn.engine.checkpoint import load_model_tensors
from tests.solid.learn.finetune.runs import Run

pytestmark = pytest.mark.slow
LOSSES = ("loss_cls", "loss_box_reg", "loss_mask", "loss_rpn_cls", "loss_rpn_loc")


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder of this module, for commands that fail."""
    return Run(tmp_path_factory.mktemp("finetune-bad"))


def refused(run, *overrides, code=2):
    words = [word for text in overrides for word in ("-o", text)]
    done = run("finetune", *words, "--shard", "0", out="refused")
    assert done.returncode == code, done.stderr[-2000:]
    assert "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")
    return last


def test_each_arm_leaves_model_log_config_summary_and_what_was_transferred(finished):
    folder = finished.folder / "finetune"
    arms = [folder / "00000", folder / "00001"]
    for arm, name in zip(arms, ("pretrained", "random"), strict=True):
        found = {p.name for p in arm.iterdir()}
        assert {"model.pth", "model.safetensors", "metrics.jsonl", "transfer.json", "summary.json"} <= found
        assert "config_detectron2.yaml" in found and ".work" not in found
        assert json.loads((arm / "summary.json").read_text())["init"] == name
        assert [row["step"] for row in lines(arm)] == [1, 2, 3, 4, 5, 6]
        assert set(lines(arm)[0]) == {"step", "total_loss", "lr", *LOSSES}
    loaded = [json.loads((arm / "transfer.json").read_text())["loaded"] for arm in arms]
    assert len(loaded[0]) > 100 and loaded[1] == []
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["counts"] == {"iterations": 12, "pictures": 24}


def test_the_learning_rate_warms_up_and_falls_at_the_step(finished):
    """tiny: 6 iterations, warm-up over 2 from lr / 1000, divided by ten at 4."""
    found = [row["lr"] for row in lines(finished.folder / "finetune/00001")]
    lr = finished.config.finetune.lr
    assert found == pytest.approx([lr * 0.001, lr * 0.5005, lr, lr, lr * 0.1, lr * 0.1])


def test_both_arms_see_the_same_pictures_and_start_from_the_same_random_tensors(finished, tmp_path):
    """The random arm again, under a name of its own: nothing of it depends on the other arm."""
    words = ["-o", "finetune.init=[random]", "--shard", "0"]
    finished.must("finetune", *words, out="alone")
    alone = finished.folder / "alone.part/00000"
    assert (alone / "model.pth").stat().st_size > 0
    assert (alone / "metrics.jsonl").read_bytes() == (
        finished.folder / "finetune/00001/metrics.jsonl"
    ).read_bytes()


def test_batch_norm_is_estimated_again_at_the_end(finished):
    """Statistics after `precise_bn` are means over batches; weights are those of the last checkpoint."""
    words = ["-o", "finetune.precise_bn=0", "-o", "finetune.init=[random]", "--shard", "0"]
    finished.must("finetune", *words, out="plain")
    with_it = load_model_tensors(finished.folder / "finetune/00001/model.pth")
    without = load_model_tensors(finished.folder / "plain.part/00000/model.pth")
    different = {name for name in with_it if not torch.equal(with_it[name], without[name])}
    assert different and all(re.search(r"running_(mean|var)|num_batches_tracked", name) for name in different)
    assert "backbone.fpn_output2.norm.running_var" in different


def test_a_missing_a_pickled_and_a_foreign_checkpoint_are_refused(run, tmp_path):
    assert "no such checkpoint" in refused(run, f"finetune.weights={tmp_path / 'none.pth'}")
    (tmp_path / "zoo.pkl").write_bytes(b"\x80\x04.")
    assert "pickles are not read" in refused(run, f"finetune.weights={tmp_path / 'zoo.pkl'}")
    torch.save({"model": {"encoder.weight": torch.zeros(2)}}, tmp_path / "other.pth")
    line = refused(run, f"finetune.weights={tmp_path / 'other.pth'}")
    assert "no tensor of this checkpoint fits" in line and "encoder.weight" in line


def test_a_checkpoint_of_another_width_lists_every_skipped_tensor(run):
    words = ["-o", "detector.fc_dim=48", "-o", "finetune.iterations=1", "-o", "finetune.precise_bn=0"]
    done = run.must("finetune", *words, "--shard", "0", out="wider")
    assert "of another architecture" in done.stderr
    tree = json.loads((run.folder / "wider.part/00000/transfer.json").read_text())
    assert tree["skipped"]["roi_heads.box_head.fc2.weight"] == {"checkpoint": [32, 32], "model": [48, 48]}
    assert json.loads((run.folder / "wider.part/00000/manifest.json").read_text())["warnings"]


def test_a_loss_that_explodes_is_refused_with_its_samples(run):
    line = refused(run, "finetune.overrides=[SOLVER.BASE_LR, '1e12', SOLVER.WARMUP_ITERS, '1']")
    assert re.search(r"finetune\[0\]: .*(not finite|Inf/NaN).*samples \d+, \d+\)?; look at these", line)


def test_an_unknown_key_of_detectron2_is_refused_with_its_neighbours(run):
    line = refused(run, "finetune.overrides=[SOLVER.BASELR, '0.1']")
    assert "no key SOLVER.BASELR; did you mean SOLVER.BASE_LR" in line


def test_overrides_reach_training(run):
    words = "SOLVER.MAX_ITER, '2', SOLVER.BASE_LR, '0.5', TEST.PRECISE_BN.ENABLED, 'False'"
    run.must("finetune", "-o", f"finetune.overrides=[{words}]", "--shard", "1", out="short")
    folder = run.folder / "short.part/00001"
    assert [row["step"] for row in lines(folder)] == [1, 2]
    assert lines(folder)[0]["lr"] == pytest.approx(0.0005)
    assert "BASE_LR: 0.5" in (folder / "config_detectron2.yaml").read_text()


def test_syncbn_of_one_process_on_the_cpu_is_batch_norm_and_says_so(run, finished):
    done = run.must("finetune", "-o", "finetune.norm=SyncBN", "--shard", "1", out="sync")
    assert done.stderr.count("SyncBN of one process is plain batch norm") == 1
    found = lines(run.folder / "sync.part/00001")
    assert found == lines(finished.folder / "finetune/00001")
