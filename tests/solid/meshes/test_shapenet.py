"""`shapenet-index` on a small look-alike: the same layout, names and defects as ShapeNetCore.v2."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.solid.meshes import fetch, shapenet
from suite.errors import BadInput, Missing
from tests.solid.meshes.models import obj_text, run_index, tetrahedron, write_obj

ROOT = Path(__file__).resolve().parents[3]
PLANE, CHAIR, OTHER = "02691156", "03001627", "09999999"
# Hashes as they come: hexadecimal, short ones of SketchUp, one with a hyphen.
HASHES = ["1a04e3eab45ca15dd86060f189eb133", "10155655850468db78d106ce0a280f87", "u61bd66b8", "u61bd66b8-2"]


def write_model(folder: Path, synset: str, name: str, *, stretch: float = 1.0) -> Path:
    path = folder / synset / name / "models" / "model_normalized.obj"
    head = "# material library: model_normalized.mtl\nmtllib model_normalized.mtl\nusemtl paint"
    write_obj(path, obj_text(tetrahedron(stretch=stretch), head=head))
    (path.parent / "model_normalized.mtl").write_text("newmtl paint\nKd 0.8 0.1 0.1\n")
    (path.parent / "model_normalized.json").write_text("{}")
    (path.parent / "model_normalized.solid.binvox").write_bytes(b"#binvox 1\n")
    (folder / synset / name / "images").mkdir()
    return path


@pytest.fixture
def core(tmp_path) -> Path:
    """Two synsets, one twin across them, one hash without a model file, a taxonomy beside them."""
    folder = tmp_path / "ShapeNetCore.v2"
    for k, name in enumerate(HASHES):
        write_model(folder, PLANE, name, stretch=1 + k)
    write_model(folder, CHAIR, HASHES[0], stretch=1)  # same hash, same bytes
    write_model(folder, CHAIR, "ffff", stretch=9)
    (folder / CHAIR / "eeee" / "models").mkdir(parents=True)
    (folder / "taxonomy.json").write_text("[]")
    (folder / "docs").mkdir()
    return folder


def run(*words: object) -> list[str]:
    return list(shapenet.run(shapenet.parser().parse([str(word) for word in words])))


IDS = [
    f"{PLANE}/{HASHES[1]}", f"{PLANE}/{HASHES[0]}", f"{PLANE}/u61bd66b8", f"{PLANE}/u61bd66b8-2",
    f"{CHAIR}/{HASHES[0]}", f"{CHAIR}/ffff",
]  # fmt: skip


def test_the_list_is_in_the_order_of_the_bytes_of_the_ids(core, tmp_path):
    lines = run(core, "--out", tmp_path / "shapenet.json")
    rows = json.loads((tmp_path / "shapenet.json").read_text())
    assert rows == [{"model": f"{name}/models/model_normalized.obj"} for name in IDS]
    assert (tmp_path / "shapenet_ids.txt").read_bytes() == "\n".join(IDS).encode()
    assert lines[0] == "6 models in 2 synsets"
    assert f"without a model file: {CHAIR}/eeee" in lines
    assert any("1 hashes stand in several synsets, 1 classes too many" in line for line in lines)


def test_every_synset_with_another_count_than_published_is_listed(core, tmp_path):
    write_model(core, OTHER, "abcd")
    lines = run(core, "--out", tmp_path / "shapenet.json")
    assert f"synset {PLANE}: 4 here, 4044 published" in lines
    assert "synset 02747177: 0 here, 343 published" in lines
    assert f"synset {OTHER}: 1 here, not published" in lines
    assert "56 synsets differ; in all 7 models here, 52447 published" in lines


def test_the_published_counts_are_complete():
    assert len(shapenet.PUBLISHED) == 55
    assert sum(shapenet.PUBLISHED.values()) == 52_447
    ids = [f"{synset}/{k}" for synset, count in shapenet.PUBLISHED.items() for k in range(count)]
    assert list(shapenet.differences(ids)) == [
        "every synset has the published number of models, 52447 in all"
    ]
    assert list(shapenet.differences(ids[1:]))[0] == f"synset {PLANE}: 4043 here, 4044 published"


def test_dedupe_keeps_the_first_of_equal_files(core, tmp_path):
    lines = run(core, "--out", tmp_path / "shapenet.json", "--dedupe")
    assert (tmp_path / "shapenet_ids.txt").read_text().split("\n") == [n for n in IDS if n != IDS[4]]
    assert f"left out: {IDS[4]} (= {IDS[1]})" in lines


def test_the_ids_are_compared_with_a_list(core, tmp_path):
    listed = tmp_path / "ids.txt"
    listed.write_text("\n".join(IDS))
    assert "--ids: the same ids" in run(core, "--out", tmp_path / "s.json", "--ids", listed)
    listed.write_text("\n".join([*IDS[1:], f"{CHAIR}/gone"]))
    lines = run(core, "--out", tmp_path / "s.json", "--ids", listed)
    assert f"--ids: listed but not here: {CHAIR}/gone" in lines
    assert f"--ids: here but not listed: {IDS[0]}" in lines


def test_the_list_is_what_the_stages_read_and_twins_follow_the_setting(core, tmp_path):
    run(core, "--out", tmp_path / "shapenet.json")
    setting = f"meshes.list_file={tmp_path / 'shapenet.json'}"
    kept, _, _ = run_index(core, tmp_path / "faithful", setting, "meshes.skip_twins=false")
    assert [row["id"] for row in kept] == IDS
    kept, rejected, _ = run_index(core, tmp_path / "deduped", setting, "meshes.skip_twins=true")
    assert [row["id"] for row in kept] == [name for name in IDS if name != IDS[4]]
    assert rejected[0]["twin_of"] == IDS[1]


def test_without_a_list_the_stages_find_the_same_models(core):
    assert {fetch.mesh_id(name) for name in fetch.list_models(core)} == set(IDS)


def test_a_folder_that_is_not_shapenet_is_one_clear_line(tmp_path):
    with pytest.raises(Missing, match="no such folder"):
        run(tmp_path / "nowhere", "--out", tmp_path / "s.json")
    with pytest.raises(Missing, match="holds no <synset>/<hash>/models/model_normalized.obj"):
        run(tmp_path, "--out", tmp_path / "s.json")


@pytest.mark.parametrize(
    ("text", "what"), [("0269/a 0269/a", "stands there twice"), ("plane", "is no <synset>")]
)
def test_a_bad_list_of_ids_is_named(core, tmp_path, text, what):
    (tmp_path / "ids.txt").write_text(text)
    with pytest.raises(BadInput, match=what):
        run(core, "--out", tmp_path / "s.json", "--ids", tmp_path / "ids.txt")


def test_the_public_command(core, tmp_path):
    line = [sys.executable, "-m", "experiments.solid", "shapenet-index", str(core), "--out"]
    done = subprocess.run(
        [*line, str(tmp_path / "s.json")], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "-o meshes.num_classes=6" in done.stdout
    bad = subprocess.run(
        [*line, str(tmp_path / "s.txt")], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (bad.returncode, bad.stderr.count("\n")) == (2, 1)
    bad = subprocess.run(
        [*line, str(tmp_path / "no" / "s.json")], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (bad.returncode, bad.stderr.count("\n")) == (2, 1)
