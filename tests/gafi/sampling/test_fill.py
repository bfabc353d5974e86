import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.gafi.nn import backend
from experiments.gafi.sampling.fill import FilteredSet, fill
from experiments.gafi.sampling.latents import StreamKey, latents
from experiments.gafi.sampling.pool import ImageStore, PoolCache, ScoredPool
from experiments.gafi.sampling.rounds import STALLED_ROUNDS, Rule
from experiments.gafi.sampling.score import Scorer, Segment, cut, to_uint8
from suite.errors import BadInput
from tests.gafi import fakes

CLASSES = 4
KEY = StreamKey(seed=3)
RULE = {"quotas": [20] * CLASSES, "threshold": 0.6, "cap": 50, "fallback": "unfiltered"}


def scorer(kind=fakes.StubClassifier, **settings_) -> Scorer:
    values = {"batch_size": 64, **settings_}
    return Scorer(fakes.generator(CLASSES), fakes.classifier(CLASSES, kind), **values)


@pytest.fixture(scope="module")
def stub() -> Scorer:
    return scorer()


def values(made: FilteredSet) -> np.ndarray:
    """The first pixel of each image, by which the stubs work."""
    return backend.to_numpy(made.images)[:, 0, 0, 0]


def expected_values(made: FilteredSet, stddev: float) -> np.ndarray:
    """The first pixels again, from the samples' places in their sequences."""
    z = [latents(KEY, c, j, j + 1, dim=3)[0, 0] for c, j in zip(made.labels, made.index, strict=True)]
    centres = -1 + 2 * (made.labels + 0.5) / CLASSES
    return np.clip(centres + np.array(z) * stddev * fakes.SCALE, -1, 1)


