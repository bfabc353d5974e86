"""The maker of the corpus without rendering: checkpoints become one folder whose files agree. No Blender."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from assets.make.t2i_corpus import assemble, make, num_done, open_work, sheet
from assets.make.t2i_corpus_plan import CHUNK, SEED, VERSION, checkpoint, chunks, rows_of
from assets.make.t2i_corpus_scene import CLASSES, SIDE
from experiments.imaginarynet.learn.corpus import read_corpus
from suite.arrays import write_arrays
from suite.errors import BadInput
from suite.provenance import ROOT

COUNT = 45  # two checkpoints and a part of the third


def noise(indices: range) -> np.ndarray:
    """In place of pictures (n, SIDE, SIDE, 3) uint8."""
    return np.stack(
        [np.random.default_rng(i).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8) for i in indices]
    )


@pytest.fixture
def work(tmp_path, scenes) -> Path:
    """Finished checkpoints of COUNT pictures, with noise for pictures."""
    folder = tmp_path / "work"
    open_work(folder, SEED)
    for number, indices in chunks(COUNT):
        rows = json.dumps(rows_of([scenes[index] for index in indices])).encode()
        write_arrays(
            checkpoint(folder, number), pictures=noise(indices), rows=np.frombuffer(rows, dtype=np.uint8)
        )
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_pictures_captions_and_listing_agree_with_the_scenes(tmp_path, work, scenes):
    out = tmp_path / "corpus"
    assemble(out, work, count=COUNT, seed=SEED)
    assert set(files(out)) == {"images.npy", "captions.jsonl", "corpus.json"}
    pictures = np.load(out / "images.npy", allow_pickle=False)
    rows = [json.loads(line) for line in (out / "captions.jsonl").read_text().splitlines()]
    listing = json.loads((out / "corpus.json").read_text())
    assert len(pictures) == len(rows) == listing["pictures"] == COUNT
    assert pictures.dtype == np.uint8 and pictures.shape[1:] == (SIDE, SIDE, 3)
    assert (listing["side"], listing["classes"]) == (SIDE, list(CLASSES))
    assert (listing["seed"], listing["version"]) == (SEED, VERSION)
    assert (pictures == noise(range(COUNT))).all()
    for index, (row, scene) in enumerate(zip(rows, scenes[:COUNT], strict=True)):
        assert row == {
            "id": f"{index:06d}", "caption": scene.caption, "class": scene.word, "split": scene.split,
            "sha256": hashlib.sha256(pictures[index].tobytes()).hexdigest(),
        }  # fmt: skip


def test_no_file_of_a_corpus_holds_a_box_or_a_crop(tmp_path, work):
    out = tmp_path / "corpus"
    assemble(out, work, count=COUNT, seed=SEED)
    words = (out / "captions.jsonl").read_text() + (out / "corpus.json").read_text()
    keys = {key for line in (out / "captions.jsonl").read_text().splitlines() for key in json.loads(line)}
    assert keys == {"id", "caption", "class", "split", "sha256"}
    assert not {key for key in json.loads((out / "corpus.json").read_text()) if "box" in key or "crop" in key}
    assert "bbox" not in words and "segmentation" not in words
    with np.load(checkpoint(work, 0)) as arrays:
        assert set(arrays.files) == {"pictures", "rows"}


def test_the_reader_reads_what_the_maker_writes(tmp_path, work, scenes):
    made = assemble(tmp_path / "corpus", work, count=COUNT, seed=SEED)
    read = read_corpus(tmp_path / "corpus", check_digests=True)
    assert (read.pictures == made.pictures).all()
    assert read.captions == made.captions == tuple(scene.caption for scene in scenes[:COUNT])
    assert [read.class_names[k] for k in read.class_ids] == [scene.word for scene in scenes[:COUNT]]
    assert len(read.part("train")) + len(read.part("val")) == COUNT


def test_a_smaller_corpus_of_the_same_checkpoints_is_the_beginning_of_the_larger(tmp_path, work):
    large = assemble(tmp_path / "large", work, count=COUNT, seed=SEED)
    small = assemble(tmp_path / "small", work, count=7, seed=SEED)
    assert (small.pictures == large.pictures[:7]).all()
    assert small.captions == large.captions[:7]
    assert small.class_names == large.class_names


def test_the_same_checkpoints_give_the_same_bytes(tmp_path, work):
    for name in ("one", "other"):
        assemble(tmp_path / name, work, count=COUNT, seed=SEED)
    assert files(tmp_path / "one") == files(tmp_path / "other")


def test_progress_counts_finished_checkpoints(work):
    assert num_done(work, COUNT) == COUNT
    checkpoint(work, 1).unlink()
    assert num_done(work, COUNT) == 2 * CHUNK


def test_a_checkpoint_in_the_place_of_another_is_found(tmp_path, work):
    checkpoint(work, 0).replace(checkpoint(work, 1))
    checkpoint(work, 2).rename(checkpoint(work, 0))
    with pytest.raises(BadInput, match="holds other pictures; remove it"):
        assemble(tmp_path / "corpus", work, count=30, seed=SEED)
    checkpoint(work, 0).write_bytes(b"cut")
    with pytest.raises(BadInput, match="cannot be read"):
        assemble(tmp_path / "corpus", work, count=30, seed=SEED)


def test_checkpoints_of_another_seed_are_refused_and_left(work):
    open_work(work, SEED)
    before = files(work)
    with pytest.raises(BadInput, match="another seed or version; remove the folder"):
        open_work(work, SEED + 1)
    assert files(work) == before


def test_checkpoints_of_unknown_origin_are_refused(work):
    (work / "made.json").unlink()
    with pytest.raises(BadInput, match="another seed or version"):
        open_work(work, SEED)


def test_a_count_below_one_is_refused_before_anything_is_made(tmp_path):
    with pytest.raises(BadInput, match="COUNT=0; choose one picture or more"):
        make(tmp_path / "out", work=tmp_path / "work", count=0, seed=SEED)
    assert not list(tmp_path.iterdir())


def test_the_command_says_a_wrong_count_in_one_line(tmp_path):
    words = ["--out", str(tmp_path / "out"), "--count", "0"]
    done = subprocess.run(
        [sys.executable, "-m", "assets.make.t2i_corpus", *words], cwd=ROOT, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == "error: COUNT=0; choose one picture or more\n"


@pytest.mark.parametrize(("count", "rows"), [(3, 1), (10, 1), (11, 2), (200, 6)])
def test_the_sheet_shows_the_first_pictures_in_rows_of_ten(count, rows):
    pictures = np.zeros((count, SIDE, SIDE, 3), dtype=np.uint8)
    pictures[0] = 200
    made = np.asarray(sheet(pictures))
    assert made.shape == (rows * (2 * SIDE + 4), 10 * (2 * SIDE + 4), 3)
    assert (made[: 2 * SIDE, : 2 * SIDE] == 200).all()
    assert (made[: 2 * SIDE, 2 * SIDE + 4 : 4 * SIDE + 4] == 0).all()
