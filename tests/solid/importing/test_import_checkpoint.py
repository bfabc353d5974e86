"""`import-checkpoint`: every tensor of a released file is taken, or named with the reason."""

from __future__ import annotations

import json
import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the detectron2 toolchain")

from experiments.solid.config import SolidConfig  # noqa: E402
from experiments.solid.importing import checkpoint as module  # noqa: E402
from experiments.solid.learn.engine.checkpoint import load_model_tensors  # noqa: E402
from experiments.solid.learn.finetune.cfg import build, finetune_cfg  # noqa: E402
from experiments.solid.learn.finetune.transfer import transfer  # noqa: E402
from experiments.solid.learn.pretrain.lazy import lazy_pretrain, make  # noqa: E402
from suite.config import load_config  # noqa: E402
from suite.errors import BadInput  # noqa: E402

ROOT = Path(__file__).resolve().parents[3]
TINY = load_config(SolidConfig, ROOT / "experiments/solid/configs/tiny.yaml")
NUM_INSTANCES, NUM_CLASSES = 7, 4
# Which families a fine-tuning takes from a pre-training checkpoint (the published table).
TAKEN = re.compile(
    r"(backbone\.bottom_up|backbone\.fpn_\w+|proposal_generator\.rpn_head|roi_heads\.box_head"
    r"|roi_heads\.mask_head\.(mask_fcn\d|deconv))\."
)
SKIPPED = re.compile(r"roi_heads\.(box_predictor\.(cls_score|bbox_pred)|mask_head\.predictor)\.(weight|bias)")
IGNORED = re.compile(r"(backbone_k|roi_heads_k)\.|queue(_ids)?$")


@pytest.fixture(scope="module")
def released() -> dict:
    """A checkpoint as detectron2's PeriodicCheckpointer writes it, of the tiny architecture."""
    torch.manual_seed(3)
    model = make(
        lazy_pretrain(TINY, num_classes=NUM_INSTANCES, seed=0, device="cpu"), torch.device("cpu")
    ).model
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    return {
        "model": {name: value.clone() for name, value in model.state_dict().items()},
        "optimizer": optimizer.state_dict(),
        "scheduler": {"base_lrs": [0.1], "last_epoch": 749999},
        "grad_scaler": {"scale": 65536.0},
        "iteration": 749999,
    }


def run(file: Path, out: Path, *words: str) -> list[str]:
    flags = ["--scale", "tiny", "--num-classes", str(NUM_CLASSES)]
    return list(module.run(module.parser().parse([str(file), "--out", str(out), *flags, *words])))


def report(out: Path) -> dict:
    return json.loads((out / "import.json").read_text())


def test_a_pre_training_checkpoint_is_taken_whole_and_its_other_content_is_named(released, tmp_path):
    torch.save(released, tmp_path / "model_0749999.pth")
    lines = run(tmp_path / "model_0749999.pth", tmp_path / "out")
    tree = report(tmp_path / "out")
    assert (tree["kind"], tree["num_classes"]) == ("pre-training", NUM_INSTANCES)
    assert tree["taken"] == sorted(released["model"])
    assert tree["skipped"] == {}
    assert tree["unknown"] == tree["absent"] == []
    assert tree["not_tensors"] == ["grad_scaler", "iteration", "optimizer", "scheduler"]
    assert "left out optimizer: no part of the model" in lines
    kept = load_model_tensors(tmp_path / "out" / "model.pth")
    assert all(torch.equal(kept[name], value) for name, value in released["model"].items())


def test_what_a_fine_tuning_will_load_is_the_published_list(released, tmp_path):
    torch.save(released, tmp_path / "m.pth")
    run(tmp_path / "m.pth", tmp_path / "out")
    tune = report(tmp_path / "out")["finetune"]
    assert set(tune["loaded"]) == {n for n in released["model"] if TAKEN.match(n)}
    assert set(tune["skipped"]) == {n for n in released["model"] if SKIPPED.fullmatch(n)}
    assert len(tune["skipped"]) == 6
    assert set(tune["ignored"]) == {n for n in released["model"] if IGNORED.match(n)}
    assert tune["untouched"] == []


def test_the_result_is_what_fine_tuning_loads(released, tmp_path):
    torch.save(released, tmp_path / "m.pth")
    run(tmp_path / "m.pth", tmp_path / "out")
    model = build(finetune_cfg(TINY, num_classes=NUM_CLASSES, device="cpu"))
    path = tmp_path / "out" / "model.pth"
    moved = transfer(model, load_model_tensors(path), file=path)
    assert moved.to_tree() == {
        name: value for name, value in report(tmp_path / "out")["finetune"].items() if name != "num_classes"
    }
    own = model.state_dict()
    assert all(torch.equal(own[name], released["model"][name]) for name in moved.loaded)


