"""The ledger: typed rows, keyed by what decides them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from experiments.gafi.search.ledger import (
    RESULT,
    history_rows,
    read_result,
    result_rows,
    write_result,
)
from suite.errors import BadInput
from tests.gafi.search.samples import CANDIDATE, SOURCE, other, result_of


def test_a_result_is_read_as_it_was_written(tmp_path):
    result = result_of(CANDIDATE, score=1 / 3)
    write_result(tmp_path, result)
    assert read_result(tmp_path) == result
    assert [p.name for p in tmp_path.iterdir()] == [RESULT]


def test_there_is_no_result_before_it_is_written(tmp_path):
    assert read_result(tmp_path) is None


@pytest.mark.parametrize(
    "change",
    [
        {"epoch": 160}, {"stddev": 1.05}, {"threshold": 0.1}, {"threshold": None}, {"index": 1},
        {"generator": "e" * 64}, {"class_samples": 5000}, {"classifier": "e" * 64}, {"recycle_every": 1},
        {"recycle_factor": 0.5}, {"epochs": 3}, {"seed": 43}, {"stream": "ckpt"}, {"split": "test"},
        {"settings": "e" * 64}, {"labels": "shuffled"}, {"in_turn": True}, {"sharing": "shared"},
    ],
)  # fmt: skip
def test_all_that_decides_a_result_is_in_its_key(change):
    assert other(CANDIDATE, **change).key != CANDIDATE.key


@pytest.mark.parametrize("change", [{"step": "stddev"}, {"gan": "another name"}])
def test_equal_inputs_are_the_same_run_in_every_step(change):
    assert other(CANDIDATE, **change).key == CANDIDATE.key


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({}, "ckpt150_DS10_r1_std1.0_filter0.0"),  # as published
        ({"epoch": 7, "stddev": 1.05, "threshold": 0.9}, "ckpt007_DS10_r1_std1.05_filter0.9"),
        ({"recycle_every": 1, "recycle_factor": 0.5}, "ckpt150_DS1_r0.5_std1.0_filter0.0"),
        ({"recycle_every": 0}, "ckpt150_fixed_std1.0_filter0.0"),
        ({"threshold": None}, "ckpt150_DS10_r1_std1.0_unfiltered"),
    ],
)
def test_a_candidate_has_its_published_name(change, name):
    assert other(CANDIDATE, **change).name == name


def test_what_has_not_one_generator_is_named_by_its_step():
    assert replace(CANDIDATE, step="multigan", sources=(SOURCE, SOURCE)).name == "multigan"
    assert replace(CANDIDATE, step="real", sources=()).name == "real"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"key": 1}', "null"])
def test_a_damaged_result_is_bad_input_and_stays(tmp_path, text):
    (tmp_path / RESULT).write_text(text)
    with pytest.raises(BadInput, match=RESULT):
        read_result(tmp_path)
    assert (tmp_path / RESULT).read_text() == text


def test_a_result_that_was_edited_is_bad_input(tmp_path):
    write_result(tmp_path, result_of(CANDIDATE))
    tree = json.loads((tmp_path / RESULT).read_text())
    tree["candidate"]["sources"][0]["stddev"] = 1.5
    (tmp_path / RESULT).write_text(json.dumps(tree))
    with pytest.raises(BadInput, match="its key names"):
        read_result(tmp_path)


def test_the_tables_have_the_published_columns():
    results = [result_of(CANDIDATE, 0.5)]
    assert result_rows(results) == [{"checkpoint_name": CANDIDATE.name, "val_accuracy": 0.5}]
    (row,) = history_rows(results)
    assert list(row) == ["checkpoint_name", "history"]
    lines = row["history"].splitlines()
    assert lines[0].split() == ["epoch", "loss", "accuracy", "val_loss", "val_accuracy", "lr"]
    assert [line.split()[0] for line in lines[1:]] == ["1", "2"]  # epochs from 1
    assert float(lines[2].split()[1]) == 0.1 + 0.2  # full precision
