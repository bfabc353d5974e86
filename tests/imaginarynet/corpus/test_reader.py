"""A corpus that cannot be read ends a command in one line that names the file and what to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from experiments.imaginarynet.learn.corpus import Corpus, read_corpus, write_corpus
from suite.errors import EXIT_BAD_INPUT, EXIT_MISSING, BadInput, guard


@pytest.fixture
def folder(tmp_path) -> Path:
    pictures = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    corpus = Corpus(
        pictures=pictures, captions=("a mug", "a lemon", "a photo of a mug"),
        class_ids=np.array([1, 0, 1]), class_names=("lemon", "mug"),
        split=np.array(["train", "val", "train"]),
    )  # fmt: skip
    write_corpus(tmp_path / "corpus", corpus, ids=["000000", "000001", "000002"], made={})
    return tmp_path / "corpus"


def change_row(**changes: object) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / "captions.jsonl"
        lines = path.read_text().splitlines()
        lines[1] = json.dumps(json.loads(lines[1]) | changes)
        path.write_text("\n".join(lines) + "\n")

    return damage


def change_listing(**changes: object) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / "corpus.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return damage


def cut(name: str, keep: int) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:keep])


def put_archive(folder: Path) -> None:
    with (folder / "images.npy").open("wb") as stream:
        np.savez(stream, pictures=np.zeros((3, 8, 8, 3), dtype=np.uint8))


def put_objects(folder: Path) -> None:
    np.save(folder / "images.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)


BAD = {
    "cut picture file": (cut("images.npy", 300), "images.npy", "cannot be read as .npy"),
    "empty picture file": (cut("images.npy", 0), "images.npy", "cannot be read as .npy"),
    "archive": (put_archive, "images.npy", "not a single array"),
    "pickled": (put_objects, "images.npy", "cannot be read as .npy"),
    "floats": (lambda f: np.save(f / "images.npy", np.zeros((3, 8, 8, 3))), "images.npy", "float64 (3, 8, 8"),
    "cut captions": (cut("captions.jsonl", 250), "captions.jsonl", "line 2: not a row"),
    "not a row": (
        lambda f: (f / "captions.jsonl").write_text("[1]\n"),
        "captions.jsonl",
        "line 1: not a row",
    ),
    "unknown class": (change_row(**{"class": "sofa"}), "captions.jsonl", "line 2: class or split unknown"),
    "unknown split": (change_row(split="test"), "captions.jsonl", "line 2: class or split unknown"),
    "too few": (change_listing(pictures=4), "corpus", "3 pictures, 3 captions, 4 in corpus.json"),
    "no classes": (change_listing(classes=[]), "captions.jsonl", "line 1: class or split unknown"),
}
GONE = {name: name for name in ("images.npy", "captions.jsonl", "corpus.json")}


@pytest.mark.parametrize(("damage", "name", "said"), BAD.values(), ids=BAD)
def test_a_wrong_corpus_is_bad_input_in_one_line(folder, capsys, damage, name, said):
    damage(folder)
    assert guard(lambda: read_corpus(folder) and None) == EXIT_BAD_INPUT
    told = capsys.readouterr().err
    assert told.startswith("error: ") and told.count("\n") == 1
    assert str(folder / name if name != "corpus" else folder) in told
    assert said in told
    assert told.endswith("; make it again (make t2i-corpus), or check --corpus\n")


@pytest.mark.parametrize("name", GONE)
def test_a_file_that_is_not_there_is_missing_in_one_line(folder, capsys, name):
    (folder / name).unlink()
    assert guard(lambda: read_corpus(folder) and None) == EXIT_MISSING
    told = capsys.readouterr().err
    assert told.startswith(f"error: {folder / name}: ") and told.count("\n") == 1
    assert "make t2i-corpus" in told


def test_a_listing_that_a_kill_cut_short_counts_as_an_unfinished_corpus(folder, capsys):
    cut("corpus.json", 20)(folder)
    assert guard(lambda: read_corpus(folder) and None) == EXIT_MISSING
    assert "no finished corpus" in capsys.readouterr().err


def test_a_corpus_that_is_written_again_is_unfinished_until_its_listing_is_there(folder, monkeypatch):
    corpus = read_corpus(folder)
    monkeypatch.setattr(np, "save", lambda *_, **__: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(OSError, match="full"):
        write_corpus(folder, corpus, ids=["0", "1", "2"], made={})
    assert not (folder / "corpus.json").exists()


def test_pictures_and_captions_of_different_number_are_not_written(folder, tmp_path):
    corpus = read_corpus(folder)
    with pytest.raises(BadInput, match="differ in number"):
        write_corpus(tmp_path / "new", corpus, ids=["0", "1"], made={})
    assert not (tmp_path / "new").exists()
