"""What the corpus does not share with tabletop: meshes, textures, random branches, code. No Blender.

The embedded models are judged on tabletop's classes, so tabletop itself must be unseen.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from assets.make import t2i_corpus_others as others
from assets.make import t2i_corpus_scene as scene_module
from assets.make import tabletop_rooms
from assets.make.t2i_corpus_plan import SEED
from assets.make.t2i_corpus_scene import CLASSES, FLOORS, TABLETOP, VARIANTS, WALLS, compose, model
from assets.make.tabletop_scene import STREAMS
from experiments.solid import queries, targets
from experiments.solid.meshes.geometry import TWIN_TOLERANCE, similarity_signature
from experiments.solid.meshes.obj import parse_obj
from experiments.solid.rooms import stage as rooms_stage
from suite.manifest import read_json
from suite.provenance import ROOT
from suite.seeds import item_rng, stream_id

MESHES = ROOT / "assets" / "meshes"
SHIPPED = ROOT / "assets" / "tabletop"
TEXTURES = ROOT / "assets" / "textures"
SOURCES = sorted((ROOT / "assets" / "make").glob("t2i_corpus*.py"))


def tabletop_meshes() -> list[str]:
    return read_json(MESHES / "split.json")["tabletop"]


def triangles_of(faces: np.ndarray) -> np.ndarray:
    """Quads cut into triangles."""
    return faces if faces.shape[1] == 3 else np.concatenate([faces[:, [0, 1, 2]], faces[:, [0, 2, 3]]])


@cache
def target_signatures() -> np.ndarray:
    found = [parse_obj((MESHES / "models" / name / "model.obj").read_bytes()) for name in tabletop_meshes()]
    return np.stack([similarity_signature(mesh.vertices, mesh.faces) for mesh in found])


# --- meshes ---


def test_tabletop_has_twelve_meshes_and_their_signatures_find_them():
    """The measure that the next test trusts: a turned and scaled copy is recognised."""
    assert len(tabletop_meshes()) == 12
    mesh = parse_obj((MESHES / "models" / "mug" / "model.obj").read_bytes())
    turned = 3.7 * mesh.vertices @ np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0] + 2
    distance = np.linalg.norm(target_signatures() - similarity_signature(turned, mesh.faces), axis=1)
    assert distance.min() < TWIN_TOLERANCE


@pytest.mark.parametrize("word", CLASSES)
def test_no_variant_of_a_class_is_a_mesh_of_tabletop(word):
    for variant in range(VARIANTS if word in TABLETOP else 2):
        vertices, faces, start = [], [], 0
        for part in model(SEED, word, variant)[0]:
            vertices.append(part.shape.vertices)
            faces.append(triangles_of(part.shape.faces) + start)
            start += len(part.shape.vertices)
        signature = similarity_signature(np.concatenate(vertices), np.concatenate(faces))
        distance = np.linalg.norm(target_signatures() - signature, axis=1).min()
        assert distance > 10 * TWIN_TOLERANCE, (word, variant)


def test_the_meshes_that_are_read_are_on_the_side_of_pretraining_and_no_others_can_be():
    split = read_json(MESHES / "split.json")
    assert set(others.MESHES.values()) <= set(split["pretrain"])
    for name in split["tabletop"]:
        with pytest.raises(ValueError, match="pretrain"):
            others.mesh(name)


# --- files ---


@pytest.fixture(scope="module")
def watch() -> Callable[[Callable[[], object]], set[Path]]:
    """A function that runs another one and tells which files that opened."""
    seen: list[str] | None = None

    def note(event: str, arguments: tuple) -> None:
        if event == "open" and seen is not None and isinstance(arguments[0], str):
            seen.append(arguments[0])

    sys.addaudithook(note)  # stays for the life of the process; quiet unless `seen` is a list

    def opened(work: Callable[[], object]) -> set[Path]:
        nonlocal seen
        seen = []
        try:
            work()
        finally:
            found, seen = seen, None
        return {Path(name).resolve() for name in found}

    return opened


def test_composing_scenes_opens_two_meshes_and_the_split_of_meshes_alone(watch):
    model.cache_clear()

    def work() -> None:
        for word in CLASSES:
            model(SEED, word, 0)
        for index in range(20):
            compose(SEED, index)

    below = {path.relative_to(ROOT).as_posix() for path in watch(work) if path.is_relative_to(ROOT)}
    data = {name for name in below if not name.endswith((".py", ".pyc"))}
    models = {f"assets/meshes/models/{name}/model.{end}" for name in others.MESHES.values() for end in
              ("obj", "mtl")}  # fmt: skip
    assert data == {"assets/meshes/split.json", *models}


def test_the_watch_sees_a_file_that_is_opened(watch):
    assert (SHIPPED / "val.json") in watch(lambda: (SHIPPED / "val.json").read_bytes())


def used_textures(scenes) -> set[Path]:
    """Files that the scenes' surfaces and things wear, and all that floors and walls may."""
    named = {name for kinds in (FLOORS, WALLS) for names in kinds.values() for name in names}
    named |= {surface.texture for scene in scenes for surface in (scene.floor, scene.wall)} - {None}
    worn = {
        part.texture for word in CLASSES for variant in range(VARIANTS if word in TABLETOP else 1)
        for part in model(SEED, word, variant)[0] if part.texture
    }  # fmt: skip
    return {TEXTURES / name for name in named} | {Path(name) for name in worn}


