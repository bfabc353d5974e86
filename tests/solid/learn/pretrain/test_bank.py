import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import normalize

from experiments.solid.learn.pretrain.bank import NEVER_WRITTEN, first_occurrences, random_bank, write_rows_
from suite.errors import BadInput

K, D = 7, 4


def unit(*shape, seed=0):
    return normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=1)


@given(st.lists(st.integers(0, 9), max_size=30))
def test_first_occurrences_are_those_that_numpy_finds(ids):
    _, expected = np.unique(np.array(ids, np.int64), return_index=True)
    assert first_occurrences(torch.tensor(ids, dtype=torch.int64)).tolist() == expected.tolist()


@settings(deadline=None)
@given(st.lists(st.integers(0, K - 1), max_size=12))
def test_a_row_gets_the_first_of_its_queries_and_the_others_stay(ids):
    before, rows = unit(K, D), unit(max(len(ids), 1), D, seed=1)[: len(ids)]
    bank, written = before.clone(), torch.full((K,), NEVER_WRITTEN)
    write_rows_(bank, written, torch.tensor(ids, dtype=torch.int64), rows)
    expected = {}
    for position, row in enumerate(ids):
        expected.setdefault(row, rows[position])
    for row in range(K):
        assert torch.equal(bank[row], expected.get(row, before[row]))
        assert written[row] == (row if row in expected else NEVER_WRITTEN)


@pytest.mark.parametrize("wrong", [-1, K])
def test_a_class_outside_the_bank_is_refused_and_nothing_is_written(wrong):
    bank, written = unit(K, D), torch.full((K,), NEVER_WRITTEN)
    before = bank.clone()
    with pytest.raises(BadInput, match=f"class {wrong}, the bank has {K} classes"):
        write_rows_(bank, written, torch.tensor([1, wrong]), unit(2, D))
    assert torch.equal(bank, before) and (written == NEVER_WRITTEN).all()


def test_rows_normalised_when_written_are_rows_normalised_at_use():
    raw = torch.randn(K, D, generator=torch.Generator().manual_seed(3))
    ids, embeddings = torch.tensor([2, 5]), 3 * unit(2, D, seed=4)
    ours, written = normalize(raw, dim=1), torch.full((K,), NEVER_WRITTEN)
    write_rows_(ours, written, ids, normalize(embeddings, dim=1))
    published = raw.clone()
    published[ids] = embeddings
    assert torch.equal(ours, normalize(published, dim=1))


def test_the_random_bank_is_spread_over_the_sphere_and_follows_its_seed():
    bank = random_bank(4000, 16, torch.Generator().manual_seed(5))
    assert torch.allclose(bank.norm(dim=1), torch.ones(4000), atol=1e-6)
    # a coordinate of a uniform unit vector has mean 0 and variance 1/D; 6 standard errors
    assert bank.mean(dim=0).abs().max() < 6 / (16 * 4000) ** 0.5
    assert torch.equal(bank, random_bank(4000, 16, torch.Generator().manual_seed(5)))
    assert not torch.equal(bank, random_bank(4000, 16, torch.Generator().manual_seed(6)))
