"""The book of proposals: what was written is found by digest, and nothing else is."""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.imaginarynet.detectors.proposals.book import FILE, ProposalBook, write_book
from experiments.imaginarynet.detectors.proposals.records import Proposals
from suite.arrays import write_arrays
from suite.errors import BadInput
from tests.imaginarynet.detectors.proposals.shapes import proposals


def digest(number):
    return hashlib.sha256(str(number).encode()).hexdigest()


@given(counts=st.lists(st.integers(0, 5), min_size=1, max_size=8))
@settings(deadline=None, max_examples=25)
def test_every_picture_gets_back_its_own_boxes(counts, tmp_path_factory):
    folder = tmp_path_factory.mktemp("book")
    rng = np.random.default_rng(0)
    written = {digest(i): Proposals.of(rng.random((n, 4)), rng.random(n)) for i, n in enumerate(counts)}
    for shard in range(2):
        part = {key: value for i, (key, value) in enumerate(written.items()) if i % 2 == shard}
        write_book(folder / f"{shard:05d}", part)
    book = ProposalBook.open(folder)
    assert sorted(book) == sorted(written)
    for key, wanted in written.items():
        np.testing.assert_array_equal(book[key].boxes, wanted.boxes)
        np.testing.assert_array_equal(book[key].scores, wanted.scores)
        assert book.is_empty(key) == (len(wanted) == 0)


def test_a_picture_that_nobody_searched_is_a_line_that_says_what_to_do(tmp_path):
    write_book(tmp_path, {digest(0): proposals((0, 0, 1, 1))})
    book = ProposalBook.open(tmp_path)
    assert digest(1) not in book
    with pytest.raises(BadInput, match="has no proposals for the picture.*run `proposals` again"):
        book[digest(1)]


def test_a_folder_without_proposals_is_told(tmp_path):
    with pytest.raises(BadInput, match="has no proposals; run the stage"):
        ProposalBook.open(tmp_path)


@pytest.mark.parametrize(
    "broken",
    [
        {"offsets": np.array([0, 2])},
        {"offsets": np.array([0, 1, 1])},
        {"boxes": np.zeros(4, np.float32)},
        {"scores": np.zeros(3, np.float32)},
        {"boxes": None},
        {"boxes": np.zeros((1, 4), np.float64)},
        {"boxes": np.zeros((1, 5), np.float32)},
    ],
)
def test_a_file_whose_arrays_do_not_fit_together_is_refused(tmp_path, broken):
    whole = {
        "digests": np.array([digest(0).encode()], "S64"),
        "offsets": np.array([0, 1]),
        "boxes": np.zeros((1, 4), np.float32),
        "scores": np.zeros(1, np.float32),
    }
    arrays = {name: value for name, value in {**whole, **broken}.items() if value is not None}
    write_arrays(tmp_path / FILE, **arrays)
    with pytest.raises(BadInput, match="is no file of proposals"):
        ProposalBook.open(tmp_path)


def test_the_same_proposals_make_the_same_bytes(tmp_path):
    found = {digest(i): proposals((0, 0, i + 1, 1)) for i in range(3)}
    first = write_book(tmp_path / "a", found).read_bytes()
    assert write_book(tmp_path / "b", dict(reversed(found.items()))).read_bytes() == first