def assert_equal_sets(one: FilteredSet, other: FilteredSet, *, rtol: float = 0.0) -> None:
    """rtol: of the confidences, where the batches are others: on processors without AVX-512 a softmax of one
    row is rounded otherwise than that of many (one unit in the last place).
    """
    for name in ("labels", "fallback", "index", "fingerprint"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    np.testing.assert_allclose(one.confidence, other.confidence, rtol=rtol, atol=0, err_msg="confidence")
    np.testing.assert_array_equal(backend.to_numpy(one.images), backend.to_numpy(other.images))
    for name in ("drawn", "accepted", "rounds", "fallback"):
        np.testing.assert_array_equal(getattr(one.stats, name), getattr(other.stats, name), err_msg=name)


def rounds_one_class_at_a_time(
    label: int, quota: int, threshold: float, stddev: float
) -> tuple[list, int, int]:
    """(places kept, drawn, rounds) by the published loop, written anew for one class."""
    kept, drawn, rounds = [], 0, 0
    while len(kept) < quota:
        number = (quota - len(kept)) * (2 if kept else 1)
        x = -1 + 2 * (label + 0.5) / CLASSES
        x = np.clip(x + latents(KEY, label, drawn, drawn + number, dim=3)[:, 0] * stddev * fakes.SCALE, -1, 1)
        p = np.stack([fakes.confidence(x, np.full(number, c), CLASSES) for c in range(CLASSES)], axis=1)
        mask = (p.argmax(axis=1) == label) & (p[:, label] > threshold)
        kept += [int(j) for j in np.flatnonzero(mask) + drawn]
        drawn, rounds = drawn + number, rounds + 1
    return kept[:quota], drawn, rounds


# --- what is kept ---


@settings(deadline=None, max_examples=15)
@given(
    quotas=st.lists(st.integers(0, 40), min_size=CLASSES, max_size=CLASSES).filter(any),
    threshold=st.sampled_from([0.0, 0.5, 0.8]),
    stddev=st.sampled_from([1.0, 1.5, 2.0]),
)
def test_the_set_is_that_of_the_published_loop_class_by_class(stub, quotas, threshold, stddev):
    made = fill(stub, **{**RULE, "quotas": quotas, "threshold": threshold}, stddev=stddev, stream=KEY)
    for label, quota in enumerate(quotas):
        kept, drawn, rounds = rounds_one_class_at_a_time(label, quota, threshold, stddev)
        assert made.index[made.labels == label].tolist() == kept
        assert (made.stats.drawn[label], made.stats.rounds[label]) == (drawn, rounds)
    assert not made.fallback.any()


def test_every_kept_sample_agrees_above_the_threshold_and_each_quota_is_exact(stub):
    quotas = [20, 0, 33, 7]
    made = fill(stub, **{**RULE, "quotas": quotas}, stddev=1.5, stream=KEY)
    assert np.bincount(made.labels, minlength=CLASSES).tolist() == quotas
    assert np.all(np.diff(made.labels) >= 0) and len(made) == 60
    x = values(made)
    np.testing.assert_allclose(x, expected_values(made, 1.5), atol=1e-6)
    again = fakes.confidence(x, made.labels, CLASSES)
    np.testing.assert_allclose(made.confidence, again, atol=1e-5)
    assert np.all(made.confidence > 0.6)
    places = set(zip(made.labels.tolist(), made.index.tolist(), strict=True))
    assert len(places) == 60


def test_a_confidence_equal_to_the_threshold_is_rejected():
    rule = Rule(0.1, None, "error")
    confidence = np.array([0.1, np.nextafter(np.float32(0.1), np.float32(1))], np.float32)
    assert rule.accepts(np.ones(2, bool), confidence).tolist() == [False, True]
    assert rule.accepts(np.zeros(2, bool), np.ones(2, np.float32)).tolist() == [False, False]


def test_without_a_filter_the_set_is_the_beginning_of_every_sequence(stub):
    made = fill(stub, **{**RULE, "threshold": None}, stddev=2.0, stream=KEY)
    assert made.index.tolist() == [*range(20)] * CLASSES
    assert made.stats.rounds.tolist() == [1] * CLASSES and made.stats.acceptance.tolist() == [1.0] * CLASSES


def test_acceptance_is_that_of_the_closed_form(stub):
    made = fill(stub, **{**RULE, "quotas": [2000] * CLASSES, "threshold": 0.0}, stddev=2.0, stream=KEY)
    expected = [fakes.agreement(CLASSES, label, 2.0) for label in range(CLASSES)]
    np.testing.assert_allclose(made.stats.acceptance, expected, atol=0.03)  # 3 sigma of 2000 draws: 0.03


# --- what it does not depend on ---


def test_the_set_does_not_depend_on_the_batch_size_or_on_other_classes(stub):
    made = fill(stub, **RULE, stddev=1.5, stream=KEY)
    for batch_size in (1, 7, 1000):
        other = fill(scorer(batch_size=batch_size), **RULE, stddev=1.5, stream=KEY)
        assert_equal_sets(other, made, rtol=1e-6)
    alone = fill(stub, **{**RULE, "quotas": [0, 0, 20, 0]}, stddev=1.5, stream=KEY)
    np.testing.assert_array_equal(alone.index, made.index[made.labels == 2])


def test_other_streams_give_other_images(stub):
    sets = [fill(stub, **RULE, stddev=1.5, stream=key) for key in (KEY, KEY.at(1), StreamKey(3, gan=1))]
    assert len({values(made).tobytes() for made in sets}) == 3


def test_another_checkpoint_is_used_without_compiling_again():
    judge = scorer()
    first = fill(judge, **RULE, stddev=1.0, stream=KEY)
    traced = judge.generator.calls
    moved = judge.with_generator(fakes.generator(CLASSES, shift=0.05).state)
    second = fill(moved, **RULE, stddev=1.0, stream=KEY)
    assert judge.generator.calls == traced
    same = np.flatnonzero((first.index == second.index) & (np.abs(values(first)) < 0.9))
    np.testing.assert_allclose(values(second)[same], values(first)[same] + 0.05, atol=1e-6)
    assert_equal_sets(fill(judge, **RULE, stddev=1.0, stream=KEY), first)


def test_batches_hold_all_candidates_once_in_order_and_have_two_sizes():
    segments = [Segment(0, 5, 105), Segment(2, 0, 0), Segment(3, 7, 60)]
    batches = list(cut(segments, (64, 8)))
    flat = [(label, j) for _, parts in batches for label, start, stop in parts for j in range(start, stop)]
    assert flat == [(s.label, j) for s in segments for j in range(s.start, s.stop)]
    assert [size for size, _ in batches] == [64, 64, 8, 8, 8, 8][: len(batches)]
    assert all(sum(s.stop - s.start for s in parts) == size for size, parts in batches[:-1])


# --- uint8 ---


def test_uint8_images_are_the_rounded_ones_and_are_judged_as_they_are_stored():
    made = fill(scorer(store="uint8"), **RULE, stddev=1.5, stream=KEY)
    stored = backend.to_numpy(made.images)
    assert stored.dtype == np.uint8
    np.testing.assert_allclose(
        stored[:, 0, 0, 0] / 127.5 - 1, expected_values(made, 1.5), atol=0.5 / 127.5 + 1e-6
    )
    again = fakes.confidence(stored[:, 0, 0, 0] / 127.5 - 1, made.labels, CLASSES)
    np.testing.assert_allclose(made.confidence, again, atol=1e-5)
    assert np.all(again > 0.6 - 1e-5)


def test_all_grey_levels_survive_the_way_through_float32():
    levels = np.arange(256, dtype=np.float32)
    np.testing.assert_array_equal(backend.to_numpy(to_uint8(levels / 127.5 - 1)), levels)
    np.testing.assert_array_equal(backend.to_numpy(to_uint8(levels / 255, normalize=False)), levels)


def test_duplicates_are_images_equal_at_8_bits(stub):
    made = fill(stub, **RULE, stddev=2.0, stream=KEY)
    images = backend.to_numpy(to_uint8(made.images))
    assert made.duplicates == len(images) - len({image.tobytes() for image in images}) > 0


# --- the cap ---


def test_a_classifier_that_always_disagrees_ends_after_cap_rounds_with_all_by_fallback():
    made = fill(scorer(fakes.OtherClassClassifier), **{**RULE, "cap": 3}, stddev=0.2, stream=KEY)
    assert made.stats.rounds.tolist() == [3] * CLASSES and made.stats.accepted.sum() == 0
    assert made.fallback.all() and made.stats.fallback.tolist() == [20] * CLASSES
    assert made.index.tolist() == [*range(40, 60)] * CLASSES  # the last round's
    np.testing.assert_allclose(values(made), expected_values(made, 0.2), atol=1e-6)


@pytest.mark.parametrize("fallback", ["unfiltered", "topk"])
def test_after_the_cap_only_the_missing_images_are_filled_and_none_is_there_twice(stub, fallback):
    rule = {**RULE, "quotas": [40] * CLASSES, "threshold": 0.85, "cap": 2, "fallback": fallback}
    made = fill(stub, **rule, stddev=2.0, stream=KEY)
    assert 0 < made.fallback.sum() < len(made) and made.stats.rounds.tolist() == [2] * CLASSES
    assert np.bincount(made.labels).tolist() == [40] * CLASSES
    x = values(made)
    np.testing.assert_allclose(x, expected_values(made, 2.0), atol=1e-6)
    for label in range(CLASSES):
        of_class = made.labels == label
        by_filter, by_fallback = of_class & ~made.fallback, of_class & made.fallback
        assert len(set(made.index[of_class])) == 40
        assert np.all(made.confidence[by_filter] > 0.85)
        z = latents(KEY, label, 0, made.stats.drawn[label], dim=3)[:, 0] * 2.0 * fakes.SCALE
        every = np.clip(-1 + 2 * (label + 0.5) / CLASSES + z, -1, 1)
        p = fakes.confidence(every, np.full(len(every), label), CLASSES)
        rejected = np.setdiff1d(np.arange(len(every)), made.index[by_filter])
        if fallback == "unfiltered":
            last = rejected[rejected >= 40]
            assert made.index[by_fallback].tolist() == last[: by_fallback.sum()].tolist()
        else:
            left = np.setdiff1d(rejected, made.index[by_fallback])
            assert p[made.index[by_fallback]].min(initial=1) >= p[left].max(initial=0) - 1e-5


def test_the_policy_error_names_the_class_and_its_acceptance():
    judge = scorer(fakes.LabelBlindClassifier)
    with pytest.raises(BadInput, match=r"class 1: 20 of 20 missing after 4 rounds; 0 of 80 .* \(0.00 %\)"):
        fill(judge, **{**RULE, "cap": 4, "fallback": "error"}, stddev=1.0, stream=KEY)


def test_without_a_limit_a_class_that_is_never_accepted_ends_in_one_line():
    judge = scorer(fakes.LabelBlindClassifier)
    with pytest.raises(BadInput, match=f"class 1: the last {STALLED_ROUNDS} rounds accepted none") as caught:
        fill(judge, **{**RULE, "quotas": [2] * CLASSES, "cap": None}, stddev=1.0, stream=KEY)
    assert "\n" not in str(caught.value) and "SAMPLING.max_attempts" in str(caught.value)


@pytest.mark.parametrize(
    "wrong",
    [{"threshold": 1.0}, {"threshold": -0.1}, {"cap": 0}, {"fallback": "best"}, {"quotas": [0, 0, 0, 0]}],
)
def test_settings_that_mean_nothing_are_refused(stub, wrong):
    with pytest.raises(BadInput):
        fill(stub, **{**RULE, **wrong}, stddev=1.0, stream=KEY)


# --- pools ---


@pytest.mark.parametrize("limit_bytes", [0, 2000, 10**7])
def test_a_pool_gives_every_threshold_the_set_of_fill_whatever_was_asked_before(stub, limit_bytes):
    pool = ScoredPool(stub, classes=CLASSES, stddev=2.0, stream=KEY, store=ImageStore(limit_bytes))
    for threshold in (0.8, 0.0, None, 0.5, 0.8):
        for cap, fallback in ((50, "error"), (1, "unfiltered"), (2, "topk")):
            rule = {**RULE, "threshold": threshold, "cap": cap, "fallback": fallback}
            assert_equal_sets(pool.fill(**rule), fill(stub, **rule, stddev=2.0, stream=KEY), rtol=1e-6)


def test_sets_of_rising_thresholds_are_nested_and_acceptance_does_not_rise(stub):
    pool = ScoredPool(stub, classes=CLASSES, stddev=2.0, stream=KEY)
    pool.fill(**{**RULE, "quotas": [200] * CLASSES, "threshold": 0.9, "cap": 10})
    thresholds = [None, 0.0, 0.3, 0.6, 0.9]
    for table in pool.tables:
        masks = [Rule(tau, None, "error").accepts(table.agrees, table.confidence) for tau in thresholds]
        for lower, higher in zip(masks, masks[1:], strict=False):
            assert not np.any(higher & ~lower)
        counts = [int(mask.sum()) for mask in masks]
        assert counts == sorted(counts, reverse=True) and counts[-1] < counts[0]


def test_a_pool_scores_no_candidate_twice():
    judge = scorer()
    pool = ScoredPool(judge, classes=CLASSES, stddev=2.0, stream=KEY, store=ImageStore(10**7))
    pool.fill(**{**RULE, "threshold": 0.8})
    lengths = [len(table) for table in pool.tables]
    pool.fill(**{**RULE, "threshold": 0.3})
    assert [len(table) for table in pool.tables] == lengths


def test_stored_images_stay_below_the_limit_for_all_streams_together(stub):
    image = 4 * 4 * 4  # bytes
    cache = PoolCache(stub, classes=CLASSES, stddev=1.5, limit_bytes=30 * image)
    for recycle in range(3):
        made = cache.fill(KEY.at(recycle), RULE["quotas"], threshold=0.6, cap=50, fallback="error")
        assert_equal_sets(made, fill(stub, **RULE, stddev=1.5, stream=KEY.at(recycle)), rtol=1e-6)
    assert cache._store.used == 30
