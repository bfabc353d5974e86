from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.imaginarynet.dallebart.config import TEXT_BOS, TEXT_EOS, TEXT_PAD
from experiments.imaginarynet.dallebart.text import normalise, read_tokenizer
from experiments.imaginarynet.learn.tokenizer import (
    NUM_BYTES,
    SPECIAL,
    TokenizerRecipe,
    learn_tokenizer,
    train,
)
from suite.errors import BadInput

CAPTIONS = [f"A photo of a {colour} mug on a wooden floor" for colour in ("red", "blue", "green")] * 4
LEARNT = learn_tokenizer(CAPTIONS, TokenizerRecipe(vocabulary=290))


def test_begin_padding_and_end_have_the_published_ids():
    found = [LEARNT.token_to_id(name) for name in ("<s>", "<pad>", "</s>")]
    assert found == [TEXT_BOS, TEXT_PAD, TEXT_EOS] == [0, 1, 2]


def test_the_vocabulary_is_bounded_and_holds_every_byte():
    assert len(SPECIAL) + NUM_BYTES < LEARNT.get_vocab_size() <= 290


@given(st.text())
def test_every_text_can_be_written_and_read_back(text: str):
    line = normalise(text)
    found = LEARNT.encode(line, add_special_tokens=False).ids
    assert all(len(SPECIAL) <= number < LEARNT.get_vocab_size() for number in found)
    assert LEARNT.decode(found) == line


def test_words_of_the_captions_take_fewer_tokens_than_letters():
    assert len(LEARNT.encode(normalise("a photo of a red mug")).ids) < 12


def test_the_same_captions_give_the_same_file(tmp_path: Path):
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        train(CAPTIONS, TokenizerRecipe(vocabulary=290), out=tmp_path / name)
    one, other = (tmp_path / name / "tokenizer.json" for name in ("one", "other"))
    assert one.read_bytes() == other.read_bytes()


def test_what_is_written_is_what_the_sampler_reads(tmp_path: Path):
    facts = train(CAPTIONS, TokenizerRecipe(), out=tmp_path)
    found = read_tokenizer(tmp_path)
    lengths = [len(found.encode(normalise(text), add_special_tokens=False).ids) + 2 for text in CAPTIONS]
    assert (facts["tokens"], facts["longest_caption"]) == (found.get_vocab_size(), max(lengths))


def test_a_vocabulary_without_room_for_all_bytes_is_refused():
    with pytest.raises(BadInput, match="vocabulary 260: .* need 261"):
        TokenizerRecipe(vocabulary=260)


def test_no_captions_are_refused():
    with pytest.raises(BadInput, match="no captions"):
        learn_tokenizer([], TokenizerRecipe())
