import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.imaginarynet.dallebart.text import (
    TextEncoder,
    normalise,
    read_tokenizer,
    tokenizer_digest,
    unconditional,
)
from suite.errors import BadInput, Missing
from tests.imaginarynet.parity.texts import NORMALISED
from tests.imaginarynet.tiny_models import CAPTIONS, tokenizer


@pytest.fixture
def folder(tmp_path):
    tokenizer().save(str(tmp_path / "tokenizer.json"))
    return tmp_path


def test_a_text_is_begin_tokens_end_and_padding(folder):
    read = read_tokenizer(folder)
    ids, mask, cut = TextEncoder(read, length=16, normalise=False)(["a red mug", ""])
    count = int(mask[0].sum())
    assert ids.dtype == mask.dtype == np.int32 and ids.shape == mask.shape == (2, 16)
    assert (ids[0, 0], ids[0, count - 1]) == (0, 2) and (ids[0, count:] == 1).all()
    assert read.decode(ids[0, 1 : count - 1].tolist()) == "a red mug"
    assert cut == 0


def test_the_empty_text_is_the_unconditional_one(folder):
    ids, mask, _ = TextEncoder(read_tokenizer(folder), length=7, normalise=False)([""])
    for found, wanted in zip((ids, mask), unconditional(1, 7), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_a_long_text_loses_its_last_tokens_and_is_counted(folder):
    encoder = TextEncoder(read_tokenizer(folder), length=6, normalise=False)
    whole = TextEncoder(encoder.tokenizer, length=200, normalise=False)(["word " * 30])
    ids, mask, cut = encoder(["word " * 30, "a"])
    assert cut == 1 and mask[0].sum() == 6 and ids[0, -1] == 2
    np.testing.assert_array_equal(ids[0, :5], whole.ids[0, :5])


def test_vocabulary_and_merges_give_the_same_tokens_as_the_whole_file(folder, tmp_path):
    tree = json.loads((folder / "tokenizer.json").read_text())["model"]
    other = tmp_path / "other"
    other.mkdir()
    (other / "vocab.json").write_text(json.dumps(tree["vocab"]))
    lines = [" ".join(pair) if isinstance(pair, list) else pair for pair in tree["merges"]]
    (other / "merges.txt").write_text("#version: 0.2\n" + "\n".join(lines) + "\n")
    first, second = (TextEncoder(read_tokenizer(each), length=40) for each in (folder, other))
    texts = [*CAPTIONS, "something ELSE, entirely: 3.5 %"]
    np.testing.assert_array_equal(first(texts).ids, second(texts).ids)
    assert tokenizer_digest(folder) != tokenizer_digest(other)


def test_a_tokenizer_file_that_pads_and_cuts_does_so_no_more(folder):
    made = tokenizer()
    made.enable_truncation(4)
    made.enable_padding(length=4, pad_id=1)
    made.save(str(folder / "tokenizer.json"))
    _, mask, cut = TextEncoder(read_tokenizer(folder), length=60)(["a photo of a red mug on a wooden floor"])
    assert mask.sum() > 6 and cut == 0


def test_nothing_there_tells_what_to_put_there(tmp_path):
    with pytest.raises(Missing, match=r"put tokenizer\.json, or vocab\.json and merges\.txt, there"):
        read_tokenizer(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"model": 3}'])
def test_a_damaged_tokenizer_is_bad_input(tmp_path, text):
    (tmp_path / "tokenizer.json").write_text(text)
    with pytest.raises(BadInput, match=r"tokenizer\.json: cannot be read"):
        read_tokenizer(tmp_path)


def test_a_damaged_vocabulary_is_bad_input(tmp_path):
    (tmp_path / "vocab.json").write_text('{"<s>": 0}')
    (tmp_path / "merges.txt").write_text("a b\n")
    with pytest.raises(BadInput, match=r"vocab\.json: cannot be read"):
        read_tokenizer(tmp_path)


def test_other_special_tokens_are_refused(tmp_path):
    made = tokenizer()
    tree = json.loads(made.to_str().replace('"<pad>"', '"[PAD]"'))
    (tmp_path / "tokenizer.json").write_text(json.dumps(tree))
    with pytest.raises(BadInput, match="<pad> is not number 1"):
        read_tokenizer(tmp_path)


@pytest.mark.parametrize(("text", "wanted"), NORMALISED.items())
def test_the_normaliser_gives_what_the_published_one_gives(text, wanted):
    assert normalise(text) == wanted


@given(st.text())
def test_a_normalised_text_is_one_plain_lower_case_line(text):
    found = normalise(text)
    assert found.startswith(" ") and found.isascii() and found == found.lower()
    assert found.isprintable() and "  " not in found.strip()
