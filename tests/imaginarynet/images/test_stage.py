import dataclasses

import pytest

from experiments.imaginarynet.config import ImaginaryNetConfig
from experiments.imaginarynet.config_sections import ComputeConfig, ImagesConfig
from experiments.imaginarynet.images import stage
from experiments.imaginarynet.images.dalle_mini import DalleMini
from experiments.imaginarynet.store.manifest import CANDIDATES, read_rows, write_rows
from experiments.imaginarynet.store.pictures import IMAGES
from suite.errors import Stopped
from tests.imaginarynet.candidates import CLASSES, context, finished, queued
from tests.imaginarynet.images.painters import settings
from tests.imaginarynet.tiny_models import write_models

ROWS = [queued(class_id, number) for class_id in range(3) for number in range(3)]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    write_models(folder)
    return folder


def config_of(models, *, shard_size=100, image_format="png", batch=4):
    return ImaginaryNetConfig(
        classes=CLASSES, num=3, dalle_mini=settings(models),
        images=ImagesConfig(batch=batch, format=image_format), compute=ComputeConfig(shard_size=shard_size),
    )  # fmt: skip


def prompts_of(folder, rows=ROWS):
    made = finished(folder / "prompts", "prompts")
    write_rows(made / CANDIDATES, rows)
    return {"prompts": made}


def drawn(folder, models, *, rows=ROWS, shard=0, **changes):
    """The work folder of one shard that has been drawn."""
    folder.mkdir(exist_ok=True)
    config = config_of(models, **changes)
    ctx = context(folder, shard=shard, config=config, inputs=prompts_of(folder, rows))
    stage.run(ctx)
    return ctx


def test_every_prompt_gets_a_picture_with_all_that_made_it(tmp_path, models):
    ctx = drawn(tmp_path, models)
    rows = read_rows(ctx.out / CANDIDATES)
    assert [row.candidate_id for row in rows] == [row.candidate_id for row in ROWS]
    for row, asked in zip(rows, ROWS, strict=True):
        assert (row.status, row.width, row.height, row.seed) == ("done", 16, 16, asked.seed)
        assert row.path == f"images/00000:{row.candidate_id}.png"
        assert set(row.models) == {"dallebart", "vqgan", "tokenizer"} and row.params["top_k"] == 50
    assert len({row.sha256 for row in rows}) == len(rows)
    assert ctx.counts["pictures"] == 9 and ctx.facts["drawn"] == 9


def test_pictures_do_not_depend_on_shards_or_on_their_order(tmp_path, models):
    whole = {r.candidate_id: r.sha256 for r in read_rows(drawn(tmp_path / "a", models).out / CANDIDATES)}
    for shard in range(2):
        ctx = drawn(tmp_path / f"b{shard}", models, rows=ROWS[::-1], shard=shard, shard_size=5)
        rows = read_rows(ctx.out / CANDIDATES)
        assert len(rows) == (5, 4)[shard]
        assert all(whole[row.candidate_id] == row.sha256 for row in rows)


def test_a_stopped_shard_goes_on_where_it_was(tmp_path, models, monkeypatch):
    undisturbed = drawn(tmp_path / "whole", models)
    folder = tmp_path / "stopped"
    folder.mkdir()
    ctx = context(folder, shard=0, config=config_of(models), inputs=prompts_of(folder))

    def stop():
        raise Stopped("stopped")

    ctx.check_stop = stop
    with pytest.raises(Stopped):
        stage.run(ctx)
    assert not (ctx.out / IMAGES).exists()
    again = context(folder, shard=0, config=config_of(models), inputs=prompts_of(folder))
    stage.run(again)
    assert again.facts["drawn"] == 5  # the first batch stood
    for name in (CANDIDATES, IMAGES):
        assert (again.out / name).read_bytes() == (undisturbed.out / name).read_bytes()


def test_nothing_left_to_draw_loads_no_model(tmp_path, models, monkeypatch):
    ctx = drawn(tmp_path, models)
    monkeypatch.setattr(DalleMini, "load", None)
    stage.run(context(tmp_path, shard=0, config=config_of(models), inputs=ctx.inputs))
    empty = tmp_path / "empty"
    ctx = drawn(empty, models, rows=[])
    assert read_rows(ctx.out / CANDIDATES) == []


def test_a_picture_that_overflowed_is_failed_and_the_others_are_kept(tmp_path, models, monkeypatch):
    real = DalleMini.draw

    def draw(self, prompts, seeds):
        found = real(self, prompts, seeds)
        return dataclasses.replace(found, _is_good=found._is_good.at[1].set(False))

    monkeypatch.setattr(DalleMini, "draw", draw)
    ctx = drawn(tmp_path, models, batch=9)
    rows = read_rows(ctx.out / CANDIDATES)
    assert [row.status for row in rows] == ["done", "failed"] + ["done"] * 7
    assert "overflowed" in rows[1].reason
    assert ctx.counts == {"pictures": 8, "failed": 1}


def test_a_later_round_reads_its_own_prompts(tmp_path, models):
    rows = [queued(0, 7, round=2)]
    made = finished(tmp_path / "prompts-2", "prompts-2")
    write_rows(made / CANDIDATES, rows)
    ctx = context(tmp_path, "images-2", shard=0, config=config_of(models), inputs={"prompts-2": made})
    stage.run(ctx)
    assert read_rows(ctx.out / CANDIDATES)[0].path == "images-2/00000:00000-000007.png"
