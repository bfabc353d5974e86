"""The stages that draw with diffusion: what a kill leaves is kept, and nothing depends on where it came."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from experiments.imaginarynet.config import ImaginaryNetConfig
from experiments.imaginarynet.config_sections import ComputeConfig, ImagesConfig
from experiments.imaginarynet.diffusion import stage
from experiments.imaginarynet.diffusion.pipeline import Diffusion
from experiments.imaginarynet.store.manifest import CANDIDATES, read_rows, write_rows
from experiments.imaginarynet.store.pictures import IMAGES, size_of
from experiments.imaginarynet.store.seeds import candidate_seed
from experiments.imaginarynet.store.tar import TarReader
from suite.errors import Missing, Stopped
from suite.stage import STOP
from tests.imaginarynet.candidates import CLASSES, context, finished, queued
from tests.imaginarynet.diffusion.tiny_pipeline import FLAGS_ALL, add_checker, settings

ROWS = [queued(class_id, number, backend=stage.BACKEND) for class_id in range(3) for number in range(2)]


def config(folder, *, shard_size=6, batch=2, samples=0, **changes):
    return ImaginaryNetConfig(
        classes=CLASSES, num=2, images=ImagesConfig(backend=stage.BACKEND, format="png", batch=batch),
        diffusion=settings(folder, steps=2, **changes), diffusion_samples=samples,
        compute=ComputeConfig(shard_size=shard_size),
    )  # fmt: skip


@pytest.fixture
def prompts(tmp_path):
    folder = finished(tmp_path / "prompts", "prompts")
    write_rows(folder / CANDIDATES, ROWS)
    return folder


def draw(root, prompts, settings, *, shard=0, name="images", run=stage.run):
    ctx = context(root, name, shard=shard, config=settings, inputs={"prompts": prompts})
    run(ctx)
    return ctx


def pictures_of(ctx):
    tar = TarReader(ctx.out / IMAGES)
    return {name: tar.read(name) for name in tar.names}


@pytest.fixture
def whole(tmp_path, folder, prompts):
    return draw(tmp_path / "whole", prompts, config(folder))


def test_every_row_gets_a_picture_of_its_true_size_and_says_what_made_it(whole):
    rows, files = read_rows(whole.out / CANDIDATES), pictures_of(whole)
    assert [row.candidate_id for row in rows] == [row.candidate_id for row in ROWS]
    for row in rows:
        assert (row.status, row.width, row.height) == ("done", 32, 32)
        assert size_of(files[row.path.partition(":")[2]], file="x") == (32, 32)
        assert row.params["scheduler"] == "ddim" and row.params["steps"] == 2
        assert len(row.models["diffusion"]) == 64
    assert whole.counts["pictures"] == len(ROWS)
    assert any("without a safety checker" in text for text in whole.warnings)


def test_pictures_do_not_depend_on_the_shards(tmp_path, folder, prompts, whole):
    found = {}
    for shard in range(2):
        # 5 and 1 rows: batches that are not full, and other neighbours
        found |= pictures_of(draw(tmp_path / "two", prompts, config(folder, shard_size=5), shard=shard))
    assert found == pictures_of(whole)


def test_a_stopped_shard_goes_on_without_drawing_what_stands(tmp_path, folder, prompts, whole, monkeypatch):
    drawn, original = [], Diffusion.draw

    def spy(self, texts, seeds):
        drawn.extend(texts)
        STOP.is_set = len(drawn) == 4
        return original(self, texts, seeds)

    monkeypatch.setattr(Diffusion, "draw", spy)
    try:
        with pytest.raises(Stopped):
            draw(tmp_path / "killed", prompts, config(folder))
    finally:
        STOP.is_set = False
    ctx = draw(tmp_path / "killed", prompts, config(folder))
    assert drawn == [row.prompt for row in ROWS]  # each once
    for name in (IMAGES, CANDIDATES):
        assert (ctx.out / name).read_bytes() == (whole.out / name).read_bytes()


def test_where_no_picture_is_missing_no_model_is_loaded(tmp_path, folder, prompts, monkeypatch):
    draw(tmp_path / "again", prompts, config(folder))
    monkeypatch.setattr(Diffusion, "load", lambda *args, **facts: pytest.fail("a model was loaded"))
    draw(tmp_path / "again", prompts, config(folder))
    write_rows(prompts / CANDIDATES, [])
    draw(tmp_path / "empty", prompts, config(folder))


def test_the_negative_prompt_stands_in_the_rows(tmp_path, folder, prompts):
    ctx = draw(tmp_path / "negative", prompts, config(folder, negative_prompt="a chair"))
    assert {row.negative_prompt for row in read_rows(ctx.out / CANDIDATES)} == {"a chair"}


def test_what_the_checker_holds_back_fails_with_the_reason(tmp_path, folder, prompts):
    copy = shutil.copytree(folder, tmp_path / "checked")
    add_checker(copy, threshold=FLAGS_ALL)
    ctx = draw(tmp_path / "held", prompts, config(copy))
    rows = read_rows(ctx.out / CANDIDATES)
    assert {(row.status, row.reason) for row in rows} == {("failed", stage.HELD_BACK)}
    assert ctx.counts["held_back"] == ctx.counts["failed"] == len(ROWS)
    assert pictures_of(ctx) == {}


def test_missing_weights_end_in_exit_3_that_tells_where_they_belong(tmp_path, prompts):
    with pytest.raises(Missing, match="model_index.json") as caught:
        draw(tmp_path / "none", prompts, config(tmp_path / "nowhere"))
    assert caught.value.exit_code == 3
    assert str(tmp_path / "nowhere") in str(caught.value)


# --- the samples beside the set ---


def test_samples_are_taken_from_the_classes_in_turn():
    assert [(row.class_id, row.number) for row in stage.in_turn(ROWS, 2)] == [(0, 0), (1, 0)]
    assert [(row.class_id, row.number) for row in stage.in_turn(ROWS, 4)] == [(0, 0), (0, 1), (1, 0), (2, 0)]
    assert stage.in_turn(ROWS, 99) == ROWS
    without = [replace(ROWS[0], status="failed", reason="no prompt"), *ROWS[1:]]
    assert [(row.class_id, row.number) for row in stage.in_turn(without, 3)] == [(0, 1), (1, 0), (2, 0)]


def test_a_candidate_without_a_prompt_is_passed_on(tmp_path, folder, prompts, whole):
    rows = [replace(ROWS[0], status="failed", reason="no prompt"), *ROWS[1:]]
    write_rows(prompts / CANDIDATES, rows)
    ctx = draw(tmp_path / "without", prompts, config(folder))
    assert [row.reason for row in read_rows(ctx.out / CANDIDATES)] == ["no prompt"] + [""] * 5
    others = pictures_of(whole)
    del others[f"{ROWS[0].candidate_id}.png"]
    assert pictures_of(ctx) == others


def test_samples_are_the_pictures_that_the_backend_itself_would_draw(tmp_path, folder, prompts, whole):
    rows = [replace(row, backend="dalle-mini", seed=7) for row in ROWS]
    write_rows(prompts / CANDIDATES, rows)
    ctx = draw(
        tmp_path / "samples", prompts, config(folder, samples=2), shard=None, name="diffusion-samples",
        run=stage.run_samples,
    )  # fmt: skip
    seeds = [candidate_seed(0, stage.BACKEND, row.class_name, number=row.number) for row in ROWS]
    assert all(row.seed != seed for row, seed in zip(ROWS, seeds, strict=True))  # theirs are of dalle-mini
    found = read_rows(ctx.out / CANDIDATES)
    assert [(row.class_id, row.number, row.backend) for row in found] == [
        (0, 0, stage.BACKEND), (1, 0, stage.BACKEND),
    ]  # fmt: skip
    assert [row.seed for row in found] == [seeds[0], seeds[2]]
    set_rows = [replace(row, seed=seed) for row, seed in zip(ROWS, seeds, strict=True)]
    write_rows(prompts / CANDIDATES, set_rows)
    as_set = pictures_of(draw(tmp_path / "set", prompts, config(folder)))
    assert pictures_of(ctx) == {name: as_set[name] for name in pictures_of(ctx)}
    assert len(pictures_of(ctx)) == 2
    assert np.unique([row.path for row in found]).size == 2
