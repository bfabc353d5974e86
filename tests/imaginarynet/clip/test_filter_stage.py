"""The stage `filter`: decisions of stored scores, in every row, without a model."""

import csv
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.imaginarynet.clip.filter_stage import CONFUSION, TRADE_OFF, run
from experiments.imaginarynet.config import ImaginaryNetConfig
from experiments.imaginarynet.config_sections import ClipConfig, FilterConfig, ReplaceConfig
from experiments.imaginarynet.store.manifest import CANDIDATES, read_rows, write_rows
from suite.errors import BadInput
from tests.imaginarynet.candidates import CLASSES, context, finished, scored

ROOT = Path(__file__).resolve().parents[3]
UNDECIDED = {"status": "done", "kept": None, "decision": None}
P_LABELS = (0.95, 0.7, 0.6, 0.3)


def judged(class_id, number, p_label, **changes):
    """A row as `scores` leaves it: its own class has p_label, the next one the rest."""
    values = [0.0] * len(CLASSES)
    values[class_id], values[(class_id + 1) % len(CLASSES)] = p_label, 1 - p_label
    top1 = values.index(max(values))
    facts = {**UNDECIDED, "scores": tuple(values), "p_label": p_label, "top1": top1, **changes}
    return scored(class_id, number, **facts)


def failed(class_id, number):
    return scored(class_id, number, status="failed", reason="torn", scores=None, p_label=None, top1=None,
                  kept=None, decision=None)  # fmt: skip


# Two thresholds over the same scores, in a process of its own: pictures kept by each, frameworks loaded.
WITHOUT_A_MODEL = """
import sys
from pathlib import Path
from tests.imaginarynet.clip import test_filter_stage as here
folder = Path(sys.argv[1])
for threshold in (0.2, 0.9):
    rows, _ = here.filtered(folder / str(threshold), here.ROWS, threshold=threshold)
    print(sum(row.kept for row in rows))
print([name for name in ("torch", "transformers", "jax") if name in sys.modules])
"""
ROWS = [judged(class_id, number, p) for class_id in range(3) for number, p in enumerate(P_LABELS)]


