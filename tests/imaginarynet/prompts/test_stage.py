"""The stage `prompts`: queued rows for what is missing, over rounds, kills and pictures per prompt."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest

from experiments.imaginarynet.config import ImaginaryNetConfig
from experiments.imaginarynet.config_sections import ImagesConfig, PromptsConfig, ReplaceConfig
from experiments.imaginarynet.prompts import stage
from experiments.imaginarynet.store.manifest import CANDIDATES, read_rows, write_rows
from suite.errors import Stopped
from suite.stage import STOP
from tests.imaginarynet.candidates import CLASSES, context, finished, images_stage, scored
from tests.imaginarynet.prompts.texts import FewTexts

CONFIG = ImaginaryNetConfig(classes=CLASSES, num=5, replace=ReplaceConfig(rounds=3))


@pytest.fixture
def loaded(monkeypatch):
    """The models that stages loaded."""
    found: list[FewTexts] = []

    def load(ctx):
        found.append(FewTexts())
        return found[-1]

    monkeypatch.setattr(stage, "_load", load)
    return found


def run(folder, name="prompts", *, config=CONFIG, inputs=None, seed=0):
    ctx = context(folder, name, config=config, inputs=inputs, seed=seed)
    stage.run(ctx)
    return ctx, read_rows(ctx.out / CANDIDATES)


def test_the_first_round_queues_the_number_of_every_class_in_order(tmp_path, loaded):
    ctx, rows = run(tmp_path)
    assert [(row.class_id, row.number) for row in rows] == [(c, n) for c in range(3) for n in range(5)]
    assert {(row.status, row.round, row.prompt_source) for row in rows} == {("queued", 1, "lm:few")}
    assert rows[5].label == "trafficlight" and rows[5].prompt.startswith("A photo of traffic light on")
    assert rows[0].models == {"prompts": "d" * 64}
    assert ctx.counts == {"prompts": 15}


def test_equal_seeds_give_equal_files_and_other_seeds_other_prompts_and_pictures(tmp_path, loaded):
    files = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        ctx, rows = run(tmp_path / name, seed=seed)
        files.append(((ctx.out / CANDIDATES).read_bytes(), {row.seed for row in rows}))
    assert files[0] == files[1]
    assert files[0][0] != files[2][0] and not files[0][1] & files[2][1]


def test_bare_prompts_need_no_model_and_no_framework(tmp_path, loaded):
    before = "torch" in sys.modules
    config = replace(CONFIG, prompts=PromptsConfig(source="bare"))
    _, rows = run(tmp_path, config=config)
    assert not loaded and ("torch" in sys.modules) == before
    assert [row.prompt for row in rows[5:10]] == ["A photo of traffic light"] * 5
    assert {row.prompt_source for row in rows} == {"bare"} and rows[0].models == {}


def test_pictures_of_one_prompt_share_its_text_and_not_its_seed(tmp_path, loaded):
    config = replace(CONFIG, images=ImagesConfig(samples_per_prompt=2))
    _, rows = run(tmp_path, config=config)
    mugs = [row for row in rows if row.class_id == 0]
    assert [row.number for row in mugs] == list(range(10))
    assert all(a.prompt == b.prompt for a, b in zip(mugs[::2], mugs[1::2], strict=True))
    assert len({row.prompt for row in mugs}) == 5 and len({row.seed for row in mugs}) == 10


def judged(folder, rows, kept):
    """A finished stage `scores` in which the first `kept` rows of each class were accepted."""
    target = finished(folder / "scores", "scores")
    scores = {
        row.candidate_id: scored(row.class_id, row.number, kept=row.number < kept[row.class_id])
        for row in rows
    }
    facts = ("status", "kept", "path", "sha256", "scores", "top1", "p_label")
    write_rows(
        target / CANDIDATES,
        [replace(row, **{n: getattr(scores[row.candidate_id], n) for n in facts}) for row in rows],
    )
    return target


def test_a_later_round_goes_on_numbering_and_repeats_no_text(tmp_path, loaded):
    _, first = run(tmp_path)
    scores = judged(tmp_path, first, kept=(5, 3, 1))
    _, second = run(tmp_path, "prompts-2", inputs={"scores": scores})
    numbers = {c: [row.number for row in second if row.class_id == c] for c in range(3)}
    assert numbers == {0: [], 1: [5, 6, 7, 8], 2: list(range(5, 15))}
    assert {row.round for row in second} == {2}
    texts = [row.prompt for row in (*first, *second) if row.class_id == 2]
    assert len(set(texts)) == len(texts)


def test_rounds_together_are_what_one_larger_round_would_be(tmp_path, loaded):
    _, first = run(tmp_path / "a")
    _, second = run(tmp_path / "a", "prompts-2", inputs={"scores": judged(tmp_path, first, kept=(5, 5, 1))})
    _, large = run(tmp_path / "b", config=replace(CONFIG, num=15))
    both = [replace(row, round=1) for row in (*first, *second) if row.class_id == 2]
    assert both == [row for row in large if row.class_id == 2]


def test_a_round_with_nothing_missing_is_empty_and_loads_no_model(tmp_path, loaded):
    _, first = run(tmp_path)
    loaded.clear()
    ctx, rows = run(tmp_path, "prompts-2", inputs={"scores": judged(tmp_path, first, kept=(5, 5, 5))})
    assert rows == [] and not loaded and ctx.counts["prompts"] == 0


@pytest.mark.parametrize("pieces", [1, 3, 7])
def test_a_stopped_stage_goes_on_to_the_same_file(pieces, tmp_path, loaded, monkeypatch):
    monkeypatch.setattr(stage, "PIECE", 2)
    ctx, _ = run(tmp_path / "whole")
    whole = (ctx.out / CANDIDATES).read_bytes()
    written = []
    append = stage.append_rows

    def stop_after(path, rows):
        append(path, rows)
        written.append(len(rows))
        STOP.is_set = len(written) == pieces

    monkeypatch.setattr(stage, "append_rows", stop_after)
    try:
        with pytest.raises(Stopped):
            run(tmp_path / "cut")
    finally:
        STOP.is_set = False
    ctx, _ = run(tmp_path / "cut")
    assert (ctx.out / CANDIDATES).read_bytes() == whole
    assert sum(written) == 15


def test_a_line_torn_by_a_kill_is_made_again(tmp_path, loaded, monkeypatch):
    monkeypatch.setattr(stage, "PIECE", 2)
    ctx, _ = run(tmp_path / "whole")
    torn = context(tmp_path / "torn", "prompts", config=CONFIG)
    data = (ctx.work / CANDIDATES).read_bytes()
    (torn.work / CANDIDATES).write_bytes(data[: len(data) // 2])
    stage.run(torn)
    assert (torn.out / CANDIDATES).read_bytes() == (ctx.out / CANDIDATES).read_bytes()


def test_candidates_without_a_prompt_are_failed_told_and_counted(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(stage, "_load", lambda ctx: FewTexts(variety=3))
    ctx, rows = run(tmp_path)
    failed = [row for row in rows if row.status == "failed"]
    assert len(failed) == 6 and all("drawings" in row.reason for row in failed)
    assert ctx.counts == {"prompts": 15, "failed": 6}
    assert "6 candidates of lemon, mug, traffic light have no prompt" in capsys.readouterr().err


def test_a_candidate_without_a_prompt_gets_no_picture_and_stays_failed(tmp_path, monkeypatch):
    monkeypatch.setattr(stage, "_load", lambda ctx: FewTexts(variety=3))
    _, rows = run(tmp_path)
    done = images_stage(tmp_path, rows)
    assert [row.status for row in done].count("done") == 9
    assert [row for row in done if row.status == "failed"] == [row for row in rows if row.status == "failed"]
