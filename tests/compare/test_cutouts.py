"""Renders of single things: alpha, all classes, the same whatever the shards and after a stop."""

import json

import numpy as np
import pytest

pytest.importorskip("bpy")

from PIL import Image

from assets.make.cutouts_render import FIRST_VARIANT, CutoutStage, compose_cutout
from assets.make.t2i_corpus_scene import TABLETOP, VARIANTS
from experiments.compare.config import CONFIG
from experiments.compare.cutouts import CLASSES, renders
from experiments.compare.stages import stages_of
from suite.config import load_config
from suite.provenance import ROOT
from suite.stage import Job


def job(out, *more):
    config = load_config(CONFIG, ROOT / "experiments/compare/configs/tiny.yaml", more)
    stage = stages_of(config)["cutouts"]
    return Job(stage=stage, config=config, seed=0, device="cpu", inputs={}, out=out)


def pictures(out):
    """`class/number` -> pixels, whatever the shard."""
    return {
        "/".join(path.parts[-2:]): np.array(Image.open(path)).tobytes() for path in sorted(out.rglob("*.png"))
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("cutouts") / "out"
    assert job(out).run()
    return out


def test_classes_are_tabletops_and_shapes_none_of_the_corpus():
    names = {
        row["name"] for row in json.loads((ROOT / "assets/tabletop/train.json").read_text())["categories"]
    }
    assert set(CLASSES) == names == set(TABLETOP)
    assert compose_cutout(0, "mug", 0).things[0].variant == FIRST_VARIANT >= VARIANTS


def test_every_class_is_there_with_a_thing_on_nothing(finished):
    for name in CLASSES:
        (path,) = finished.glob(f"*/{name}/00000.png")
        rgba = np.array(Image.open(path))
        assert rgba.shape == (32, 32, 4)
        alpha = rgba[..., 3]
        border = np.concatenate([alpha[0], alpha[-1], alpha[:, 0], alpha[:, -1]])
        assert 0.05 < (alpha > 127).mean() < 0.95 and not border.any()


def test_renders_depend_on_no_shard(finished, tmp_path):
    job(tmp_path / "other", "cutouts.shards=3").run()
    assert pictures(tmp_path / "other") == pictures(finished)


def test_a_killed_shard_keeps_what_it_has_rendered(finished, tmp_path, monkeypatch):
    calls = []
    render = CutoutStage.render

    def dies(self, scene):
        calls.append(scene.word)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return render(self, scene)

    monkeypatch.setattr(CutoutStage, "render", dies)
    with pytest.raises(KeyboardInterrupt):
        job(tmp_path / "out").run()
    job(tmp_path / "out").run()
    assert len(calls) == len(CLASSES) + 1  # only the interrupted one is done again
    assert pictures(tmp_path / "out") == pictures(finished)


def test_renders_take_the_classes_by_turns():
    listed = list(renders(2))
    assert [word for word, _ in listed[:10]] == list(CLASSES) and listed[10] == (CLASSES[0], 1)
