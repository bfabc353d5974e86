import json

import pytest

from experiments.sample_synthesis.cli import main
from tests.sample_synthesis.data.lookalikes import change, write_cars, write_cub, write_fddb, write_qr


@pytest.fixture
def data_dir(tmp_path, monkeypatch):
    monkeypatch.setenv("DATA_DIR", "")  # restored afterwards: the flag sets the variable
    write_fddb(tmp_path / "FDDB")
    write_cub(tmp_path / "CUB_200_2011" / "CUB_200_2011")
    write_cars(tmp_path / "stanford_cars", num_train=1003, form="mat")
    write_qr(tmp_path / "qr_codes")
    return tmp_path


@pytest.mark.parametrize(
    ("kind", "flags", "counts", "file"),
    [
        ("fddb", [], (15, 6, 9), "FDDB-folds/FDDB-fold-10-rectList.txt"),
        ("cub", [], (8, 2, 2), "our_train_test_split.txt"),
        ("cars", ["--shift-to-zero"], (3, 1000, 4), "devkit/cars_train_annos.csv"),
        ("qr", ["--num-valid", "4"], (8, 4, 4), "qr_codes_valid.csv"),
        ("qr", ["--num-valid", "0"], (12, 3, 4), "qr_codes_valid.csv"),
    ],
)
def test_the_published_layout_is_taken_unchanged(kind, flags, counts, file, data_dir, capsys):
    out = data_dir / "out"
    assert main(["convert", kind, "--data-dir", str(data_dir), "--out", str(out), *flags]) == 0
    said = capsys.readouterr().out
    for split, count in zip(("train", "valid", "test"), counts, strict=True):
        assert f"{split}: {count} images" in said
        assert len(json.loads((out / f"{split}.json").read_text(encoding="utf-8"))["images"]) == count
    text = (out / file).read_text(encoding="utf-8")
    assert ("00001.jpg,0,1,30,35" in text) == (kind == "cars")


def test_an_unknown_column_ends_in_exit_2_and_an_absent_set_in_3(data_dir, capsys):
    flags = ["--data-dir", str(data_dir), "--out", str(data_dir / "out")]
    change(data_dir / "qr_codes" / "qr_codes_train.csv", "object_id", "thing")
    assert main(["convert", "qr", "--num-valid", "4", *flags]) == 2
    (data_dir / "FDDB" / "FDDB-folds" / "FDDB-fold-07-ellipseList.txt").unlink()
    assert main(["convert", "fddb", *flags]) == 3
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert "qr_codes_train.csv: line 1: unknown column `thing`" in lines[0]
    assert "FDDB-fold-07-ellipseList.txt: FDDB is not here; get it from http" in lines[1]