def test_the_prefix_of_data_parallel_training_is_dropped(released, tmp_path):
    wrapped = {f"module.{name}": value for name, value in released["model"].items()}
    torch.save({"model": wrapped}, tmp_path / "m.pth")
    run(tmp_path / "m.pth", tmp_path / "out")
    assert report(tmp_path / "out")["taken"] == sorted(released["model"])


def test_other_shapes_other_names_and_what_is_absent_are_reported_one_by_one(released, tmp_path):
    changed = dict(released["model"])
    del changed["roi_heads.box_head.fc2.bias"]
    changed["proposal_generator.anchor_generator.cell_anchors.0"] = torch.zeros(3, 4)
    changed["backbone.fpn_output2.weight"] = torch.zeros(2, 3, 3, 3)
    torch.save({"model": changed}, tmp_path / "m.pth")
    lines = run(tmp_path / "m.pth", tmp_path / "out")
    assert any(
        line.startswith("skipped  backbone.fpn_output2.weight: [2, 3, 3, 3] there, ") for line in lines
    )
    assert "unknown  proposal_generator.anchor_generator.cell_anchors.0: no such tensor here" in lines
    assert "absent   roi_heads.box_head.fc2.bias: not in the checkpoint" in lines
    kept = load_model_tensors(tmp_path / "out" / "model.pth")
    assert set(kept) == set(released["model"]) - {
        "roi_heads.box_head.fc2.bias",
        "backbone.fpn_output2.weight",
    }


def test_a_fine_tuned_detector_keeps_its_classifier(tmp_path):
    torch.manual_seed(5)
    model = build(finetune_cfg(TINY, num_classes=NUM_CLASSES, device="cpu"))
    torch.save({"model": model.state_dict(), "iteration": 89999}, tmp_path / "m.pth")
    run(tmp_path / "m.pth", tmp_path / "out")
    tree = report(tmp_path / "out")
    assert (tree["kind"], tree["num_classes"]) == ("detector", NUM_CLASSES)
    assert tree["taken"] == sorted(model.state_dict())


class Payload:
    """What a pickle may do."""

    def __reduce__(self):
        return print, ("the payload ran",)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"model": {"a": torch.zeros(1)}, "hook": Payload()}, r"holds more than tensors \(\S*print\)"),
        ({"model": {"a": np.zeros(3)}}, r"holds more than tensors \(numpy"),
        ({"model": {"x": 1}}, "holds no named tensors"),
        ({"model": {"a": torch.zeros(2)}}, "no tensor of this checkpoint fits the model"),
    ],
)
def test_files_with_more_or_less_than_tensors_are_refused_with_the_reason(tmp_path, content, reason, capfd):
    torch.save(content, tmp_path / "m.pth")
    with pytest.raises(BadInput, match=reason) as caught:
        run(tmp_path / "m.pth", tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert "the payload ran" not in capfd.readouterr().out


def test_pickles_of_the_model_zoo_and_damaged_files_are_refused(tmp_path):
    (tmp_path / "model_final.pkl").write_bytes(pickle.dumps({"model": {"a": np.zeros(2)}}))
    with pytest.raises(BadInput, match="pickles are not read, because loading one runs the code in it"):
        run(tmp_path / "model_final.pkl", tmp_path / "out")
    (tmp_path / "cut.pth").write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(BadInput, match="no readable checkpoint"):
        run(tmp_path / "cut.pth", tmp_path / "out")
    with pytest.raises(BadInput, match="no such checkpoint"):
        run(tmp_path / "gone.pth", tmp_path / "out")


@pytest.mark.slow
def test_the_public_command_and_a_fine_tuning_from_its_result(released, tmp_path):
    from tests.solid.learn.finetune.runs import Run

    torch.save(released, tmp_path / "m.pth")
    line = [sys.executable, "-m", "experiments.solid", "import-checkpoint", str(tmp_path / "m.pth")]
    line += ["--scale", "tiny", "--num-classes", "3", "--out", str(tmp_path / "out")]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    run_of = Run(tmp_path / "run", (f"finetune.weights={tmp_path / 'out' / 'model.pth'}",))
    run_of.must("finetune", "--shard", "0")
    moved = json.loads((tmp_path / "run" / "finetune.part" / "00000" / "transfer.json").read_text())
    foretold = report(tmp_path / "out")["finetune"]
    assert moved["loaded"] == foretold["loaded"]
    assert moved["skipped"].keys() == foretold["skipped"].keys()