def scores_stage(folder, rows, name="scores"):
    """A finished `scores` of two shards."""
    target = finished(folder / name, name)
    for shard, part in enumerate((rows[: len(rows) // 2], rows[len(rows) // 2 :])):
        (target / f"{shard:05d}").mkdir()
        write_rows(target / f"{shard:05d}" / CANDIDATES, part)
    return target


def filtered(folder, rows, *, num=2, **settings):
    """(rows, context) of the stage on these scores."""
    config = ImaginaryNetConfig(classes=CLASSES, num=num, filter=FilterConfig(**settings))
    ctx = context(folder, "filter", config=config, inputs={"scores": scores_stage(folder, rows)})
    run(ctx)
    return read_rows(ctx.out / CANDIDATES), ctx


def test_every_candidate_gets_its_decision_and_no_probability_is_lost(tmp_path):
    rows, ctx = filtered(tmp_path, ROWS, threshold=0.6)
    assert [row.candidate_id for row in rows] == [row.candidate_id for row in ROWS]
    for before, after in zip(ROWS, rows, strict=True):
        assert after.kept == (before.p_label > 0.6) == (after.status == "accepted")
        assert after.decision == {"policy": "top1", "threshold": 0.6}
        assert (after.scores, after.p_label, after.sha256) == (before.scores, before.p_label, before.sha256)
    assert ctx.counts["accepted"] == 6
    assert ctx.counts["rejected"] == 6
    assert ctx.counts["short"] == 0


def test_a_class_with_spaces_in_its_name_is_kept_like_any_other(tmp_path):
    rows, _ = filtered(tmp_path, ROWS, threshold=0.6)
    assert [row.kept for row in rows if row.label == "trafficlight"] == [True, True, False, False]


def test_filtering_again_from_stored_scores_loads_no_model(tmp_path):
    words = [sys.executable, "-c", WITHOUT_A_MODEL, str(tmp_path)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split()) == (0, ["9", "3", "[]"]), done.stderr


def test_candidates_of_all_rounds_stand_in_one_list_by_class_and_number(tmp_path):
    later = [judged(1, 4, 0.9, round=2), judged(0, 4, 0.2, round=2)]
    config = ImaginaryNetConfig(classes=CLASSES, num=2, replace=ReplaceConfig(rounds=2))
    inputs = {"scores": scores_stage(tmp_path, ROWS), "scores-2": scores_stage(tmp_path, later, "scores-2")}
    ctx = context(tmp_path, "filter", config=config, inputs=inputs)
    run(ctx)
    rows = read_rows(ctx.out / CANDIDATES)
    places = [(row.class_id, row.number) for row in rows]
    assert places == sorted(places)
    assert len(rows) == len(ROWS) + 2
    assert {row.number: row.kept for row in rows if row.class_id == 1}[4]


def test_a_failed_candidate_stays_failed_and_shifts_no_decision(tmp_path):
    rows = [failed(0, 9), *ROWS[:3], failed(1, 9), *ROWS[3:]]
    found, ctx = filtered(tmp_path, rows, threshold=0.6)
    assert ctx.counts["failed"] == 2
    for row in found:
        expected = None if row.number == 9 else row.p_label > 0.6
        assert row.kept == expected


def test_a_shortage_is_told_and_counted(tmp_path):
    _, ctx = filtered(tmp_path, ROWS, threshold=0.6, num=3)
    assert ctx.counts["short"] == 3
    assert "3 of 3 classes have fewer pictures" in ctx.warnings[0]


def test_multilabel_writes_the_further_classes_into_the_row(tmp_path):
    rows, _ = filtered(tmp_path, ROWS, policy="multilabel", threshold=0.55, second_threshold=0.25)
    labels = {row.number: row.labels for row in rows if row.class_id == 2}
    assert labels == {0: (), 1: (0, 2), 2: (0, 2), 3: ()}


def test_without_the_filter_everything_is_kept_and_no_table_is_written(tmp_path):
    rows = [replace(row, scores=None, top1=None, p_label=None) for row in ROWS]
    config = ImaginaryNetConfig(classes=CLASSES, num=2, clip=ClipConfig(enabled=False))
    images = scores_stage(tmp_path, rows, "images")
    ctx = context(tmp_path, "filter", config=config, inputs={"images": images})
    run(ctx)
    assert all(row.kept and row.decision == {"policy": "none"} for row in read_rows(ctx.out / CANDIDATES))
    assert not (ctx.out / TRADE_OFF).exists()


def test_the_tables_beside_the_rows_say_what_other_thresholds_would_keep(tmp_path):
    rows, ctx = filtered(tmp_path, ROWS, threshold=0.6)
    with (ctx.out / TRADE_OFF).open(newline="", encoding="utf-8") as stream:
        table = list(csv.DictReader(stream))
    at = {row["class_name"]: row for row in table if float(row["threshold"]) == 0.6}
    assert int(at["all"]["kept"]) == sum(row.kept for row in rows)
    zero = next(row for row in table if float(row["threshold"]) == 0 and row["class_name"] == "all")
    assert int(zero["kept"]) == int(zero["agree"]) == 9
    with (ctx.out / CONFUSION).open(newline="", encoding="utf-8") as stream:
        lines = list(csv.DictReader(stream))
    assert [int(lines[0][f"top1 {name}"]) for name in CLASSES] == [3, 1, 0]


def test_scores_of_another_list_of_classes_are_refused(tmp_path):
    rows = [replace(ROWS[0], scores=(0.5, 0.5), top1=0, p_label=0.5)]
    with pytest.raises(BadInput, match="scores of 2 classes, there are 3"):
        filtered(tmp_path, rows)


def test_a_round_without_a_candidate_leaves_an_empty_manifest(tmp_path):
    rows, ctx = filtered(tmp_path, [], threshold=0.6)
    assert rows == []
    assert ctx.counts["short"] == 6
