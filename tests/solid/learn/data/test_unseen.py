"""Models that are held out of pre-training: which, and that no batch ever shows or queries one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.solid.learn.data.pretrain import pretrain_loader
from experiments.solid.learn.data.unseen import seen_rows, shows, unseen_classes, unseen_rows
from experiments.solid.store.reader import SolidStore
from suite.errors import BadInput


@given(total=st.integers(1, 400), data=st.data())
def test_unseen_classes_are_as_many_as_asked_and_evenly_spread(total, data):
    count = data.draw(st.integers(0, total - 1))
    found = np.flatnonzero(unseen_classes(total, count))
    assert len(found) == count
    assert found.tolist() == [int((k + 0.5) * total / count + 1e-9) for k in range(count)]
    if count > 1:
        assert np.ptp(np.diff(found)) <= 1


def test_holding_out_every_model_is_refused():
    for count in (6, 7, -1):
        with pytest.raises(BadInput, match="pretrain.held_out_models"):
            unseen_classes(6, count)


def test_rows_to_train_on_and_rows_with_unseen_models_do_not_overlap(store_index):
    for count in range(4):
        unseen = set(np.flatnonzero(unseen_classes(6, count)).tolist())
        showing = {row for row in range(12) if unseen & set(store_index.classes_of(row).tolist())}
        assert set(seen_rows(store_index, 2, count)) == set(range(10)) - showing
        assert set(unseen_rows(store_index, count, most=99)) == showing
        assert unseen_rows(store_index, count, most=2).tolist() == sorted(showing)[:2]


def test_none_held_out_is_every_row_as_published(store_index):
    np.testing.assert_array_equal(seen_rows(store_index, 0, 0), store_index.train_rows(0))
    assert not shows(store_index, np.arange(12), np.zeros(6, bool)).any()
    assert shows(store_index, np.arange(12), np.ones(6, bool)).all()


def test_a_store_whose_every_picture_shows_an_unseen_model_is_refused(store_index):
    with pytest.raises(BadInput, match="every picture shows one of them"):
        seen_rows(store_index, 11, 5)  # leaves the first picture, which shows one of the five


@pytest.mark.parametrize("sampler", ["epoch", "chunk_cache"])
def test_no_batch_shows_or_queries_an_unseen_model(store_folder, store_index, with_pretrain, sampler):
    settings = {"held_out": 0, "batch_size": 2, "num_queries": 6, "sampler": sampler}
    config = with_pretrain(held_out_models=1, **settings)
    unseen = set(np.flatnonzero(unseen_classes(6, 1)).tolist())
    path = SolidStore.open(store_folder).path
    for batch in pretrain_loader(path, store_index, config, seed=0, stop_step=6):
        shown = {c for item in batch.targets for c in store_index.classes_of(item["image_id"]).tolist()}
        assert not shown & unseen
        assert sorted(batch.query_ids.tolist()) == sorted(set(range(6)) - unseen)
    everything = list(pretrain_loader(path, store_index, with_pretrain(**settings), seed=0, stop_step=6))
    assert {c for batch in everything for c in batch.query_ids.tolist()} >= unseen
