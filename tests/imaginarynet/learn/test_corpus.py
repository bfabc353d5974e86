"""The folder of captioned pictures: what is written is read, and a wrong one says so."""

from __future__ import annotations

import json

import numpy as np
import pytest

from experiments.imaginarynet.learn.corpus import Corpus, read_corpus, write_corpus
from suite.errors import BadInput, Missing


@pytest.fixture
def corpus():
    pictures = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
    return Corpus(
        pictures=pictures, captions=tuple(f"a photo of thing {k}" for k in range(5)),
        class_ids=np.array([1, 0, 1, 1, 0]), class_names=("lemon", "mug"),
        split=np.array(["train", "train", "val", "train", "val"]),
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path, corpus):
    write_corpus(tmp_path, corpus, ids=[f"{k:06d}" for k in range(5)], made={"seed": 3})
    return tmp_path


def test_what_is_written_is_read(folder, corpus):
    read = read_corpus(folder, check_digests=True)
    assert np.array_equal(read.pictures, corpus.pictures)
    assert read.captions == corpus.captions
    assert read.class_names == corpus.class_names
    assert read.class_ids.tolist() == corpus.class_ids.tolist()
    assert read.split.tolist() == corpus.split.tolist()
    assert json.loads((folder / "corpus.json").read_text())["seed"] == 3


def test_the_splits_part_the_pictures(folder, corpus):
    train, val = (read_corpus(folder).part(name) for name in ("train", "val"))
    assert len(train) + len(val) == len(corpus)
    assert val.captions == ("a photo of thing 2", "a photo of thing 4")
    assert np.array_equal(val.pictures, corpus.pictures[[2, 4]])
    assert val.class_ids.tolist() == [1, 0]
    with pytest.raises(BadInput, match="test"):
        train.part("test")


def test_a_changed_picture_is_found_by_its_digest(folder, corpus):
    changed = corpus.pictures.copy()
    changed[3, 0, 0, 0] ^= 1
    np.save(folder / "images.npy", changed)
    read_corpus(folder)
    with pytest.raises(BadInput, match="000003"):
        read_corpus(folder, check_digests=True)


def test_no_folder_is_missing(tmp_path):
    with pytest.raises(Missing, match="corpus.json"):
        read_corpus(tmp_path / "none")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("captions.jsonl", '{"id": "0"}\n', "line 1"),
        ("captions.jsonl", "", "5 pictures, 0 captions"),
        ("images.npy", "text", "npy"),
    ],
)
def test_a_damaged_file_is_named(folder, name, text, said):
    (folder / name).write_text(text)
    with pytest.raises(BadInput, match=said) as caught:
        read_corpus(folder)
    assert str(folder) in str(caught.value)


def test_pictures_of_another_kind_are_refused(folder):
    np.save(folder / "images.npy", np.zeros((5, 8, 6, 3), dtype=np.uint8))
    with pytest.raises(BadInput, match="expected uint8"):
        read_corpus(folder)
