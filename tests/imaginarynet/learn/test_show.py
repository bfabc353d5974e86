"""Curves and sheets of trainings: every column is drawn, every picture is where its title says."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pytest
from PIL import Image

from experiments.imaginarynet.cli import main
from experiments.imaginarynet.learn import show, show_command
from experiments.imaginarynet.learn.corpus import Corpus, write_corpus
from experiments.imaginarynet.sheets import CELL, GAP, HEAD
from suite.errors import BadInput, Missing

COLUMNS = "step,loss,l1,psnr,perplexity,val_accuracy,val_kept,calibrated_scale,speed"
CLASSES = ("lemon", "mug", "tree")


def corpus_of(side: int, count: int = 24) -> Corpus:
    pictures = np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    ids = np.arange(count) % 3
    return Corpus(
        pictures=pictures, captions=tuple(f"a photo of a {CLASSES[k]}" for k in ids), class_ids=ids,
        class_names=CLASSES, split=np.where(np.arange(count) % 4 == 0, "val", "train").astype("<U5"),
    )  # fmt: skip


def folder_of(path, side: int):
    """A corpus on the disk."""
    made = corpus_of(side)
    write_corpus(path, made, ids=[f"{k:06d}" for k in range(len(made))], made={})
    return path


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "run" / "curves.csv"
    path.parent.mkdir()
    rows = [f"{step},{9 / step},1,2{step},30,0.5,0.4,100,7" for step in range(1, 5)]
    path.write_text("\n".join([COLUMNS, *rows]) + "\n")
    return path


# --- curves ---


def test_every_column_is_drawn_in_one_plot(table, tmp_path):
    files = show.draw_curves(table, tmp_path / "out", name="run")
    assert [path.name for path in files] == [
        f"run-{name}.svg" for name in ("loss", "psnr", "codebook", "accuracy", "scale", "speed")
    ]
    texts = {path.name: path.read_text() for path in files}
    assert all(text.startswith("<svg") and text.rstrip().endswith("</svg>") for text in texts.values())
    assert ">l1<" in texts["run-loss.svg"] and ">val_kept<" in texts["run-accuracy.svg"]


def test_the_same_table_gives_the_same_bytes(table, tmp_path):
    one, other = (show.draw_curves(table, tmp_path / name, name="run") for name in ("a", "b"))
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in other]


def test_a_curve_has_the_steps_and_values_of_its_cells_and_passes_over_empty_ones():
    rows = [{"step": "5", "loss": "2.5", "psnr": ""}, {"step": "9", "loss": "", "psnr": "20"}]
    found = {name: curves for name, _, curves in show.panels(["loss", "psnr"], rows)}
    assert found == {"loss": {"loss": ([5.0], [2.5])}, "psnr": {"psnr": ([9.0], [20.0])}}
    assert not list(show.panels(["psnr"], rows[:1]))


def test_a_column_of_words_parts_the_curves(tmp_path):
    path = tmp_path / "curves.csv"
    path.write_text("model,step,loss,psnr\nvqgan,1,3,20\nvqgan,2,2,21\nclip,1,5,\n")
    files = show.draw_curves(path, tmp_path, name="all")
    assert [file.name for file in files] == ["all-vqgan-loss.svg", "all-vqgan-psnr.svg", "all-clip-loss.svg"]


@pytest.mark.parametrize("text", ["", "step,loss\n", "epoch,loss\n1,2\n"])
def test_a_table_without_steps_is_refused_by_name(tmp_path, text):
    path = tmp_path / "curves.csv"
    path.write_text(text)
    with pytest.raises(BadInput, match=re.escape(f"{path}: has no rows with a column `step`")):
        show.draw_curves(path, tmp_path, name="x")


# --- sheets ---


def tile(sheet, place: int, top: int):
    """Colour in the middle of a cell."""
    return tuple(sheet[top + HEAD + CELL // 2, GAP + place * (CELL + GAP) + CELL // 2])


def flat(*values: int) -> np.ndarray:
    return np.stack([np.full((8, 8, 3), value, dtype=np.uint8) for value in values])


def test_reconstructions_stand_below_their_pictures():
    values = list(range(10, 22))
    sheet = show.pair_sheet(flat(*values), flat(*[200 + v for v in values]), what="reconstructed")
    height = len(show.pair_sheet(flat(1), flat(2), what="x")) // 2
    assert len(sheet) == 4 * height
    for number, value in enumerate(values):
        row, place = divmod(number, 10)
        assert tile(sheet, place, 2 * row * height) == (value,) * 3
        assert tile(sheet, place, (2 * row + 1) * height) == (200 + value,) * 3


def test_every_prompt_has_its_row():
    sheet = show.prompt_sheet({"a mug": flat(50, 60), "a lemon": flat(70, 80)})
    half = len(sheet) // 2
    assert [tile(sheet, k, top)[0] for top in (0, half) for k in (0, 1)] == [50, 60, 70, 80]


def test_pictures_are_taken_from_the_classes_in_turn():
    held_out = corpus_of(8).part("val")
    rows = show.in_turn(held_out, 5)
    assert sorted(held_out.class_ids[rows[:3]]) == [0, 1, 2]
    assert len(set(rows.tolist())) == 5
    assert sorted(show.in_turn(held_out, 99).tolist()) == list(range(len(held_out)))


def test_accuracy_counts_each_class_by_itself_and_names_the_worst_confusion(tmp_path):
    corpus = Corpus(
        pictures=flat(*[0] * 5), captions=("",) * 5, class_ids=np.array([0, 0, 0, 1, 1]), class_names=CLASSES,
        split=np.array(["val"] * 5),
    )  # fmt: skip
    scores = np.eye(3)[[0, 2, 2, 1, 1]]
    rows = show.accuracy_rows(scores, corpus)
    assert [(row["class"], row["pictures"]) for row in rows] == [("lemon", 3), ("mug", 2)]  # no tree there
    assert [row["accuracy"] for row in rows] == [pytest.approx(1 / 3), 1.0]
    assert [row["most_often_taken_for"] for row in rows] == ["tree", ""]
    picture, listed = show.draw_accuracy(rows, tmp_path, name="clip")
    assert "lemon (3)" in picture.read_text()
    assert listed.read_text().splitlines()[0] == "class,pictures,accuracy,most_often_taken_for"


# --- the command ---


def call(*words: object) -> int:
    return main(["show-training", *map(str, words)])


def test_a_folder_that_no_training_made_is_missing_in_one_line(tmp_path, capsys):
    assert call(tmp_path, "--corpus", tmp_path, "--out", tmp_path / "out") == 3
    assert capsys.readouterr().err == (
        f"error: {tmp_path}: nothing there that a training made; give the --out of a training command\n"
    )


def test_a_part_that_is_asked_for_and_not_there_is_missing(table):
    with pytest.raises(Missing, match="no vqgan and no clip there"):
        show_command.parts_of(table.parent, ["curves", "vqgan", "clip"])
    assert show_command.parts_of(table.parent, None) == ["curves"]


@pytest.mark.parametrize(
    ("words", "said"),
    [(["--per-class", "0"], "--per-class 0: must be 1"), (["--template", "a mug"], "has no {c}")],
)
def test_a_wrong_flag_is_one_line(table, capsys, words, said):
    assert call(table.parent, "--corpus", "none", "--out", "none", *words) == 2
    assert said in capsys.readouterr().err


def test_what_this_python_has_no_framework_for_is_said_and_passed_over(table, tmp_path, capsys, monkeypatch):
    (table.parent / "clip").mkdir()
    monkeypatch.setattr(show_command, "find_spec", lambda name: None)
    assert call(table.parent, "--corpus", tmp_path, "--out", tmp_path / "out") == 0
    assert "run: clip passed over, this Python has no torch" in capsys.readouterr().out
    assert len(list((tmp_path / "out").glob("*.svg"))) == 6


@pytest.mark.slow
def test_reconstructions_and_samples_of_dall_e_mini(tmp_path, capsys):
    pytest.importorskip("jax", reason="needs the toolchain jax")
    from tests.imaginarynet.tiny_models import VQGAN, write_models

    trained, corpus = tmp_path / "tiny", folder_of(tmp_path / "corpus", VQGAN.resolution)
    write_models(trained)
    words = ["--corpus", corpus, "--out", tmp_path / "out", "--classes", "mug,lemon", "--per-class", 3]
    assert call(trained, *words) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "tiny-dallebart.png", "tiny-vqgan.png",
    ]  # fmt: skip
    before = (tmp_path / "out" / "tiny-dallebart.png").read_bytes()
    assert call(trained, *words, "--parts", "dallebart") == 0
    assert (tmp_path / "out" / "tiny-dallebart.png").read_bytes() == before
    with Image.open(tmp_path / "out" / "tiny-dallebart.png") as sheet:
        tiles = np.asarray(sheet)[HEAD + 3 : HEAD + CELL - 3]
    first, second = (tiles[:, GAP + k * (CELL + GAP) + 3 : GAP + k * (CELL + GAP) + CELL - 3] for k in (0, 1))
    assert first.shape == second.shape and not (first == second).all()  # each has a seed of its own
    capsys.readouterr()
    shutil.rmtree(trained / "vqgan")
    assert call(trained, *words) == 3
    assert "no vqgan for dallebart (config.json); give --vqgan DIR" in capsys.readouterr().err


@pytest.mark.slow
def test_samples_of_a_pipeline_and_classes_of_a_clip(tmp_path):
    pytest.importorskip("diffusers", reason="needs the toolchain detectron2")
    from tests.imaginarynet.clip.tiny_clip import write_clip
    from tests.imaginarynet.diffusion.tiny_pipeline import SIZE, write_pipeline

    trained, corpus = tmp_path / "tiny", folder_of(tmp_path / "corpus", SIZE.side)
    write_pipeline(trained / "diffusion")
    write_clip(trained / "clip")
    words = ["--corpus", corpus, "--out", tmp_path / "out", "--per-class", 2, "--steps", 2]
    assert call(trained, *words) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "tiny-clip-classes.csv", "tiny-clip-classes.svg", "tiny-diffusion.png",
    ]  # fmt: skip
    with Image.open(tmp_path / "out" / "tiny-diffusion.png") as sheet:
        assert sheet.height == 3 * len(show.prompt_sheet({"a": flat(1)}))  # a row for each class