def test_no_texture_is_one_of_tabletop_neither_as_a_file_nor_as_a_picture(scenes):
    used = used_textures(scenes)
    assert len(used) > 15
    allowed = [TEXTURES, *(MESHES / "models" / name for name in others.MESHES.values())]
    assert all(path.is_file() and any(path.is_relative_to(place) for place in allowed) for path in used)
    digests = {sha256(path.read_bytes()).hexdigest() for path in used}
    of_target = [path for name in tabletop_meshes() for path in (MESHES / "models" / name).glob("*.jpg")]
    assert of_target
    assert not digests & {sha256(path.read_bytes()).hexdigest() for path in of_target}
    drawn = [small(Image.fromarray(pixels)) for pixels in tabletop_rooms.draw_textures(0).values()]
    for path in used:
        with Image.open(path) as picture:
            pixels = small(picture.convert("RGB"))
        assert min(np.abs(pixels - other).mean() for other in drawn) > 2, path


def small(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture.resize((16, 16)), dtype=float)


def test_no_digest_that_tabletop_lists_is_that_of_a_file_used_here(scenes):
    listing = read_json(SHIPPED / "tabletop.json")
    taken = {row["sha256"] if isinstance(row, dict) else row for row in listing["files"].values()}
    taken |= set(listing["mesh_sha256"].values())
    assert len(taken) > 700
    files = used_textures(scenes) | {
        MESHES / "models" / name / "model.obj" for name in others.MESHES.values()
    }
    assert not taken & {sha256(path.read_bytes()).hexdigest() for path in files}


# --- random branches ---


def test_scenes_draw_from_branches_of_their_own_alone(monkeypatch):
    drawn = set()

    def spy(seed: int, stream: str, index: int, attempt: int = 0) -> np.random.Generator:
        drawn.add(stream)
        return item_rng(seed, stream, index, attempt)

    monkeypatch.setattr(scene_module, "item_rng", spy)
    model.cache_clear()
    for index in range(40):
        compose(SEED, index)
    for word in CLASSES:
        model(SEED, word, 0)
    assert drawn == {"t2i.scene", "t2i.split", *(f"t2i.{word}" for word in CLASSES)}
    foreign = {*STREAMS.values(), tabletop_rooms.ROOM_STREAM, tabletop_rooms.TEXTURE_STREAM}
    foreign |= {targets.STREAM, queries.STREAM, rooms_stage.STREAM}
    assert len({stream_id(name) for name in drawn | foreign}) == len(drawn) + len(foreign)
    first = [item_rng(SEED, name, k).integers(2**63) for name in sorted(drawn | foreign) for k in range(50)]
    assert len(set(first)) == len(first)


# --- code ---


def test_no_module_of_the_corpus_imports_what_makes_or_reads_tabletop_or_a_box():
    assert len(SOURCES) >= 7
    for path in [*SOURCES, ROOT / "experiments/imaginarynet/learn/corpus.py"]:
        names = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        banned = (
            "assets.make.tabletop", "suite.datasets", "experiments.solid.store", "experiments.solid.layout",
            "experiments.solid.targets", "experiments.solid.labels", "pycocotools",
        )  # fmt: skip
        assert not {name for name in names if name.startswith(banned)}, path.name
