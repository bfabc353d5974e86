import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from experiments.sample_synthesis.config_sections import RealConfig
from experiments.sample_synthesis.data.convert import convert
from experiments.sample_synthesis.data.sets import load_real, read_index, read_sets, write_sets
from experiments.sample_synthesis.data.where import data_state
from suite.errors import BadInput, Missing, SuiteError
from tests.sample_synthesis.data.lookalikes import change, write_cars, write_cub, write_fddb, write_qr

SETS = {
    "fddb": ("face", write_fddb, "FDDB", {}),
    "cub": ("bird", write_cub, "CUB_200_2011/CUB_200_2011", {}),
    "cars": ("car", write_cars, "stanford_cars", {"num_valid": 3}),
    "qr_csv": ("qr", write_qr, "qr_codes", {"num_valid": 4}),
}


@pytest.fixture
def data_dir(tmp_path, monkeypatch):
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.mark.parametrize("kind", SETS)
def test_every_set_survives_the_disk_and_names_no_absolute_path(kind, data_dir, tmp_path, monkeypatch):
    name, write, folder, more = SETS[kind]
    write(data_dir / folder)
    real = RealConfig(kind=kind, folder=f"data/{folder}", **more)
    out = tmp_path / "out"
    out.mkdir()
    sets = load_real(name, real, work=out)
    index = write_sets(out, name, real, sets)
    assert index["splits"]["train"]["images"] == len(sets["train"])
    assert not index["stand_in"]
    for path in out.iterdir():
        assert str(tmp_path) not in path.read_text(encoding="utf-8")
    # The data may lie elsewhere on the machine that trains.
    shutil.move(data_dir, tmp_path / "moved")
    with pytest.raises(Missing, match="the pictures are gone"):
        read_sets(out)
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "moved"))
    for split, again in read_sets(out).items():
        assert again.coco == sets[split].coco
        assert again.rows().tolist() == sets[split].rows().tolist()
        assert all(path.is_file() for path in again.paths())


def test_composed_stand_ins_move_with_their_folder(tmp_path):
    real = RealConfig(kind="standin", max_train=3, max_valid=2, max_test=2)
    (tmp_path / "a").mkdir()
    index = write_sets(tmp_path / "a", "face", real, load_real("face", real, work=tmp_path / "a"))
    assert index["stand_in"]
    (tmp_path / "stage").mkdir()
    shutil.move(tmp_path / "a", tmp_path / "stage" / "00000")
    sets = read_sets(tmp_path / "stage")
    assert {split: len(one) for split, one in sets.items()} == {"train": 3, "valid": 2, "test": 2}
    assert sets["train"].is_standin
    assert all(path.is_file() for one in sets.values() for path in one.paths())


def test_limits_keep_the_first_images_of_a_split(data_dir):
    write_fddb(data_dir / "FDDB")
    real = RealConfig(kind="fddb", folder="data/FDDB", max_train=4, max_test=1)
    sets = load_real("face", real, work=data_dir)
    everything = load_real("face", replace(real, max_train=None), work=data_dir)
    assert sets["train"].paths() == everything["train"].paths()[:4]
    assert {split: len(one) for split, one in sets.items()} == {"train": 4, "valid": 6, "test": 1}


def test_a_data_set_that_is_not_there_says_where_it_comes_from(data_dir):
    with pytest.raises(Missing, match=r"CUB-200-2011 is not here; get it from .*put images.txt"):
        load_real("bird", RealConfig(kind="cub", folder="data/CUB_200_2011"), work=data_dir)


def test_a_folder_without_an_index_is_no_finished_stage(tmp_path):
    (tmp_path / "index.json").write_text("{", encoding="utf-8")
    with pytest.raises(BadInput, match="holds no readable index.json"):
        read_index(tmp_path)


def test_the_state_of_the_data_changes_with_its_files(data_dir):
    real = RealConfig(kind="cars", folder="data/stanford_cars")
    assert data_state("car", real) is None
    write_cars(data_dir / "stanford_cars")
    before = data_state("car", real)
    (data_dir / "stanford_cars" / "cars_train" / "00001.jpg").unlink()
    fewer = data_state("car", real)
    assert len({None, before, fewer}) == 3
    change(
        data_dir / "stanford_cars" / "devkit" / "cars_test_annos.csv", "1,2,30,35", "1,2,30,36"
    )  # same size
    assert data_state("car", real) not in (None, before, fewer)
    assert data_state("face", RealConfig()) is None  # composed here: nothing outside decides it


@pytest.mark.parametrize("kind", SETS)
def test_convert_writes_coco_and_a_published_form_that_gives_the_same_splits(kind, tmp_path):
    name, write, folder, _ = SETS[kind]
    root = write(tmp_path / folder, **({"num_train": 1004} if kind == "cars" else {}))
    settings = {"num_valid": 4} if kind == "qr_csv" else {}
    done = convert({"qr_csv": "qr"}.get(kind, kind), root, tmp_path / "out", **settings)
    for file in done.files:
        assert (tmp_path / "out" / file).is_file()
        if file.suffix != ".json":
            shutil.copy(tmp_path / "out" / file, root / file)
    again = load_real(name, RealConfig(kind=kind, folder=str(root)), work=tmp_path)
    for split, one in again.items():
        tree = json.loads((tmp_path / "out" / f"{split}.json").read_text(encoding="utf-8"))
        assert {image["file_name"] for image in tree["images"]} == {
            image.file_name for image in one.coco.images
        }
        assert (done.images[split], done.boxes[split]) == (len(one), len(one.coco.annotations))
    assert len(done.differences) == (2 if kind == "cars" else 3)  # 1000 cars validate, as published


def test_another_data_set_is_refused_with_the_known_ones(tmp_path):
    with pytest.raises(BadInput, match="no data set 'fdbb'"):
        convert("fdbb", tmp_path, tmp_path / "out")


@pytest.mark.parametrize("kind", SETS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_happens_to_a_list_reading_ends_in_sets_or_in_one_line(kind, data, tmp_path):
    name, write, _, settings_ = SETS[kind]
    root = tmp_path / kind
    if not root.exists():
        write(root)
    files = sorted(p for p in root.rglob("*") if p.suffix in (".txt", ".csv"))
    path = data.draw(st.sampled_from(files))
    original = path.read_bytes()
    at = data.draw(st.integers(0, len(original)))
    taken = data.draw(st.integers(0, 12))
    put = data.draw(
        st.binary(max_size=6) | st.sampled_from([b"\n", b",", b" ", b"-1", b"nan", b"1e400", b'"', b"\0"])
    )
    path.write_bytes(original[:at] + put + original[at + taken :])
    try:
        sets = load_real(name, RealConfig(kind=kind, folder=str(root), **settings_), work=tmp_path)
    except SuiteError as error:
        assert "\n" not in str(error)
        assert error.exit_code in (2, 3)
    else:
        for real in sets.values():
            assert all(
                np.isfinite(boxes).all() and (boxes[:, 2:] > boxes[:, :2]).all() for boxes in real.boxes()
            )
    finally:
        path.write_bytes(original)
