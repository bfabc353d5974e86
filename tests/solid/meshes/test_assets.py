"""The embedded meshes: whole, small, licensed, and no mesh on both sides of the split."""

from __future__ import annotations

import json
from functools import cache
from hashlib import sha256
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from assets.make import meshes as maker
from assets.make import textures as texture_maker
from experiments.solid.meshes.convert import MODEL_FILE
from experiments.solid.meshes.fetch import EMBEDDED
from experiments.solid.meshes.geometry import TWIN_TOLERANCE
from experiments.solid.meshes.packages import load_pins
from experiments.solid.meshes.validate import inspect
from experiments.solid.rooms.stage import TEXTURES

WHEELS = Path(__file__).resolve().parents[3] / "data" / "packages"
needs_wheels = pytest.mark.skipif(
    not all((WHEELS / pin.file).is_file() for pin in load_pins().values()),
    reason="no wheels in data/packages: python -m experiments.solid.meshes.packages data/packages",
)


@cache
def table() -> dict[str, dict]:
    return {row["id"]: row for row in json.loads((EMBEDDED / "meshes.json").read_text())["meshes"]}


@cache
def split() -> dict[str, list[str]]:
    return json.loads((EMBEDDED / "split.json").read_text())


@cache
def facts(name: str) -> dict:
    answer = inspect(str(EMBEDDED / table()[name]["model"]), str(EMBEDDED))
    assert "facts" in answer, f"{name}: {answer}"
    return answer["facts"]


def test_the_split_covers_every_mesh_once():
    assert sorted(split()["pretrain"] + split()["tabletop"]) == sorted(table())
    assert len(split()["pretrain"]) == 32
    assert 12 <= len(split()["tabletop"]) <= 16
    assert 8 <= len({table()[name]["class"] for name in split()["tabletop"]}) <= 10


def test_no_file_of_a_model_is_on_both_sides():
    digests = [
        {table()[name]["files"][MODEL_FILE] for name in split()[side]} for side in ("pretrain", "tabletop")
    ]
    assert not digests[0] & digests[1]


def test_no_package_mesh_is_used_on_both_sides():
    paths = [
        {p for name in split()[side] for p in table()[name]["source"]["paths"]}
        for side in ("pretrain", "tabletop")
    ]
    assert not paths[0] & paths[1]


def test_no_geometry_is_on_both_sides_nor_twice():
    names = sorted(table())
    for one, other in product(names, names):
        if one < other:
            distance = np.linalg.norm(np.subtract(facts(one)["signature"], facts(other)["signature"]))
            assert distance > 10 * TWIN_TOLERANCE, (one, other)


def test_no_class_name_is_on_both_sides():
    classes = [{table()[name]["class"] for name in split()[side]} for side in ("pretrain", "tabletop")]
    assert not classes[0] & classes[1]


def test_every_mesh_is_textured_or_has_several_materials():
    for name in table():
        materials = (EMBEDDED / "models" / name / "model.mtl").read_text().count("newmtl")
        assert facts(name)["textured"] or materials > 1, name


def test_every_file_has_the_recorded_digest_and_nothing_else_lies_there():
    recorded = {
        f"{name}/{file}": digest for name, row in table().items() for file, digest in row["files"].items()
    }
    models = EMBEDDED / "models"
    there = {
        p.relative_to(models).as_posix(): sha256(p.read_bytes()).hexdigest()
        for p in models.rglob("*")
        if p.is_file()
    }
    assert there == recorded


def test_every_mesh_names_its_source_license_and_changes():
    licenses = json.loads((EMBEDDED / "meshes.json").read_text())["licenses"]
    assert all((EMBEDDED / file).stat().st_size > 500 for file in licenses.values())
    for row in table().values():
        assert row["license"] in licenses
        assert row["source"]["package"]
        assert row["changed"]


def test_the_embedded_sets_stay_small():
    files = [path for folder in (EMBEDDED, TEXTURES) for path in folder.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files if EMBEDDED in path.parents) <= maker.MAX_TOTAL_BYTES
    assert max(path.stat().st_size for path in files) <= maker.MAX_FILE_BYTES


def test_room_textures_have_the_recorded_digest_and_enough_variety():
    rows = json.loads((TEXTURES / "textures.json").read_text())
    there = {
        p.relative_to(TEXTURES).as_posix(): sha256(p.read_bytes()).hexdigest()
        for p in TEXTURES.glob("*/*.jpg")
    }
    assert there == {row["file"]: row["sha256"] for row in rows}
    assert all((TEXTURES / row["license_file"]).is_file() for row in rows)
    for material in ("wall", "floor", "ceiling", "unknown"):
        assert sum(row["file"].startswith(f"{material}/") for row in rows) >= 3


def test_the_readme_lists_every_mesh():
    text = (EMBEDDED / "README.md").read_text()
    assert maker.format_table(list(table().values()), split()) in text


@needs_wheels
def test_the_makers_give_the_same_bytes_again(tmp_path):
    maker.make(WHEELS, tmp_path / "meshes")
    texture_maker.make(WHEELS, tmp_path / "textures")
    for made, kept in ((tmp_path / "meshes", EMBEDDED), (tmp_path / "textures", TEXTURES)):
        for path in made.rglob("*"):
            if path.is_file():
                assert path.read_bytes() == (kept / path.relative_to(made)).read_bytes(), path
