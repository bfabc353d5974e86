"""What tabletop does not share with pre-training: meshes, streams, rooms, textures, lights, cameras."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from assets.make import tabletop_rooms
from assets.make.tabletop_plan import CONFIG, SEED
from assets.make.tabletop_scene import STREAMS
from experiments.solid import queries, targets
from experiments.solid.config import SolidConfig
from experiments.solid.meshes.fetch import EMBEDDED
from experiments.solid.meshes.geometry import TWIN_TOLERANCE
from experiments.solid.meshes.validate import inspect
from experiments.solid.rooms import procedural
from experiments.solid.rooms import stage as rooms_stage
from experiments.solid.rooms.textures import candidates
from suite.config import load_config
from suite.datasets.coco import read_json
from suite.datasets.tabletop import LISTING, TABLETOP
from suite.seeds import item_rng, stream_id

CONFIGS = Path(rooms_stage.__file__).parents[1] / "configs"
PRETRAINING = sorted(path for path in CONFIGS.glob("*.yaml"))
# Ranges that share no value with those of any pre-training config, as assets/tabletop/README.md says.
APART = (
    "rooms.footprint", "rooms.height", "rooms.ceiling_strength", "layout.camera_radius",
    "layout.camera_height", "layout.look_at_z", "layout.key_light_size", "layout.key_light_energy",
    "layout.fill_light_energy", "layout.back_light_energy", "render.fov", "render.world_color",
)  # fmt: skip


def interval(config: SolidConfig, name: str) -> tuple[float, float]:
    section, _, field = name.partition(".")
    value = getattr(getattr(config, section), field)
    return (min(value), max(value)) if isinstance(value, tuple) else (value, value)


def meshes_of(side: str) -> dict[str, dict]:
    rows = {row["id"]: row for row in read_json(EMBEDDED / "meshes.json")["meshes"]}
    return {name: rows[name] for name in read_json(EMBEDDED / "split.json")[side]}


def test_every_pretraining_config_takes_the_other_side_of_the_meshes():
    assert len(PRETRAINING) >= 4
    assert all(load_config(SolidConfig, path).meshes.side == "pretrain" for path in PRETRAINING)
    assert load_config(SolidConfig, CONFIG).meshes.side == "tabletop"


def test_no_mesh_is_a_pretraining_mesh_neither_as_a_file_nor_as_a_geometry():
    used = read_json(TABLETOP / LISTING)["mesh_sha256"]
    assert set(used) == set(meshes_of("tabletop"))
    paths = {name: EMBEDDED / row["model"] for name, row in meshes_of("pretrain").items()}
    digests = {sha256(path.read_bytes()).hexdigest() for path in paths.values()}
    assert not digests & set(used.values())
    other = [inspect(str(path), str(EMBEDDED))["facts"]["signature"] for path in paths.values()]
    for name, row in meshes_of("tabletop").items():
        path = EMBEDDED / row["model"]
        assert sha256(path.read_bytes()).hexdigest() == used[name]
        signature = inspect(str(path), str(EMBEDDED))["facts"]["signature"]
        assert min(np.linalg.norm(np.subtract(signature, one)) for one in other) > 10 * TWIN_TOLERANCE


def test_random_streams_are_its_own_and_never_give_the_same_numbers():
    own = [*STREAMS.values(), tabletop_rooms.ROOM_STREAM, tabletop_rooms.TEXTURE_STREAM]
    foreign = [targets.STREAM, queries.STREAM, rooms_stage.STREAM]
    assert len({stream_id(name) for name in own + foreign}) == len(own) + len(foreign)
    first = {
        (name, index): item_rng(SEED, name, index).integers(2**63)
        for name in own + foreign
        for index in range(400)
    }
    assert len(set(first.values())) == len(first)


@pytest.mark.parametrize("path", PRETRAINING, ids=lambda path: path.stem)
@pytest.mark.parametrize("name", APART)
def test_ranges_of_rooms_lights_and_cameras_do_not_meet(path, name):
    low, high = interval(load_config(SolidConfig, CONFIG), name)
    other_low, other_high = interval(load_config(SolidConfig, path), name)
    assert high < other_low or other_high < low


def test_no_texture_is_a_pretraining_texture(tmp_path):
    drawn = tabletop_rooms.draw_textures(SEED)
    shipped = set()
    for path in rooms_stage.TEXTURES.glob("*/*.jpg"):
        with Image.open(path) as picture:
            small = np.asarray(picture.convert("RGB").resize((16, 16)), dtype=float)
        shipped.add(small.tobytes())
        for name, pixels in drawn.items():
            other = np.asarray(Image.fromarray(pixels).resize((16, 16)), dtype=float)
            assert np.abs(small - other).mean() > 2, (path.name, name)
    assert len(shipped) == len(list(rooms_stage.TEXTURES.glob("*/*.jpg")))
    tabletop_rooms.write_rooms(tmp_path, num_rooms=1, seed=SEED)
    for surface in tabletop_rooms.octagon_room(np.random.default_rng(0)):
        worn = candidates(surface.material, tmp_path / "textures")
        assert {f"{path.parent.name}/{path.name}" for path in worn} <= set(drawn)
        assert worn[0].parent.name != "unknown"


def wall_normals(surfaces: list) -> np.ndarray:
    """Unit normals (N, 3) of the upright quads."""
    quads = np.concatenate([surface.quads for surface in surfaces])
    normals = np.cross(quads[:, 1] - quads[:, 0], quads[:, 2] - quads[:, 0])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return normals[np.abs(normals[:, 2]) < 0.5]


@pytest.mark.parametrize("index", range(24))
def test_every_room_has_oblique_walls_and_no_pretraining_room_has_one(index):
    own = wall_normals(tabletop_rooms.octagon_room(item_rng(SEED, tabletop_rooms.ROOM_STREAM, index)))
    other = wall_normals(procedural.make_room(index, item_rng(SEED, rooms_stage.STREAM, index)))
    assert (np.abs(own[:, :2]).min(axis=1) > 0.1).sum() == 8  # four walls, each with its panel
    assert np.abs(other[:, :2]).min(axis=1).max() < 1e-9


def test_the_readme_says_what_differs():
    text = (TABLETOP / "README.md").read_text()
    assert "stand-in" in text
    for name in APART:
        assert f"`{name}`" in text, name
