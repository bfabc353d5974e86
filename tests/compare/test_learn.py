"""Cells that learn: interrupted ones end as others do, masks that are not known teach nothing, the page."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("torch")

import torch

from experiments.compare.cells import dense
from experiments.compare.cells.grid import cells
from experiments.compare.cells.pictures import load_lesson
from experiments.compare.config import CONFIG
from experiments.compare.stages import stages_of
from suite.config import load_config
from suite.errors import Stopped
from suite.provenance import ROOT
from suite.stage import STOP, Job
from tests.compare.sets import write_arm, write_target

FEW = ["arms=[real,pasted]", "cells.detectors=[dense]", "cells.real=[0,3]"]
SHORT = ["cells.mask_rcnn.iterations=3", "cells.dense.iterations=5"]


@pytest.fixture
def make(tmp_path):
    """`make(stage, *overrides)`: a job of a comparison of rectangles; its inputs lie beside it."""
    words = write_target(tmp_path / "target")
    write_arm(tmp_path / "run/pasted")

    def job(name, *overrides, run="run"):
        path = ROOT / "experiments/compare/configs/tiny.yaml"
        config = load_config(CONFIG, path, [*words, *FEW, *SHORT, *overrides])
        stage = stages_of(config)[name]
        inputs = {one: tmp_path / ("run" if one == "pasted" else run) / one for one in stage.inputs}
        out = tmp_path / run / name
        return Job(stage=stage, config=config, seed=0, device="cpu", inputs=inputs, out=out)

    return job


def results(folder: Path) -> dict[str, bytes]:
    """What the cells left, but for the manifests, which hold the clock."""
    files = sorted(path for path in folder.glob("?????/*.json*") if path.name != "manifest.json")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def stop_after(monkeypatch, steps: int) -> None:
    """As if SIGTERM came after so many updates."""
    update, seen = dense.Descent.update, []

    def counted(*args):
        seen.append(1)
        if len(seen) == steps:
            STOP._set()
        return update(*args)

    monkeypatch.setattr(dense.Descent, "update", counted)
    monkeypatch.setattr(STOP, "is_set", False)


def test_a_stopped_comparison_goes_on_by_cell_and_by_update_and_ends_with_the_same_figures(
    make, monkeypatch, tmp_path
):
    make("cells", run="whole").run()
    with monkeypatch.context() as patch, pytest.raises(Stopped):
        stop_after(patch, 8)  # in the second of three cells
        make("cells").run()
    job = make("cells")
    assert job.list_missing() == [1, 2]
    job.run()
    whole = results(tmp_path / "whole/cells")
    assert results(tmp_path / "run/cells") == whole
    assert len(whole) == 3 * 3  # cell.json, metrics.jsonl, key.json
    assert not make("cells").run()  # up to date


def test_table_and_page_of_a_finished_comparison(make, tmp_path):
    for name in ("cells", "table", "report"):
        make(name).run()
    page = (tmp_path / "run/report/index.html").read_text()
    assert not re.findall(r"""(?:src|href)=["']?(?:https?:)?//""", page)
    tree = json.loads((tmp_path / "run/report/summary.json").read_text())
    assert [row["title"] for row in tree["table"]] == [
        "3 real pictures only", "pasted samples", "pasted samples + 3 real",
    ]  # fmt: skip
    assert [row["data_cpu_hours"] for row in tree["table"]] == [0, 7 / 3600, 7 / 3600]
    assert all(row["training_cpu_hours"] > 0 for row in tree["table"])
    figures = json.loads((tmp_path / "run/report/figures/figures.json").read_text())
    assert [row["name"] for row in figures] == ["comparison", "samples-0", "samples-1"]


def test_the_dense_detector_learns_to_find_rectangles(make):
    job = make("cells", "cells.dense.iterations=80", "arms=[real]", "cells.real=[6]")
    job.run()
    short = make("cells", "arms=[real]", "cells.real=[6]", run="short")
    short.run()
    aps = [json.loads((one.out / "00000/cell.json").read_text())["ap50"] for one in (job, short)]
    assert aps[0] > aps[1]


@pytest.fixture
def mask_rcnn():
    pytest.importorskip("detectron2")
    from experiments.compare.cells import mask_rcnn

    return mask_rcnn


@pytest.mark.parametrize("masks", [True, False])
def test_the_mask_head_learns_from_known_masks_only(make, mask_rcnn, masks, tmp_path):
    from detectron2.utils.events import EventStorage

    from experiments.solid.learn.finetune.cfg import build, effective, finetune_cfg

    config = make("cells", "cells.detectors=[mask-rcnn]", "cells.real=[0]").config
    folder = write_arm(tmp_path / "arm", masks=masks)
    lesson = load_lesson(config, cells(config)[0], folder, seed=0)
    own = mask_rcnn.settings(config.cells.mask_rcnn)
    cfg = mask_rcnn.with_own_heads(finetune_cfg(own, num_classes=2, device="cpu"))
    torch.manual_seed(0)
    model = build(cfg).train()
    data = mask_rcnn.TrainingData(lesson.pictures, lesson.order)
    tune = effective(own, cfg).finetune
    batch = next(data.batches(tune, seed=0, device=torch.device("cpu"), start_step=0, stop_step=1))
    with EventStorage(0):
        losses = model(batch)
    sum(losses.values()).backward()
    grads = [p.grad for p in model.roi_heads.mask_head.parameters()]
    moved = any(grad is not None and bool(grad.abs().max() > 0) for grad in grads)
    assert moved == masks
    assert (losses["loss_mask"].item() > 0) == masks
    assert any(bool(p.grad.abs().max() > 0) for p in model.roi_heads.box_head.parameters())


def test_a_cell_of_mask_rcnn_begins_with_the_weights_of_its_arm(make, mask_rcnn, tmp_path, monkeypatch):
    from experiments.solid.learn.engine.checkpoint import save_model
    from experiments.solid.learn.finetune.cfg import build, finetune_cfg

    job = make("cells", "cells.detectors=[mask-rcnn]", "arms=[real]", "cells.real=[3]")
    own = mask_rcnn.settings(job.config.cells.mask_rcnn)
    torch.manual_seed(5)
    source = build(finetune_cfg(own, num_classes=7, device="cpu"))
    save_model(tmp_path / "weights.pth", source.state_dict())
    seen = {}

    def look(ctx, cfg, tune, *, model, device, batches):
        seen.update({name: value.clone() for name, value in model.state_dict().items()})

    monkeypatch.setattr(mask_rcnn.finetuning, "train", look)
    lesson = load_lesson(job.config, cells(job.config)[0], None, seed=0)
    ctx = SimpleNamespace(device="cpu", seed=0, check_stop=lambda: None, warn=lambda text: None)
    monkeypatch.setattr(mask_rcnn, "replace", lambda context, **_: context)
    training = job.config.cells.mask_rcnn
    mask_rcnn.train_and_detect(ctx, training, lesson, seed=0, weights=tmp_path / "weights.pth")
    name = "backbone.bottom_up.stem.conv1.weight"
    assert torch.equal(seen[name], source.state_dict()[name])
    assert seen["roi_heads.box_predictor.cls_score.weight"].shape[0] == 3  # two classes and background
