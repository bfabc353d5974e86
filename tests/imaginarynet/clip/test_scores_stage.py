"""The stage `scores`: every picture's scores, one model for all shards, none where there is no picture."""

import os
from dataclasses import replace

import pytest

from experiments.imaginarynet.clip import scorer as scorer_module
from experiments.imaginarynet.clip.scores_stage import run
from experiments.imaginarynet.config import ImaginaryNetConfig
from experiments.imaginarynet.config_sections import ClipConfig
from experiments.imaginarynet.store.manifest import CANDIDATES, read_rows, write_rows
from experiments.imaginarynet.store.pictures import IMAGES
from suite.errors import BadInput, Missing, Stopped
from suite.stage import STOP
from tests.imaginarynet.candidates import CLASSES, context, finished, images_stage, queued
from tests.imaginarynet.clip.tiny_clip import write_clip

ROWS = [queued(class_id, number) for class_id in range(3) for number in range(4)]


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(autouse=True)
def _no_model_left():
    scorer_module.shared_scorer.cache_clear()


def config_of(clip_folder):
    return ImaginaryNetConfig(classes=CLASSES, num=4, clip=ClipConfig(model=str(clip_folder), batch=5))


def scores_of(folder, config, *, shard=0, name="scores"):
    """(rows, context) of the stage over the finished `images` in `folder`."""
    ctx = context(folder, name, shard=shard, config=config, inputs={"images": folder / "images"})
    run(ctx)
    return read_rows(ctx.out / CANDIDATES), ctx


def test_every_row_of_the_shard_gets_its_scores_and_keeps_all_else(tmp_path, clip_folder):
    before = images_stage(tmp_path, ROWS, size=(20, 24))
    rows, ctx = scores_of(tmp_path, config_of(clip_folder))
    assert ctx.counts == {"candidates": 12, "scored": 12}
    for old, new in zip(before, rows, strict=True):
        assert sum(new.scores) == pytest.approx(1, abs=1e-5)
        assert new.p_label == new.scores[new.class_id]
        assert new.top1 == new.scores.index(max(new.scores))
        assert new.models.keys() == {*old.models, "clip"}
        changed = {"scores": None, "top1": None, "p_label": None, "models": old.models}
        assert replace(new, **changed) == old


def test_scores_do_not_depend_on_how_the_batches_fall(tmp_path, clip_folder):
    images_stage(tmp_path / "a", ROWS, size=(20, 24))
    images_stage(tmp_path / "b", ROWS[3:], size=(20, 24))
    config = config_of(clip_folder)
    all_rows, _ = scores_of(tmp_path / "a", config)
    some, _ = scores_of(tmp_path / "b", config)
    assert [row.scores for row in some] == [row.scores for row in all_rows[3:]]


def test_one_process_loads_the_model_once_for_all_its_shards(tmp_path, clip_folder, monkeypatch):
    images_stage(tmp_path, ROWS, size=(20, 24))
    second = tmp_path / "images" / "00001"
    second.mkdir()
    for name in (CANDIDATES, IMAGES):
        (second / name).write_bytes((tmp_path / "images" / "00000" / name).read_bytes())
    calls = []
    load = scorer_module.read_model
    monkeypatch.setattr(
        scorer_module, "read_model", lambda folder, **how: calls.append(folder) or load(folder, **how)
    )
    config = config_of(clip_folder)
    scores_of(tmp_path, config, shard=0)
    scores_of(tmp_path, config, shard=1)
    assert calls == [clip_folder]


def test_an_empty_shard_asks_for_no_model(tmp_path):
    finished(tmp_path / "images")
    (tmp_path / "images" / "00000").mkdir()
    write_rows(tmp_path / "images" / "00000" / CANDIDATES, [])
    rows, ctx = scores_of(tmp_path, config_of(tmp_path / "no such model"))
    assert rows == []
    assert ctx.counts["scored"] == 0


def test_a_missing_model_is_told_with_its_place(tmp_path):
    images_stage(tmp_path, ROWS[:1], size=(20, 24))
    with pytest.raises(Missing, match="no such model"):
        scores_of(tmp_path, config_of(tmp_path / "no such model"))


def test_pictures_of_another_class_list_are_refused(tmp_path, clip_folder):
    images_stage(tmp_path, ROWS[:5], size=(20, 24))
    config = replace(config_of(clip_folder), classes=(*CLASSES[1::-1], *CLASSES[2:]))
    with pytest.raises(BadInput, match="00000-000000 is of 'mug', not number 0 of `classes`"):
        scores_of(tmp_path, config)


def test_a_picture_that_cannot_be_read_fails_and_the_others_go_on(tmp_path, clip_folder):
    images_stage(tmp_path, ROWS, size=(20, 24))
    path = tmp_path / "images" / "00000" / CANDIDATES
    rows = read_rows(path)
    write_rows(path, [replace(rows[0], sha256="0" * 64), *rows[1:]])
    found, ctx = scores_of(tmp_path, config_of(clip_folder))
    assert (found[0].status, found[0].scores) == ("failed", None)
    assert "is not the recorded picture" in found[0].reason
    assert all(row.scores is not None for row in found[1:])
    assert ctx.counts["failed"] == 1


@pytest.mark.parametrize("is_there", [False, True])
def test_a_shard_whose_tar_is_gone_or_cut_off_is_an_error_before_a_model_is_loaded(tmp_path, is_there):
    images_stage(tmp_path, ROWS, size=(20, 24))
    tar = tmp_path / "images" / "00000" / IMAGES
    if is_there:
        os.truncate(tar, tar.stat().st_size // 2)
    else:
        tar.unlink()
    with pytest.raises(BadInput, match=r"/images/00000/images\.tar: .*; run its stage again$") as raised:
        scores_of(tmp_path, config_of(tmp_path / "no such model"))
    assert raised.value.exit_code == 2
    assert not list(tmp_path.glob("scores*/**/candidates.jsonl"))


def test_a_stopped_stage_goes_on_without_scoring_again(tmp_path, clip_folder, monkeypatch):
    images_stage(tmp_path, ROWS, size=(20, 24))
    config = config_of(clip_folder)
    expected, _ = scores_of(tmp_path, config, shard=None)
    monkeypatch.setattr(STOP, "is_set", True)
    ctx = context(tmp_path / "other", "scores", shard=0, config=config,
                  inputs={"images": tmp_path / "images"})  # fmt: skip
    with pytest.raises(Stopped):
        run(ctx)
    monkeypatch.setattr(STOP, "is_set", False)
    assert len(read_rows(ctx.work / CANDIDATES)) == 5
    seen = []
    scores = scorer_module.ClipScorer.scores
    monkeypatch.setattr(
        scorer_module.ClipScorer, "scores",
        lambda self, pictures: (seen.extend(some := list(pictures)), scores(self, some))[1],
    )  # fmt: skip
    run(ctx)
    assert len(seen) == 7
    assert read_rows(ctx.out / CANDIDATES) == expected
