"""Bad input through the public commands: one line that names the file and what to do, exit code 2, no
traceback; or the item is left out and counted.
"""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments.sample_synthesis.cli import main

TINY = ["--scale", "tiny"]


def ends_in_one_line(capsys, words, *told, code=2):
    """Run a command; its only output on stderr is one error line that has all of these words."""
    assert main([str(word) for word in words]) == code
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("warning:")]
    assert len(lines) == 1, lines
    assert lines[0].startswith("error: ") and "Traceback" not in lines[0]
    for text in told:
        assert str(text) in lines[0]


def photo(path: Path, *, side: int = 40, mode: str = "RGB") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    value = np.random.default_rng(len(path.name)).integers(0, 256, (side, side, len(mode)), np.uint8)
    Image.fromarray(value.squeeze(), mode if mode != "L" else None).save(path)
    return path


@pytest.fixture
def codes(tmp_path) -> Path:
    """A QR data set of 120 pictures with a box each."""
    root = tmp_path / "qr_codes"
    for number in range(120):
        photo(root / f"images/{number}.jpg")
    for split, ids in {"train": range(100), "valid": range(100, 110), "test": range(110, 120)}.items():
        rows = ["image_id,xmin,ymin,xmax,ymax", *(f"{number},5,5,30,30" for number in ids)]
        (root / f"qr_codes_{split}.csv").write_text("\n".join(rows) + "\n")
    return root


def convert(codes, *words):
    return ["convert", "qr", codes, "--out", codes.parent / "out", "--num-valid", "0", *words]


def edit(path: Path, line: int, text: str) -> None:
    lines = path.read_text().splitlines()
    lines[line] = text
    path.write_text("\n".join(lines) + "\n")


def test_a_whole_data_set_converts(codes, capsys):
    assert main([str(word) for word in convert(codes)]) == 0
    assert "train: 100 images, 100 boxes" in capsys.readouterr().out
    assert (codes.parent / "out/train.json").is_file()


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ("3,30,5,5,30", "reversed box"),
        ("3,100,100,140,140", "box outside the image"),
        ("3,5,5,x,30", "no number"),
    ],
)
def test_one_damaged_row_in_a_hundred_is_left_out_and_counted(codes, capsys, row, kind):
    edit(codes / "qr_codes_train.csv", 4, row)
    assert main([str(word) for word in convert(codes)]) == 0
    out = capsys.readouterr().out
    assert "train: 99 images, 99 boxes" in out and f"left out: 1 x {kind}" in out


@pytest.mark.parametrize(
    ("row", "told"), [("{},30,5,5,30", "is reversed"), ("{},100,100,140,140", "is outside 0.jpg of 40x40")]
)
def test_many_damaged_rows_end_in_one_line(codes, capsys, row, told):
    for number in range(8):
        edit(codes / "qr_codes_train.csv", number + 1, row.format(number))
    ends_in_one_line(capsys, convert(codes), codes, "8 of 10", "permitted 1.0%", told)


def test_a_file_in_the_way_of_the_result_is_one_line(codes, capsys):
    (codes.parent / "out").write_bytes(b"")
    words = ["convert", "qr", codes, "--num-valid", "0", "--out", codes.parent / "out/deeper"]
    ends_in_one_line(capsys, words, codes.parent / "out", "a file stands where a folder is needed")


