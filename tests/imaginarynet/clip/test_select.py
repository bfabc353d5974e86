"""What is kept by probabilities: the definition, the threshold that only takes away, the trade-off."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.imaginarynet.clip.select import decision_of, next_best, select, top_classes, trade_off
from experiments.imaginarynet.config_sections import FilterConfig
from suite.errors import BadInput

POLICIES = ("top1", "margin", "multilabel", "ranked")
SHARES = st.floats(0, 1)


@st.composite
def tables(draw):
    """(scores (n, C), class ids (n,), quotas (C,)), some probabilities exactly equal, some 1."""
    count, classes = draw(st.integers(0, 12)), draw(st.integers(2, 5))
    weights = st.lists(st.sampled_from([0.0, 0.0, 1.0, 2.0, 5.0, 30.0]), min_size=classes, max_size=classes)
    rows = [draw(weights.filter(any)) for _ in range(count)]
    scores = np.array(rows, dtype=np.float64).reshape(count, classes)
    scores /= scores.sum(1, keepdims=True)
    ids = draw(st.lists(st.integers(0, classes - 1), min_size=count, max_size=count))
    quotas = draw(st.lists(st.integers(0, 5), min_size=classes, max_size=classes))
    return scores, np.array(ids, dtype=np.int64), quotas


@st.composite
def settings_of(draw):
    return FilterConfig(
        policy=draw(st.sampled_from(POLICIES)), threshold=draw(SHARES), margin=draw(SHARES),
        second_threshold=draw(SHARES),
    )  # fmt: skip


@given(tables(), st.floats(0, 1))
def test_top1_keeps_what_the_definition_keeps(table, threshold):
    scores, ids, _ = table
    kept = select(scores, ids, FilterConfig(threshold=threshold)).kept
    for row, own, found in zip(scores.tolist(), ids.tolist(), kept.tolist(), strict=True):
        leads = row.index(max(row)) == own
        assert found == (leads and row[own] > threshold)


@given(tables(), settings_of(), SHARES)
def test_a_higher_threshold_never_adds_a_picture_or_a_label(table, settings, other):
    scores, ids, quotas = table
    low, high = sorted((settings.threshold, other))
    few = select(scores, ids, replace(settings, threshold=high), quotas=quotas)
    many = select(scores, ids, replace(settings, threshold=low), quotas=quotas)
    assert not (few.kept & ~many.kept).any()
    assert not (few.further & ~many.further).any()


@given(tables(), settings_of())
def test_a_threshold_of_one_keeps_nothing(table, settings):
    scores, ids, quotas = table
    assert not select(scores, ids, replace(settings, threshold=1.0), quotas=quotas).kept.any()


@given(tables())
def test_a_threshold_of_zero_keeps_exactly_what_agrees(table):
    scores, ids, _ = table
    kept = select(scores, ids, FilterConfig(threshold=0.0)).kept
    np.testing.assert_array_equal(kept, top_classes(scores) == ids)


def test_a_probability_that_equals_the_threshold_is_not_above_it():
    scores = np.array([[0.75, 0.25], [0.75, 0.25]])
    assert not select(scores[:1], np.array([0]), FilterConfig(threshold=0.75)).kept[0]
    assert select(scores[:1], np.array([0]), FilterConfig(threshold=np.nextafter(0.75, 0))).kept[0]


def test_of_two_classes_with_the_same_probability_the_first_leads():
    scores, ids = np.array([[0.5, 0.5], [0.5, 0.5]]), np.array([0, 1])
    assert select(scores, ids, FilterConfig(threshold=0.1)).kept.tolist() == [True, False]


@given(tables(), settings_of())
def test_every_policy_keeps_a_part_of_what_top1_keeps(table, settings):
    scores, ids, quotas = table
    base = select(scores, ids, replace(settings, policy="top1")).kept
    assert not (select(scores, ids, settings, quotas=quotas).kept & ~base).any()


def test_margin_asks_for_a_lead_over_the_next_class():
    scores = np.array([[0.5, 0.25, 0.25], [0.5, 0.375, 0.125]])
    ids = np.array([0, 0])
    kept = select(scores, ids, FilterConfig(policy="margin", threshold=0.3, margin=0.125)).kept
    assert kept.tolist() == [True, False]
    np.testing.assert_array_equal(next_best(scores, ids), [0.25, 0.375])


def test_multilabel_adds_the_further_classes_of_kept_pictures_only():
    scores = np.array([[0.5, 0.375, 0.125], [0.375, 0.5, 0.125]])
    settings = FilterConfig(policy="multilabel", threshold=0.4, second_threshold=0.25)
    found = select(scores, np.array([0, 0]), settings)
    assert found.kept.tolist() == [True, False]
    assert found.further.tolist() == [[False, True, False], [False, False, False]]


@given(tables(), st.floats(0, 0.9))
def test_ranked_keeps_the_best_of_each_class_up_to_its_number(table, threshold):
    scores, ids, quotas = table
    settings = FilterConfig(policy="ranked", threshold=threshold)
    base = select(scores, ids, replace(settings, policy="top1")).kept
    kept = select(scores, ids, settings, quotas=quotas).kept
    for index, quota in enumerate(quotas):
        own = ids == index
        assert (kept & own).sum() == min(quota, (base & own).sum())
        chosen, left = scores[kept & own, index], scores[base & own & ~kept, index]
        assert not len(chosen) or not len(left) or chosen.min() >= left.max()


def test_ranked_without_numbers_is_refused():
    with pytest.raises(ValueError, match="number of pictures"):
        select(np.array([[0.9, 0.1]]), np.array([0]), FilterConfig(policy="ranked"))


@pytest.mark.parametrize("row", [[0.5, 0.6], [np.nan, 1.0], [1.5, -0.5], [0.0, 0.0]])
def test_what_is_no_probability_is_refused(row):
    with pytest.raises(BadInput, match="row 1 are no probabilities"):
        select(np.array([[0.5, 0.5], row]), np.array([0, 0]), FilterConfig())


@pytest.mark.parametrize("ids", [[0], [0, 2], [0, -1]])
def test_class_ids_that_do_not_belong_to_the_scores_are_refused(ids):
    with pytest.raises(ValueError, match="class ids"):
        select(np.array([[0.5, 0.5], [0.5, 0.5]]), np.array(ids), FilterConfig())


def test_the_decision_names_the_numbers_that_its_policy_uses():
    settings = FilterConfig(policy="margin", threshold=0.5, margin=0.1, second_threshold=0.3)
    assert decision_of(settings) == {"policy": "margin", "threshold": 0.5, "margin": 0.1}
    assert decision_of(replace(settings, policy="top1")) == {"policy": "top1", "threshold": 0.5}
    assert "second_threshold" in decision_of(replace(settings, policy="multilabel"))


@given(tables(), settings_of())
def test_the_trade_off_falls_with_the_threshold_and_its_classes_add_up(table, settings):
    scores, ids, quotas = table
    names = [f"class {index}" for index in range(scores.shape[1])]
    rows = trade_off(scores, ids, settings, quotas=quotas, class_names=names)
    for name in ("all", *names):
        own = [row for row in rows if row["class_name"] == name]
        assert [row["threshold"] for row in own] == sorted({row["threshold"] for row in own})
        assert settings.threshold in [row["threshold"] for row in own]
        numbers = [row["kept"] for row in own]
        assert numbers == sorted(numbers, reverse=True)
    for threshold in {row["threshold"] for row in rows}:
        total, *classes = [row for row in rows if row["threshold"] == threshold]
        for column in ("candidates", "agree", "kept", "short"):
            assert total[column] == sum(row[column] for row in classes)


def test_the_trade_off_at_the_set_threshold_is_what_the_filter_keeps():
    scores, ids = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]]), np.array([0, 0, 1])
    settings = FilterConfig(threshold=0.7)
    rows = trade_off(scores, ids, settings, quotas=(2, 2), class_names=("a", "b"))
    at = {row["class_name"]: row for row in rows if row["threshold"] == 0.7}
    assert at["all"]["kept"] == select(scores, ids, settings).kept.sum() == 2
    assert (at["a"]["kept"], at["a"]["short"], at["a"]["kept_share"]) == (1, 1, 0.5)
    assert at["all"]["mean_p_label"] == pytest.approx((0.9 + 0.8) / 2)


@pytest.mark.parametrize("seed", range(5))
def test_with_a_noisy_judge_the_filter_raises_the_share_of_right_labels_and_lowers_the_number(seed):
    """A tenth of the judge's classes and a third of the pictures are wrong, independently of each other."""
    generator = np.random.default_rng(seed)
    count, classes = 2000, 5
    shown = generator.integers(0, classes, count)  # what the pictures really show

    def changed(share):
        step = generator.integers(1, classes, count)
        return np.where(generator.random(count) < share, (shown + step) % classes, shown)

    asked, judged = changed(1 / 3), changed(1 / 10)
    sure = generator.uniform(0.4, 1.0, count)  # the rest falls to the other classes evenly: 0.15 at most
    scores = np.repeat((1 - sure)[:, None] / (classes - 1), classes, axis=1)
    scores[np.arange(count), judged] = sure
    kept = {level: select(scores, asked, FilterConfig(threshold=level)).kept for level in (0.0, 0.6)}
    before = (shown == asked).mean()
    for mask in kept.values():
        assert (shown == asked)[mask].mean() > before + 0.2
    assert count > kept[0.0].sum() > kept[0.6].sum() > 0
