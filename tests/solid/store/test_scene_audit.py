import dataclasses
from pathlib import Path

import numpy as np
import pytest

from experiments.solid.config import SolidConfig
from experiments.solid.layout.compose import compose_target
from experiments.solid.layout.failure import LayoutFailure
from experiments.solid.store.scene_audit import SceneAudit
from suite.config import load_config
from suite.seeds import item_rng
from tests.solid.layout.conftest import box_room, write_meshes, write_rooms

SMOKE = Path(__file__).resolve().parents[3] / "experiments/solid/configs/smoke.yaml"


@pytest.fixture
def libraries(tmp_path):
    cube = np.array([(x, y, z) for x in (0, 1) for y in (0, 1) for z in (0, 1)], dtype=np.float64)
    meshes = write_meshes(tmp_path / "clean", [cube, cube * (2, 0.5, 0.1)])
    return write_rooms(tmp_path / "rooms", {"000": box_room()}), meshes


def test_composed_scenes_pass_the_audit_and_a_moved_object_does_not(libraries):
    rooms, meshes = libraries
    config = load_config(SolidConfig, SMOKE)
    audit = SceneAudit(meshes.folder, rooms.folder, config, num_images=4)
    for index in range(20):
        rng = item_rng(0, "test", index)
        try:
            scene = compose_target(rng, config, rooms=rooms, meshes=meshes, seed=0, index=index, attempt=0)
            break
        except LayoutFailure:
            continue
    assert audit(0, scene.to_json()) == []
    first = dataclasses.replace(scene.objects[0], location=(0.0, 0.0, -3.0))
    moved = dataclasses.replace(scene, objects=(first, *scene.objects[1:]))
    assert audit(0, moved.to_json())


def test_the_audit_is_bounded_and_spread_evenly(tmp_path):
    audit = SceneAudit(tmp_path, tmp_path, load_config(SolidConfig, SMOKE), num_images=1_000_000)
    looked = [index for index in range(10_000) if audit(index, "{}") is not None]
    assert looked == [0, 3907, 7814]