def test_a_picture_that_does_not_decode_is_left_out_and_counted(codes, capsys):
    whole = (codes / "images/7.jpg").read_bytes()
    (codes / "images/7.jpg").write_bytes(whole[: len(whole) // 2])
    assert main([str(word) for word in convert(codes)]) == 0
    out = capsys.readouterr().out
    assert "train: 99 images" in out and "left out: 1 x unreadable picture" in out


def test_an_unknown_column_is_one_line(codes, capsys):
    path = codes / "qr_codes_train.csv"
    edit(path, 0, "image_id,xmin,ymin,xmax,ymax,colour")
    ends_in_one_line(capsys, convert(codes), path, "unknown column `colour`")


def test_a_missing_column_is_one_line(codes, capsys):
    path = codes / "qr_codes_train.csv"
    edit(path, 0, "image_id,xmin,ymin,xmax,bottom")
    ends_in_one_line(capsys, convert(codes), path, "no column `ymax`")


def test_a_data_set_that_is_not_there_says_where_to_get_it(tmp_path, capsys):
    words = ["convert", "fddb", tmp_path / "none", "--out", tmp_path / "out"]
    ends_in_one_line(capsys, words, "FDDB is not here", "get it from", code=3)


@pytest.mark.parametrize(
    ("ellipse", "told"),
    [
        ("-20 10 0.3 20 20 1", "an ellipse with radii -20 and 10"),
        ("20 10 nan 20 20 1", "angle is 'nan'"),
        ("20 10 0.3 20", "has 4 numbers, not 6"),
    ],
)
def test_an_ellipse_that_is_none_is_one_line(tmp_path, capsys, ellipse, told):
    root = tmp_path / "FDDB"
    photo(root / "2002/08/11/big/img_1.jpg")
    for fold in range(1, 11):
        text = f"2002/08/11/big/img_1\n1\n{ellipse}\n" if fold == 1 else ""
        folder = root / "FDDB-folds"
        folder.mkdir(exist_ok=True)
        (folder / f"FDDB-fold-{fold:02d}-ellipseList.txt").write_text(text)
    words = ["convert", "fddb", root, "--out", tmp_path / "out"]
    ends_in_one_line(capsys, words, root, "FDDB-fold-01-ellipseList.txt: line 3", told)


# --- synthesis ---


def synth(tmp_path, *words):
    return ["synth", *TINY, "--num", "4", "--out", tmp_path / "made", *words]


def test_a_folder_without_pictures_is_one_line(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    words = synth(tmp_path, "--object", "car", "--fake_objects_dir", tmp_path / "empty")
    ends_in_one_line(capsys, words, tmp_path / "empty", "holds no pictures")


def test_a_folder_of_backgrounds_that_is_not_there_is_one_line(tmp_path, capsys):
    words = synth(tmp_path, "--voc_dir", tmp_path / "none")
    ends_in_one_line(capsys, words, tmp_path / "none", "no such folder", code=3)


def test_pictures_that_do_not_decode_are_left_out_and_counted(tmp_path, capsys):
    folder = tmp_path / "cars"
    for number in range(5):
        photo(folder / f"{number}.png", mode="RGBA")
    (folder / "5.png").write_bytes(b"no picture")
    assert main([str(w) for w in synth(tmp_path, "--object", "car", "--fake_objects_dir", folder)]) == 0
    assert "1 of 6 pictures of car left out" in capsys.readouterr().err


def test_a_folder_of_damaged_pictures_is_one_line(tmp_path, capsys):
    folder = tmp_path / "cars"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"no picture")
    words = synth(tmp_path, "--object", "car", "--fake_objects_dir", folder)
    ends_in_one_line(capsys, words, "none of 1 pictures of car can be used")


def test_pictures_without_alpha_are_one_line_with_the_remedy(tmp_path, capsys):
    photo(tmp_path / "cars/1.png")
    words = synth(tmp_path, "--object", "car", "--fake_objects_dir", tmp_path / "cars")
    ends_in_one_line(capsys, words, "alpha", "grabcut")


def test_a_result_of_other_settings_is_refused_and_moved_aside_by_force(tmp_path, capsys):
    first = [str(word) for word in synth(tmp_path)]
    assert main(first) == 0
    assert main(first) == 0
    assert "up to date" in capsys.readouterr().out
    ends_in_one_line(capsys, synth(tmp_path, "--seed", "1"), tmp_path / "made", "other settings")
    assert main([*first, "--seed", "1", "--force"]) == 0
    assert (tmp_path / "made_old1/qr_codes_fake.csv").is_file()


def test_a_folder_of_the_user_is_never_overwritten(tmp_path, capsys):
    photo(tmp_path / "made/mine.png")
    ends_in_one_line(capsys, synth(tmp_path), tmp_path / "made", "holds something else")
    assert (tmp_path / "made/mine.png").is_file()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["synth", "--object", "cat"], "invalid choice: 'cat'"),
        (["synth", "--min_scal", "1"], "did you mean --min_scale"),
        (["synth", *TINY, "--num", "0"], "`synthesis.num_samples` is 0"),
        (["synth", *TINY, "--num", "many"], "invalid int value"),
        (["synth", *TINY, "--seed", "-1"], "no whole number from 0 on"),
        (["synth", *TINY, "--workers", "0"], "`compute.workers` is 0"),
        (["synth", *TINY, "--variant", "naive"], "qr has no variant naive"),
        (["synth", "--scale", "tinny"], "did you mean tiny"),
        (["synth", *TINY, "-o", "qr.synthesis.sise=3"], "unknown key"),
        (["synth", *TINY, "--min_scale", "0.9"], "need 0 < min_scale <= max_scale"),
        (["train", *TINY, "--arm", "scratch", "--out", "x"], "say how many with --real-n"),
        (["train", *TINY, "--arm", "scratch", "--real-n", "0", "--out", "x"], "--real-n is 0"),
        (["train", *TINY, "--arm", "pretrain", "--real-n", "3", "--out", "x"], "sees no real image"),
        (["train", *TINY, "--arm", "finetune", "--real-n", "3", "--out", "x"], "name them with --weights"),
        (["train", *TINY, "--arm", "scratch", "--real-n", "3", "--arch", "vg", "--out", "x"], "tecture"),
        (["train", *TINY, "--arm", "pretrain", "--synthetic", "none", "--out", "x"], "no such folder"),
        (["evaluate", "--weights", "none.npz"], "none.npz: no such file"),
        (["evaluate"], "--weights"),
        (["ablate", "naive", "--object", "qr", *TINY], "qr has no variant naive"),
        (["ablate", "all"], "invalid choice"),
        (["convert", "coco", "--out", "x"], "invalid choice"),
        (["convert", "qr", "--num-valid", "-1", "--out", "x"], "--num-valid -1 is negative"),
        (["sinth"], "did you mean synth"),
        (["report", "--object", "cat"], "no object 'cat'"),
        (["reproduce", "--object", "cat"], "no object 'cat'"),
    ],
)
def test_a_wrong_word_is_one_line(words, told, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ends_in_one_line(capsys, words, told)


# --- training ---


def published_folder(root: Path, rows: list[str], *, columns="image_id,xmin,ymin,xmax,ymax,label") -> Path:
    for number in (1, 2):
        photo(root / f"images/{number:05d}.jpg")
    (root / "qr_codes_fake.csv").write_text("\n".join([columns, *rows]) + "\n")
    return root


@pytest.mark.parametrize(
    ("rows", "columns", "told"),
    [
        (["00001,1,1,9,9,face"], None, "label 'face', not qr_code"),
        (["00001,1,1,9,9,qr_code,3"], "image_id,xmin,ymin,xmax,ymax,label,score", "unknown column `score`"),
        (["00001,9,9,1,1,qr_code"], None, "is reversed or has no area"),
        (["00001,90,90,99,99,qr_code"], None, "outside 00001.jpg of 40x40"),
        (["00009,1,1,9,9,qr_code"], None, "00009.jpg does not exist"),
    ],
)
def test_a_damaged_synthetic_set_is_one_line(tmp_path, rows, columns, told):
    from experiments.sample_synthesis.data.fake_csv import read_fake
    from suite.errors import BadInput

    root = published_folder(tmp_path, rows, **({} if columns is None else {"columns": columns}))
    with pytest.raises(BadInput) as caught:
        read_fake(root, "qr")
    assert told in str(caught.value) and "\n" not in str(caught.value)


def test_a_published_synthetic_set_is_read_in_the_order_of_its_numbers(tmp_path):
    from experiments.sample_synthesis.data.fake_csv import read_fake

    rows = ["00002,1,2,9,10,qr_code", "00001,3,3,8,8,qr_code", "00002,20,20,30,30,qr_code"]
    found = read_fake(published_folder(tmp_path, rows), "qr")
    assert [path.name for path in found.paths()] == ["00001.jpg", "00002.jpg"]
    assert [boxes.tolist() for boxes in found.boxes()] == [[[3, 3, 8, 8]], [[1, 2, 9, 10], [20, 20, 30, 30]]]
