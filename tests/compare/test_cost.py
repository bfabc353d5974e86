"""What an arm costs: sums over manifests, each stage once, models of others named and not counted."""

import json
from dataclasses import asdict

import pytest

from experiments.compare.cost import Cost, Part, arm_cost, chain_parts, stage_part
from experiments.compare.elsewhere import embedded_parts
from suite.errors import BadInput


def put(folder, *, cpu, wall=1.0, device="cpu", inputs=(), **more):
    """A finished stage."""
    folder.mkdir(parents=True)
    tree = {
        "key": folder.name, "system": "toy", "stage": folder.name, "device": device, "cpu_seconds": cpu,
        "wall_seconds": wall, "inputs": {name: {"path": f"../{name}"} for name in inputs}, **more,
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(tree))


def test_a_wide_stage_costs_what_its_shards_do(tmp_path):
    shards = [{"cpu_seconds": 3.0, "wall_seconds": 5.0}, {"cpu_seconds": 4.0, "wall_seconds": 6.0}]
    put(tmp_path / "a", cpu=1.0, shards=shards)
    assert stage_part(tmp_path / "a") == Part("toy: a", 8.0)


def test_gpu_seconds_are_the_wall_seconds_of_stages_on_a_gpu(tmp_path):
    put(tmp_path / "a", cpu=2.0, wall=30.0, device="cuda")
    assert stage_part(tmp_path / "a").gpu_seconds == 30.0


def test_a_chain_counts_every_stage_once_and_first_things_first(tmp_path):
    put(tmp_path / "a", cpu=1.0)
    put(tmp_path / "b", cpu=2.0, inputs=("a",))
    put(tmp_path / "c", cpu=4.0, inputs=("a", "b"))
    parts = chain_parts(tmp_path / "c")
    assert [part.name for part in parts] == ["toy: a", "toy: b", "toy: c"]
    assert Cost(tuple(parts)).cpu_seconds == 7.0


def test_an_arm_costs_what_was_noted_and_its_own_stage(tmp_path):
    noted = [asdict(Part("before", 3600.0, 1800.0))]
    put(tmp_path / "a", cpu=3600.0, facts={"cost": noted})
    cost = arm_cost(tmp_path / "a")
    assert (cost.cpu_hours, cost.gpu_hours) == (2.0, 0.5)
    assert [part.name for part in cost.parts] == ["before", "toy: a"]


def test_real_pictures_cost_nothing_and_an_unfinished_stage_is_no_figure(tmp_path):
    assert arm_cost(None).cpu_seconds == 0
    with pytest.raises(BadInput, match="no finished stage"):
        arm_cost(tmp_path / "nothing")


TINY = {"model": "embedded-tiny"}
CLIP = {**TINY, "enabled": True}


def test_embedded_models_count_and_those_of_others_are_named():
    config = {
        "dalle_mini": TINY, "clip": CLIP, "images": {"backend": "dalle-mini"}, "prompts": {"source": "lm"}
    }  # fmt: skip
    parts = {part.name: part for part in embedded_parts(config)}
    assert parts["training VQGAN"].cpu_seconds == 1200 and "by the clock" in parts["training VQGAN"].note
    assert parts["training CLIP"].cpu_seconds > 0 and "training diffusion" not in parts
    assert parts["language model"].cpu_seconds == 0 and "not counted" in parts["language model"].note


def test_published_models_are_not_counted_as_embedded_ones():
    config = {"dalle_mini": {"model": "/models/mega"}, "clip": {"enabled": False}, "images": {}}
    assert sum(part.cpu_seconds for part in embedded_parts(config)) == 0


def test_the_diffusion_backend_counts_its_own_model():
    config = {"diffusion": TINY, "clip": {"enabled": False}, "images": {"backend": "stablediffusion"}}
    names = [part.name for part in embedded_parts(config)]
    assert "training diffusion" in names and "training VQGAN" not in names
