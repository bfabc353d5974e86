"""Both faces of the command line: by hand with the published flags, and as stages of a run."""

import json
import os
import re
import subprocess
import sys

import pytest

from experiments.dense_detector.checkpoint import load_checkpoint
from experiments.dense_detector.cli import build_parser, main
from experiments.dense_detector.flags import settings_of
from suite.overall.figure_files import read_figures
from tests.dense_detector.chain import ROOT, Chain, make_sets

SMALL = [
    "--resize",
    "64",
    "32",
    "--classes",
    "all",
    "--head_width",
    "8",
    "--batch_size",
    "4",
    "--max_steps",
    "2",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Mini-coco, and a database with its split train."""
    folder = tmp_path_factory.mktemp("cli")
    make_sets(folder / "sets")
    words = ["--coco", str(folder / "sets/train/annotations.json"), "--images", images(folder, "train")]
    assert main(["import", *words, "--out", str(folder / "train.db")]) == 0
    val = ["--coco", str(folder / "sets/val/annotations.json"), "--split", "val"]
    assert main(["import", *val, "--out", str(folder / "val.db")]) == 0
    return folder


def images(folder, split):
    return str(folder / "sets" / split / "images")


def train(folder, out, *more):
    words = ["--db", str(folder / "train.db"), "--images", images(folder, "train"), "--out", str(out)]
    return main(["train", *words, *SMALL, *more])


def flags(*words):
    return settings_of(build_parser().parse_args(["train", "--db", "x", "--images", "y", *words]))


def test_the_published_command_trains_says_the_size_and_leaves_a_checkpoint(folder, tmp_path):
    words = [
        "--db",
        folder / "train.db",
        "--images",
        images(folder, "train"),
        "--device",
        "cpu",
        "--resize",
        "64",
    ]
    words += ["32", "--epochs", "1", "--batch_size", "4", "--head_width", "8", "--max_steps", "1"]
    line = [sys.executable, "experiments/dense_detector/train.py", *words, "--out", tmp_path / "run"]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    env.pop("PYTHONPATH", None)
    done = subprocess.run(line, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "height 32, width 64" in done.stderr
    assert {"last.pt", "best.pt", "run.json", "summary.json"} <= {
        p.name for p in (tmp_path / "run").iterdir()
    }


def test_train_eval_and_predict_by_hand(folder, tmp_path, capsys):
    assert train(folder, tmp_path / "run") == 0
    ckpt = str(tmp_path / "run/best.pt")
    words = ["--ckpt", ckpt, "--db", str(folder / "val.db"), "--images", images(folder, "val")]
    assert main(["eval", *words, "--out", str(tmp_path / "eval")]) == 0
    assert "ap50" in capsys.readouterr().out
    assert (tmp_path / "eval/results.csv").read_text().startswith("arm,metric,value\nbest,ap,")
    picture = next(iter(sorted((folder / "sets/val/images").iterdir())))
    words = ["--ckpt", ckpt, "--image", str(picture), "--out", str(tmp_path / "found.png")]
    assert main(["predict", *words, "--filter_conf", "0"]) == 0
    rows = json.loads((tmp_path / "found.json").read_text())
    assert rows and {"name", "category_id", "score", "box_xyxy"} == set(rows[0])
    assert all(0 <= row["box_xyxy"][0] <= row["box_xyxy"][2] <= 160 for row in rows)


def test_a_second_run_into_the_same_folder_needs_resume(folder, tmp_path, capsys):
    assert train(folder, tmp_path / "run") == 0
    assert train(folder, tmp_path / "run") == 2
    assert "--resume" in capsys.readouterr().err
    assert train(folder, tmp_path / "run", "--resume", "--max_steps", "3") == 0
    assert load_checkpoint(tmp_path / "run/last.pt")["step"] == 3
    assert train(folder, tmp_path / "none", "--resume") == 2


def test_stats_and_verify_say_what_is_there(folder, capsys):
    assert main(["stats", str(folder / "train.db")]) == 0
    assert main(["verify", str(folder / "train.db"), "--images", images(folder, "train")]) == 0
    out = capsys.readouterr().out
    assert "person" in out and "12 pictures, 0 left out" in out


def test_the_flags_are_names_of_settings():
    config = flags(
        "--pos_anchor_iou", "0.7", "--neg_anchor_iou", "0.5", "--lr", "0.02", "--area", "100", "900"
    )
    assert (config.assign.pos_iou, config.assign.neg_iou, config.train.lr) == (0.7, 0.5, 0.02)
    assert config.data.area == (100, 900)
    assert flags("--resize", "128", "64").data.size_wh == (128, 64)
    assert flags("--box_head", "none").model.box_head == "none"
    assert flags("--loss", "bce").loss.kind == "bce"
    assert flags("--classes", "person,dog").data.classes == ("person", "dog")
    assert flags("--classes", "all").data.classes is None
    assert flags("--preset", "research").model.network.head_channels == 128
    assert flags("-o", "train.warmup_steps=7", "--epochs", "3").train.warmup_steps == 7


def test_the_defaults_are_those_of_the_readme():
    config = flags()
    assert (config.train.batch_size, config.train.epochs, config.train.lr) == (16, 10, 1e-3)
    assert (config.train.optim, config.train.weight_decay, config.data.size_wh) == ("adamw", 1e-4, (128, 64))
    assert (config.data.classes, config.model.network.head_channels) == (("person",), 256)


def test_compat_is_the_published_behaviour():
    config = flags("--compat")
    assert (config.model.box_head, config.model.flatten, config.anchors.grid) == (
        "none",
        "published",
        "published",
    )
    assert (config.loss.alpha, config.loss.detach_weight, config.train.shuffle) == (None, True, False)
    assert config.evaluate.batch_norm == "batch"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--classes", "persn"], "did you mean person"),
        (["--resize", "0", "64"], "data.size_wh"),
        (["--area", "1e9", "2e9"], "empty"),
        (["--area", "9", "4"], "data.area"),
        (["--box_head", "all"], "delta, none"),
        (["--batch_size", "0"], "train.batch_size"),
        (["-o", "train.lrr=1"], "did you mean"),
        (["--seed", "-1"], "--seed"),
        (["--db", "/nowhere/train.db"], "no such database"),
    ],
)
def test_wrong_input_ends_in_one_line_and_exit_code_2(folder, tmp_path, capsys, words, said):
    assert train(folder, tmp_path / "run", *words) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("error: ") and said in lines[-1]
    assert "Traceback" not in "".join(lines)


@pytest.mark.parametrize("fault", ["missing", "cut off"])
def test_a_picture_that_cannot_be_read_is_named(folder, tmp_path, capsys, fault):
    make_sets(tmp_path / "sets")
    picture = sorted((tmp_path / "sets/train/images").iterdir())[0]
    if fault == "missing":
        picture.unlink()
    else:
        picture.write_bytes(picture.read_bytes()[:600])
    words = [
        "--db",
        str(folder / "train.db"),
        "--images",
        images(tmp_path, "train"),
        "--out",
        str(tmp_path / "r"),
    ]
    assert main(["train", *words, *SMALL]) == 2
    assert picture.name in capsys.readouterr().err.strip().splitlines()[-1]


def test_an_eval_of_other_classes_is_refused(folder, tmp_path, capsys):
    assert train(folder, tmp_path / "run") == 0
    tree = json.loads((folder / "sets/val/annotations.json").read_text())
    tree["categories"].append({"id": 90, "name": "toothbrush"})
    (tmp_path / "more.json").write_text(json.dumps(tree))
    words = ["--coco", str(tmp_path / "more.json"), "--split", "val", "--out", str(tmp_path / "more.db")]
    assert main(["import", *words]) == 0
    words = ["--ckpt", str(tmp_path / "run/best.pt"), "--db", str(tmp_path / "more.db")]
    assert main(["eval", *words, "--images", images(folder, "val")]) == 2
    assert "toothbrush" in capsys.readouterr().err


def test_as_stages_the_chain_ends_in_a_report_and_a_second_call_does_nothing(tmp_path, capsys):
    chain = Chain(make_sets(tmp_path / "sets"), tmp_path / "run")
    chain.must("import", "verify", "train", "eval", "report")
    summary = json.loads((tmp_path / "run/eval/summary.json").read_text())
    assert set(summary["arms"]) == {"ours", "compat", "anchor oracle", "mean box"}
    assert summary["variants"]["ours"]["own_share"] == 1 > summary["variants"]["compat"]["own_share"]
    page = (tmp_path / "run/report/index.html").read_text()
    assert all(text in page for text in ("ours", "compat", "anchor oracle", "mean box", "not published"))
    assert not re.search(r"(src|href|url)\W{1,2}http|<script", page)  # nothing is fetched
    figures = read_figures(tmp_path / "run/report")
    assert {row["name"] for row in figures} == {"curve0", "curve1", "curve2", "found", "heat"}
    capsys.readouterr()
    chain.must("import", "verify", "train", "eval", "report")
    assert capsys.readouterr().out.count("up to date") == 5
