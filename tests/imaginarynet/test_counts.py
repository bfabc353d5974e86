"""Counts per class: they add up, and what is short is said."""

from hypothesis import given
from hypothesis import strategies as st

from experiments.imaginarynet.counts import class_counts, shortage_line
from tests.imaginarynet.candidates import CLASSES, queued, scored

FATES = st.lists(st.sampled_from(["kept", "rejected", "failed"]), max_size=12)


def row(class_id, number, fate):
    if fate == "failed":
        return queued(class_id, number, status="failed", reason="not finite")
    return scored(class_id, number, kept=fate == "kept")


@given(st.lists(FATES, min_size=3, max_size=3), st.lists(st.integers(1, 9), min_size=3, max_size=3))
def test_every_candidate_is_kept_rejected_or_failed_and_quotas_are_met_or_short(fates, quotas):
    rows = [row(c, n, fate) for c, own in enumerate(fates) for n, fate in enumerate(own)]
    for count, own, quota in zip(class_counts(rows, CLASSES, quotas), fates, quotas, strict=True):
        assert count.kept + count.rejected + count.failed == count.candidates == len(own)
        assert count.kept == own.count("kept")
        assert count.kept - count.surplus + count.shortage == quota
        assert min(count.surplus, count.shortage) == 0
        assert count.rate is None if not own else count.rate == own.count("kept") / len(own)


def test_the_last_round_that_made_a_candidate_is_known():
    rows = [scored(0, 0), scored(0, 1, round=3), scored(1, 0)]
    assert [count.rounds for count in class_counts(rows, CLASSES, (1, 1, 1))] == [3, 1, 0]


def test_classes_that_are_short_are_named_and_many_are_counted():
    rows = [scored(0, 0), scored(0, 1), scored(1, 0)]
    assert shortage_line(class_counts(rows, CLASSES, (2, 1, 0))) is None
    assert shortage_line(class_counts(rows, CLASSES, (2, 2, 1)), most=1) == (
        "2 of 3 classes have fewer pictures than asked for: traffic light 1 of 2 and 1 more"
    )
