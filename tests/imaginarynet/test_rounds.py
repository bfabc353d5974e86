"""Rounds: names, quotas, and how many candidates replace those that were rejected."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.imaginarynet.config import CONFIG, CONFIGS
from experiments.imaginarynet.config_sections import ReplaceConfig
from experiments.imaginarynet.rounds import (
    Seen,
    names_of,
    num_rounds,
    num_shards_of,
    plan_round,
    quotas,
    round_of,
    seen_of,
    shard_range,
    stage_name,
    to_make,
)
from experiments.imaginarynet.store.manifest import Candidate, candidate_id
from suite.config import load_config

COUNTS = st.integers(1, 300)


def load(*overrides):
    return load_config(CONFIG, CONFIGS / "tiny.yaml", overrides)


# --- names ---


@given(verb=st.sampled_from(["prompts", "images", "scores"]), round=st.integers(1, 40))
def test_a_stage_knows_its_round(verb, round):
    assert round_of(stage_name(verb, round)) == round


def test_stages_of_no_round_are_of_the_first():
    assert [round_of(name) for name in ("filter", "export", "report", "diffusion-samples", "prompts")] == [
        1
    ] * 5


def test_names_in_order_and_before_a_round():
    config = load("replace.rounds=3")
    assert names_of("scores", config) == ("scores", "scores-2", "scores-3")
    assert names_of("scores", config, before=3) == ("scores", "scores-2")
    assert names_of("scores", config, before=1) == ()


def test_without_the_filter_there_is_one_round():
    assert num_rounds(load("replace.rounds=3", "clip.enabled=false")) == 1


# --- quotas ---


def test_num_is_per_class_as_the_published_code_counts():
    assert quotas(load("num=7"), 3) == (7, 7, 7)
    assert quotas(load("num=7", "images.samples_per_prompt=2"), 3) == (14, 14, 14)


@given(total=st.integers(1, 500), classes=st.integers(1, 40))
def test_num_total_is_dealt_evenly_the_rest_to_the_first(total, classes):
    dealt = quotas(load(f"num_total={total}"), classes)
    assert sum(dealt) == total
    assert list(dealt) == sorted(dealt, reverse=True)
    assert dealt[0] - dealt[-1] <= 1


# --- what a round makes ---


def test_the_first_round_makes_the_quota():
    assert plan_round(load("num=5"), [Seen(made=0, accepted=0)] * 2) == (range(5), range(5))


def test_half_accepted_makes_twice_what_is_missing():
    assert to_make(10, Seen(made=10, accepted=5), ReplaceConfig(max_attempts=9)) == range(10, 20)
    assert to_make(10, Seen(made=30, accepted=6), ReplaceConfig(max_attempts=9)) == range(30, 50)


def test_none_accepted_counts_as_one_in_all():
    assert to_make(4, Seen(made=4, accepted=0), ReplaceConfig(max_attempts=100)) == range(4, 20)


def test_attempts_are_capped():
    assert to_make(4, Seen(made=4, accepted=0), ReplaceConfig(max_attempts=3)) == range(4, 12)
    assert to_make(4, Seen(made=12, accepted=0), ReplaceConfig(max_attempts=3)) == range(12, 12)


@given(
    quota=COUNTS, made=st.integers(0, 900), share=st.floats(0, 1), cap=st.floats(1, 5), each=st.integers(1, 4)
)
def test_a_round_goes_on_in_whole_prompts_and_within_the_cap(quota, made, share, cap, each):
    made -= made % each
    seen = Seen(made=made, accepted=int(made * share))
    more = to_make(quota, seen, ReplaceConfig(max_attempts=cap), samples_per_prompt=each)
    assert more.start == made and len(more) % each == 0
    assert made + len(more) <= max(made, quota * cap)
    if seen.accepted >= quota:
        assert len(more) == 0
    elif made + each <= math.floor(quota * cap):
        assert len(more) > 0


@given(quota=COUNTS, accepted=st.integers(0, 299))
def test_more_accepted_never_makes_more(quota, accepted):
    replace = ReplaceConfig(max_attempts=50)
    one, other = (len(to_make(quota, Seen(made=300, accepted=n), replace)) for n in (accepted, accepted + 1))
    assert other <= one


def test_more_accepted_than_made_is_no_count():
    with pytest.raises(ValueError, match="3 of 2"):
        Seen(made=2, accepted=3)


def row(class_id, number, scores, status="done"):
    top1 = None if scores is None else max(range(len(scores)), key=scores.__getitem__)
    return Candidate(
        candidate_id=candidate_id(class_id, number), class_id=class_id, class_name="abc"[class_id],
        label="abc"[class_id], number=number, round=1, prompt="p", prompt_source="bare",
        backend="dalle-mini", seed=1, status=status, reason="overflow" if status == "failed" else "",
        sha256="" if status == "failed" else "0" * 64, scores=scores, top1=top1,
        p_label=None if scores is None else scores[class_id],
    )  # fmt: skip


def test_accepted_is_what_leads_above_the_threshold():
    rows = [
        row(0, 0, (0.7, 0.2, 0.1)),
        row(0, 1, (0.6, 0.3, 0.1)),  # not above
        row(0, 2, (0.1, 0.8, 0.1)),  # another class leads
        row(1, 0, None, "failed"),
        row(1, 1, (0.0, 0.9, 0.1)),
    ]
    seen = seen_of(rows, 3, threshold=0.6)
    assert seen == (Seen(made=3, accepted=1), Seen(made=2, accepted=1), Seen(made=0, accepted=0))


# --- shards ---


@given(count=st.integers(1, 3000), size=st.integers(1, 700))
def test_shards_hold_every_row_once(count, size):
    ranges = [shard_range(count, shard, size) for shard in range(num_shards_of(count, size))]
    assert [row for part in ranges for row in part] == list(range(count))
    assert all(0 < len(part) <= size for part in ranges)
