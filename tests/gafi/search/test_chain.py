"""The greedy chain: a step goes on with exactly what the step before it chose."""

from __future__ import annotations

from dataclasses import replace

import pytest

from experiments.gafi.search.chain import candidates_of, chosen, results_of
from experiments.gafi.search.ledger import RESULT
from suite.errors import BadInput
from tests.gafi.search.samples import CHAIN, by_hand, finish


def test_the_first_step_varies_the_epoch_alone():
    found = CHAIN.candidates("ckpt", None)
    assert [(at, c.source.epoch) for at, c in found.items()] == [(0, 10), (1, 20), (2, 30)]
    assert {(c.source.stddev, c.source.threshold, c.recycle_every) for c in found.values()} == {
        (1.0, 0.0, 10)
    }


def test_each_step_takes_over_the_first_best_row_of_the_one_before(tmp_path):
    locate = by_hand(tmp_path)
    finish(CHAIN, "ckpt", tmp_path, [0.3, 0.7, 0.7])
    best = chosen(CHAIN, "ckpt", locate).candidate.source
    assert best.epoch == 20  # the first of the two
    stddev = candidates_of(CHAIN, "stddev", locate)
    assert {(c.source.epoch, c.source.stddev, c.source.threshold) for c in stddev.values()} == {
        (20, 1.0, 0.0), (20, 1.2, 0.0),
    }  # fmt: skip
    finish(CHAIN, "stddev", tmp_path, [0.6, 0.8], best)
    best = chosen(CHAIN, "stddev", locate).candidate.source
    threshold = candidates_of(CHAIN, "threshold", locate)
    assert [c.source.threshold for c in threshold.values()] == [0.0, 0.5]
    assert {(c.source.epoch, c.source.stddev) for c in threshold.values()} == {(20, 1.2)}
    finish(CHAIN, "threshold", tmp_path, [0.8, 0.9], best)
    (last,) = candidates_of(CHAIN, "best", locate).values()
    assert (last.source.epoch, last.source.stddev, last.source.threshold) == (20, 1.2, 0.5)
    assert (last.recycle_every, last.epochs) == (1, 3)  # accurate, at full length


def test_with_common_random_numbers_a_winner_is_the_same_run_in_the_next_step():
    winner = CHAIN.candidates("ckpt", None)[1]
    again = CHAIN.candidates("stddev", winner.source)
    assert [c.key == winner.key for c in again.values()] == [True, False]  # stddev 1.0 and 1.2


def test_without_them_each_candidate_draws_its_own_pictures():
    chain = replace(CHAIN, common_random_numbers=False)
    first = chain.candidates("ckpt", None)
    source = first[1].source
    every = [*first.values()]
    for step in ("stddev", "threshold", "best"):
        every += chain.candidates(step, source).values()
    assert len({c.stream for c in every}) == len(every) and "" not in {c.stream for c in every}
    assert len({c.key for c in every}) == len(every)


def test_an_epoch_without_a_checkpoint_is_passed_over_and_keeps_its_place():
    chain = replace(CHAIN, checkpoints={e: d for e, d in CHAIN.checkpoints.items() if e != 20})
    assert chain.missing_epochs == (20,)
    assert list(chain.candidates("ckpt", None)) == [0, 2]
    assert chain.length("ckpt") == 3


def test_a_grid_without_any_checkpoint_is_bad_input(tmp_path):
    with pytest.raises(BadInput, match="no checkpoint of any epoch of the grid 10..30"):
        candidates_of(replace(CHAIN, checkpoints={}), "ckpt", by_hand(tmp_path))


def test_a_step_before_its_predecessor_is_bad_input_naming_it(tmp_path):
    with pytest.raises(BadInput, match="run ckpt first"):
        candidates_of(CHAIN, "stddev", by_hand(tmp_path))


def test_a_step_that_is_half_done_is_not_chosen_from(tmp_path):
    finish(CHAIN, "ckpt", tmp_path, [0.3, 0.7, 0.5])
    (tmp_path / "ckpt" / "ckpt030_DS10_r1_std1.0_filter0.0" / RESULT).unlink()
    with pytest.raises(BadInput, match="run ckpt first"):
        chosen(CHAIN, "ckpt", by_hand(tmp_path))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"seed": 43}, "seed was 42, is 43"),
        ({"search_epochs": 5}, "epochs was 2, is 5"),
        ({"class_samples": 9}, "class_samples was 4, is 9"),
        ({"classifier": "e" * 64}, "classifier was bbbbbbbbbbbb..., is eeeeeeeeeeee..."),
        ({"split": "test"}, "split was val, is test"),
    ],
)
def test_a_ledger_of_another_config_is_bad_input_and_stays_intact(tmp_path, change, says):
    finish(CHAIN, "ckpt", tmp_path, [0.3, 0.7, 0.5])
    before = {p: p.read_bytes() for p in tmp_path.rglob("*.json")}
    with pytest.raises(BadInput, match=says):
        results_of(replace(CHAIN, **change), "ckpt", by_hand(tmp_path))
    assert {p: p.read_bytes() for p in tmp_path.rglob("*.json")} == before
