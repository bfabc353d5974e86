from functools import partial

import numpy as np
import pytest

from experiments.gafi.nn import backend
from experiments.gafi.sampling.fill import fill
from experiments.gafi.sampling.latents import StreamKey
from experiments.gafi.sampling.recycle import RecycleProvider, UnionProvider, renewals
from experiments.gafi.sampling.score import Scorer
from suite.errors import BadInput
from tests.gafi import fakes

CLASSES, EPOCHS = 3, 6
KEY = StreamKey(seed=5, gan=2)


class Maker:
    """`fill` with everything bound, which notes what it was asked for."""

    def __init__(self, *, shift: float = 0.0):
        net = fakes.generator(CLASSES, shift=shift)
        self.scorer, self.asked = Scorer(net, fakes.classifier(CLASSES), batch_size=32), []

    def __call__(self, stream, quotas):
        self.asked.append((stream, quotas))
        rule = {"stddev": 1.5, "threshold": 0.3, "cap": 20, "fallback": "error"}
        return fill(self.scorer, quotas=quotas, stream=stream, **rule)


@pytest.fixture(scope="module")
def shared_maker():
    return Maker()


@pytest.fixture
def maker(shared_maker):
    shared_maker.asked.clear()
    return shared_maker


def provider(maker, **settings) -> RecycleProvider:
    values = {"classes": CLASSES, "per_class": 11, "every": 2, "stream": KEY, **settings}
    return RecycleProvider(maker, **values)


def pixels(samples) -> np.ndarray:
    return backend.to_numpy(samples.images)[:, 0, 0, 0]


# --- when ---


def test_new_data_come_after_every_second_epoch_and_never_after_the_last(maker):
    source = provider(maker)
    sets = [pixels(source.epoch(epoch)) for epoch in range(1, EPOCHS + 1)]
    new = [epoch for epoch in range(1, EPOCHS) if not np.array_equal(sets[epoch - 1], sets[epoch])]
    assert new == [2, 4]
    assert [stream.recycle for stream, _ in maker.asked] == [0, 1, 2]


@pytest.mark.parametrize(("every", "expected"), [(0, [0] * 6), (1, [0, 1, 2, 3, 4, 5]), (10, [0] * 6)])
def test_fixed_accurate_and_fast_differ_only_in_the_period(every, expected):
    assert [renewals(epoch, every) for epoch in range(1, 7)] == expected


def test_an_epoch_gives_the_same_set_whatever_was_asked_before(maker):
    in_order = provider(maker)
    sets = {epoch: pixels(in_order.epoch(epoch)) for epoch in range(1, EPOCHS + 1)}
    for epoch in (5, 1, 6, 3):
        np.testing.assert_array_equal(pixels(provider(maker).epoch(epoch)), sets[epoch])
        np.testing.assert_array_equal(pixels(in_order.epoch(epoch)), sets[epoch])


def test_a_resumed_run_with_whole_renewals_makes_only_the_set_it_needs(maker):
    provider(maker).epoch(5)
    assert [stream.recycle for stream, _ in maker.asked] == [2]


# --- part of the set ---


def test_a_part_is_renewed_class_by_class_and_the_total_stays(maker):
    source = provider(maker, factor=0.3)  # 3 of 11 new, 8 kept
    previous = source.epoch(1)
    for epoch in (3, 5):
        current = source.epoch(epoch)
        fresh = fill_of(maker, (3,) * CLASSES, renewals(epoch, 2))
        assert np.bincount(current.labels).tolist() == [11] * CLASSES
        for label in range(CLASSES):
            now, before = (pixels(s)[s.labels == label] for s in (current, previous))
            np.testing.assert_array_equal(now[8:], pixels(fresh)[fresh.labels == label])
            places = [int(np.flatnonzero(before == value)[0]) for value in now[:8]]
            assert len(set(places)) == 8 and places == sorted(places)
        previous = current


def fill_of(maker, quotas, recycle):
    return maker(KEY.at(recycle), quotas)


def test_other_images_are_kept_for_other_classes_and_renewals(maker):
    source = provider(maker, factor=0.5, every=1, per_class=40)
    kept = [source._kept(renewal).reshape(CLASSES, 20) % 40 for renewal in (1, 2)]
    assert len({row.tobytes() for rows in kept for row in rows}) == 2 * CLASSES


def test_a_factor_that_renews_no_image_keeps_the_set(maker):
    source = provider(maker, factor=0.05)
    np.testing.assert_array_equal(pixels(source.epoch(1)), pixels(source.epoch(5)))
    assert len(maker.asked) == 1


def test_a_replayed_partial_renewal_is_the_one_made_in_order(maker):
    in_order = provider(maker, factor=0.4)
    for epoch in range(1, 6):
        last = in_order.epoch(epoch)
    np.testing.assert_array_equal(pixels(provider(maker, factor=0.4).epoch(5)), pixels(last))


@pytest.mark.parametrize("wrong", [{"factor": 0.0}, {"factor": 1.5}, {"every": -1}])
def test_impossible_recycling_is_refused(maker, wrong):
    with pytest.raises(BadInput):
        provider(maker, **wrong)


# --- several generators ---


@pytest.fixture(scope="module")
def makers():
    return [Maker(), Maker(shift=0.02)]


def union(makers, **settings) -> UnionProvider:
    streams = [StreamKey(seed=5, gan=i) for i in range(len(makers))]
    values = {"classes": CLASSES, "per_class": 11, "every": 1, "streams": streams, **settings}
    return UnionProvider(makers, **values)


def test_a_union_holds_an_equal_share_of_every_generator_ordered_by_class(makers):
    made = union(makers).epoch(2)
    assert np.bincount(made.labels).tolist() == [10] * CLASSES  # 11 // 2 of each
    parts = [one(StreamKey(5, gan=i, recycle=1), (5,) * CLASSES) for i, one in enumerate(makers)]
    for label in range(CLASSES):
        found = pixels(made)[made.labels == label]
        expected = np.concatenate([pixels(part)[part.labels == label] for part in parts])
        np.testing.assert_array_equal(found, expected)


def test_shared_streams_give_all_generators_the_same_latents_in_the_first_set_only(makers):
    for sharing, first_gans in (("shared", [0, 0]), ("own", [0, 1])):
        for one in makers:
            one.asked.clear()
        source = union(makers, sharing=sharing)
        source.epoch(1)
        source.epoch(2)
        streams = [[stream.gan for stream, _ in one.asked] for one in makers]
        assert [gans[0] for gans in streams] == first_gans and [gans[1] for gans in streams] == [0, 1]


def test_one_generator_for_each_epoch_takes_turns_with_the_full_number(makers):
    source = union(makers, one_gan_for_epoch=True)
    for epoch in range(1, 5):
        for one in makers:
            one.asked.clear()
        made = source.epoch(epoch)
        assert np.bincount(made.labels).tolist() == [11] * CLASSES
        assert [len(one.asked) for one in makers] == ([1, 0] if epoch % 2 else [0, 1])


@pytest.mark.parametrize(
    "wrong", [{"per_class": 1}, {"sharing": "some"}, {"streams": [StreamKey(5, gan=0), StreamKey(5, gan=0)]}]
)
def test_an_impossible_union_is_refused(makers, wrong):
    with pytest.raises(BadInput):
        union(makers, **wrong)


def test_a_provider_holds_one_set_at_a_time(maker):
    def check(stream, quotas):
        assert source.current is None
        return maker(stream, quotas)

    source = RecycleProvider(partial(check), classes=CLASSES, per_class=4, every=1, stream=KEY)
    for epoch in range(1, 4):
        source.epoch(epoch)
