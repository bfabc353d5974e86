"""`detect`: pictures in, boxes, masks and names out; bad input is one line."""

import json
import os
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import suite.compat.detectron2  # noqa: F401

# isort: split
from detectron2.config import instantiate

from experiments.solid.learn import detect
from experiments.solid.learn.engine.checkpoint import save_model
from experiments.solid.learn.pretrain.lazy import lazy_pretrain
from experiments.solid.learn.pretrain.load import load_pretrained, read_config
from suite.config import dump
from suite.datasets.masks import decode
from suite.errors import BadInput
from suite.provenance import ROOT
from tests.forked import run_forked
from tests.solid.learn.pretrain.runs import FRAMEWORK
from tests.solid.learn.stores import colour, textured


def save(path, side=(40, 30), seed=0, rgb=(200.0, 40.0, 40.0)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(textured(np.random.default_rng(seed), *side, np.array(rgb))).save(path)
    return path


@pytest.fixture(scope="module")
def pretrained(tiny_config, tmp_path_factory):
    """A folder as `pretrain` leaves it, of a model with random weights."""
    folder = tmp_path_factory.mktemp("pretrain")
    torch.manual_seed(0)
    model = instantiate(lazy_pretrain(tiny_config, num_classes=6, seed=0, device="cpu").model)
    save_model(folder / "model.pth", model.state_dict())
    (folder / "config.yaml").write_text(dump(tiny_config))
    return folder


@pytest.fixture
def queries(tmp_path):
    folder = tmp_path / "queries"
    save(folder / "mug.png")
    save(folder / "lamp" / "front.jpg", seed=1, rgb=colour(3, 6))
    save(folder / "lamp" / "back.PNG", seed=2, side=(20, 50), rgb=colour(3, 6))
    (folder / "notes.txt").write_text("no picture")
    (folder / "empty").mkdir()
    return folder


def run(*words, cwd):
    line = [sys.executable, "-m", "experiments.solid", "detect", *map(str, words)]
    return run_forked(line, preload=FRAMEWORK, cwd=cwd, env={**os.environ, "PYTHONPATH": str(ROOT)})


def test_a_folder_of_views_is_one_query_and_a_picture_is_another(queries):
    found = detect.read_queries(queries)
    assert [(query.name, [view.shape for view in query.views]) for query in found] == [
        ("lamp", [(20, 50, 3), (40, 30, 3)]),
        ("mug", [(40, 30, 3)]),
    ]


def test_a_query_is_the_mean_direction_of_its_views(pretrained, queries, tiny_config):
    model = load_pretrained(pretrained / "model.pth", tiny_config, "cpu")
    lamp, mug = detect.read_queries(queries)
    size = tiny_config.pretrain.query_size
    both = detect.embed(model, [lamp, mug], size)
    parts = [detect.embed(model, [detect.Query("part", (view,))], size) for view in lamp.views]
    wanted = torch.nn.functional.normalize(parts[0] + parts[1], dim=1)
    torch.testing.assert_close(both[:1], wanted, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(both.norm(dim=1), torch.ones(2))


def test_masks_and_boxes_are_those_of_the_given_picture(pretrained, queries, tiny_config):
    model = load_pretrained(pretrained / "model.pth", tiny_config, "cpu")
    picture = textured(np.random.default_rng(5), 90, 70, np.full(3, 120.0))
    found = detect.detect(model, tiny_config, picture, detect.read_queries(queries), min_score=0.0, most=7)
    assert 0 < len(found["boxes"]) <= 7 and found["masks"].shape[1:] == (90, 70)
    tree = detect.as_coco(found, "picture.png", (90, 70), ["lamp", "mug"])
    assert [c["name"] for c in tree["categories"]] == ["lamp", "mug"]
    for k, row in enumerate(tree["annotations"]):
        x, y, w, h = row["bbox"]
        assert x >= 0 and y >= 0 and x + w <= 70 and y + h <= 90
        mask = decode(row["segmentation"], 90, 70)
        np.testing.assert_array_equal(mask, found["masks"][k])
        assert row["area"] == mask.sum()
    assert [row["score"] for row in tree["annotations"]] == sorted(found["scores"].tolist(), reverse=True)
    drawn = detect.draw(picture, detect.read_queries(queries), found)
    assert drawn.dtype == np.uint8 and drawn.shape[0] > 90 + detect.CELL


@pytest.mark.slow
def test_the_command_draws_and_lists_what_it_found(pretrained, queries, tmp_path):
    image = save(tmp_path / "scene.jpg", side=(60, 80))
    words = ("--queries", queries, "--image", image, "--min-score", 0, "--most", 3)
    done = run("--pretrain", pretrained, *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    tree = json.loads((tmp_path / "detected/scene.json").read_text())
    assert 0 < len(tree["annotations"]) <= 3
    assert len(done.stdout.splitlines()) == len(tree["annotations"]) + 1
    with Image.open(tmp_path / "detected/scene.png") as drawn:
        drawn.load()
    config = ("--config", ROOT / "experiments/solid/configs/tiny.yaml")
    again = run(
        "--weights", pretrained / "model.safetensors", *config, *words, "--out", "other", cwd=tmp_path
    )
    assert again.returncode == 0, again.stderr
    assert json.loads((tmp_path / "other/scene.json").read_text()) == tree
    none = run("--pretrain", pretrained, *words[:-4], "--min-score", 1.1, cwd=tmp_path)
    assert none.returncode == 0 and "none of 2 queries was found" in none.stdout
    best = max(row["score"] for row in tree["annotations"])
    assert f"or more: the best has {best:.2f}" in none.stdout
    assert json.loads((tmp_path / "detected/scene.json").read_text())["annotations"] == []


@pytest.mark.slow
def test_bad_input_is_one_line_and_exit_2(pretrained, queries, tmp_path):
    image = save(tmp_path / "scene.png")
    broken = tmp_path / "broken.png"
    broken.write_bytes(image.read_bytes()[:200])
    (tmp_path / "nothing").mkdir()
    weights = ("--weights", pretrained / "model.pth")
    cases = [
        (("--pretrain", pretrained, "--queries", tmp_path / "nothing", "--image", image), "holds no picture"),
        (("--pretrain", pretrained, "--queries", queries, "--image", broken), "does not decode"),
        (("--pretrain", tmp_path, "--queries", queries, "--image", image), "config.yaml: is missing"),
        ((*weights, "--queries", queries, "--image", image), "is of another architecture"),
        (("--queries", queries, "--image", image), "required"),
        (("--pretrain", pretrained, "--querys", queries, "--image", image), "--queries"),
    ]
    for words, message in cases:
        done = run(*words, cwd=tmp_path)
        lines = done.stderr.strip().splitlines()
        assert done.returncode == 2 and len(lines) == 1, (words, done.stderr)
        assert message in lines[0] and lines[0].startswith("error: ")
        assert done.stdout == ""
    assert not (tmp_path / "detected").exists()


def test_two_queries_of_one_name_and_damaged_views_are_refused(tmp_path):
    save(tmp_path / "mug.png")
    save(tmp_path / "mug" / "side.png")
    with pytest.raises(BadInput, match="two queries have the name 'mug'"):
        detect.read_queries(tmp_path)
    (tmp_path / "mug.png").write_bytes(b"not a picture")
    with pytest.raises(BadInput, match=r"mug\.png: picture does not decode"):
        detect.read_queries(tmp_path)
    with pytest.raises(BadInput, match="no such folder"):
        detect.read_queries(tmp_path / "absent")


def test_a_checkpoint_without_a_bank_is_no_pre_training_checkpoint(pretrained, tiny_config, tmp_path):
    save_model(tmp_path / "model.pth", {"backbone.weight": torch.zeros(3)})
    with pytest.raises(BadInput, match="holds no bank `queue`"):
        load_pretrained(tmp_path / "model.pth", tiny_config, "cpu")
    with pytest.raises(BadInput, match="no such checkpoint"):
        load_pretrained(tmp_path / "absent.pth", tiny_config, "cpu")


def test_settings_that_an_older_folder_does_not_name_are_the_published_ones(pretrained, tmp_path):
    text = (pretrained / "config.yaml").read_text()
    shorter = "".join(line for line in text.splitlines(True) if "held_out_models" not in line)
    assert shorter != text
    (tmp_path / "config.yaml").write_text(shorter)
    assert read_config(tmp_path) == read_config(pretrained)
    (tmp_path / "config.yaml").write_text(text.replace("held_out_models", "held_out_modles"))
    with pytest.raises(BadInput, match="held_out_modles"):
        read_config(tmp_path)
