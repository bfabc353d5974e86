import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.solid.learn.data.queries import Account, derangement, query_order, read_queries
from experiments.solid.store.reader import MissingSample
from suite.errors import BadInput


class Fake:
    """A store whose picture of class c, view s is 4 x 8 of value 10 c + s; some are missing."""

    def __init__(self, missing=()):
        self.missing, self.reads = set(missing), []

    def read_query(self, class_id, shot):
        self.reads.append((class_id, shot))
        if (class_id, shot) in self.missing or (class_id, None) in self.missing:
            raise MissingSample("gone", file=f"queries {class_id}")
        return np.full((4, 8, 3), 10 * class_id + shot, np.uint8)


def read(store, order, *, num_queries, shots=None, seed=0, **options):
    account = Account()
    shots = np.ones((9, 3), bool) if shots is None else shots
    rng = np.random.default_rng(seed)
    ids, pictures = read_queries(
        store, iter(order), shots, rng, num_queries=num_queries, size=8, account=account, **options
    )
    return ids, pictures, account


@given(
    positives=st.lists(st.integers(0, 19), min_size=1),
    usable=st.lists(st.booleans(), min_size=20, max_size=20),
    seed=st.integers(0, 99),
)
def test_positives_come_first_then_the_rest_each_class_once(positives, usable, seed):
    usable = np.array(usable)
    order = list(query_order(np.array(positives), usable, np.random.default_rng(seed)))
    wanted = {c for c in positives if usable[c]}
    assert set(order[: len(wanted)]) == wanted
    assert sorted(order) == np.flatnonzero(usable).tolist()


def test_both_sides_are_shuffled():
    usable = np.ones(40, bool)
    orders = [list(query_order(np.arange(20), usable, np.random.default_rng(s))) for s in range(2)]
    assert orders[0][:20] != orders[1][:20] != sorted(orders[1][:20])
    assert orders[0][20:] != orders[1][20:] != sorted(orders[1][20:])


@given(n=st.integers(2, 30), seed=st.integers(0, 99))
def test_a_derangement_gives_every_class_the_picture_of_another(n, seed):
    classes = np.arange(n) * 3
    pairs = derangement(classes, np.random.default_rng(seed))
    assert sorted(pairs) == sorted(pairs.values()) == classes.tolist()
    assert all(one != other for one, other in pairs.items())


def test_one_class_cannot_be_shuffled():
    with pytest.raises(BadInput, match="need two classes"):
        derangement([4], np.random.default_rng(0))


def test_one_existing_view_of_each_class_is_read_at_random():
    shots = np.zeros((9, 3), bool)
    shots[:, 1:] = True
    seen = set()
    for seed in range(20):
        store = Fake()
        ids, pictures, account = read(store, [4, 2], num_queries=2, shots=shots, seed=seed)
        assert ids == [4, 2]
        assert account.drawn == 2
        assert [int(p[0, 0, 0]) // 10 for p in pictures] == ids
        seen |= {shot for _, shot in store.reads}
    assert seen == {1, 2}


def test_no_more_pictures_are_read_than_asked_for():
    store = Fake()
    assert read(store, range(9), num_queries=3)[0] == [0, 1, 2]
    assert [class_id for class_id, _ in store.reads] == [0, 1, 2]


def test_another_view_then_another_class_replaces_what_cannot_be_read():
    store = Fake(missing=[(0, 0), (0, 1), (3, None)])
    ids, pictures, account = read(store, [3, 0, 5, 6], num_queries=2)
    assert ids == [0, 5]
    assert int(pictures[0][0, 0, 0]) == 2  # the one view of class 0 that is left
    assert account.drawn - account.skipped == 2
    assert account.skipped >= 3  # all views of class 3, and those of class 0 that were tried
    assert account.first_fault == "queries 3: gone"


def test_fewer_come_back_only_where_the_classes_run_out():
    ids, _, account = read(Fake(missing=[(1, None)]), [0, 1, 2], num_queries=3)
    assert ids == [0, 2]
    assert account.skipped == 3


def test_a_class_can_be_shown_the_picture_of_another():
    ids, pictures, _ = read(Fake(), [0, 1], num_queries=2, picture_of={0: 1, 1: 0})
    assert ids == [0, 1]
    assert [int(p[0, 0, 0]) // 10 for p in pictures] == [1, 0]
