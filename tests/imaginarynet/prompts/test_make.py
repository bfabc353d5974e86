"""Prompts of a class: unique, the same however they are made, cut as published."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.imaginarynet.config_sections import PromptsConfig
from experiments.imaginarynet.prompts.make import (
    STREAM,
    close_gaps,
    cut,
    make_prompts,
    prefix_of,
    uniforms,
)
from experiments.imaginarynet.store.seeds import sample_seed
from tests.imaginarynet.prompts.texts import FewTexts

CONFIG = PromptsConfig(batch=8)
FEW = settings(max_examples=25, deadline=None)


def make(count, *, model=None, config=CONFIG, name="mug", seed=0, **rest):
    return make_prompts(model or FewTexts(), config, name, count=count, seed=seed, **rest)


@FEW
@given(count=st.integers(0, 36), seed=st.integers(0, 2**64))
def test_prompts_are_unique_and_begin_with_the_template_and_are_one_line(count, seed):
    prompts = make(count, seed=seed)
    texts = [prompt.text for prompt in prompts if not prompt.reason]
    assert [prompt.number for prompt in prompts] == list(range(count))
    assert len(set(texts)) == len(texts)
    assert all(text.startswith("A photo of mug") and len(text.splitlines()) == 1 for text in texts)
    assert not any(end in text for text in texts for end in ".\t\n")


@FEW
@given(count=st.integers(1, 30), at=st.integers(0, 30), seed=st.integers(0, 2**32))
def test_a_class_made_in_two_pieces_is_the_class_made_in_one(count, at, seed):
    whole = make(count, seed=seed)
    first = make(min(at, count), seed=seed)
    taken = {prompt.text for prompt in first if not prompt.reason}
    rest = make(count - len(first), seed=seed, first_number=len(first), taken=taken)
    assert first + rest == whole


@FEW
@given(batch=st.integers(1, 40), seed=st.integers(0, 2**32))
def test_the_batch_decides_no_prompt(batch, seed):
    assert make(20, seed=seed, config=replace(CONFIG, batch=batch)) == make(20, seed=seed)


@FEW
@given(count=st.integers(1, 30), seed=st.integers(0, 2**32))
def test_a_prompt_is_its_first_drawing_that_none_before_it_is(count, seed):
    taken: set[str] = set()
    for prompt in make(count, seed=seed):
        drawings = [
            sample_seed(seed, STREAM, "mug", prompt_id=prompt.number, sample_idx=i) % 40
            for i in range(CONFIG.max_tries)
        ]
        texts = [f"A photo of mug on table {n}" for n in drawings]
        new = next((text for text in texts if text not in taken), None)
        assert prompt.text == (new or texts[-1]) and bool(prompt.reason) == (new is None)
        taken.add(prompt.text)


def test_first_drawings_come_from_full_batches_and_later_ones_from_small_ones():
    model = FewTexts(variety=60)
    make(40, model=model, config=replace(CONFIG, batch=32))
    assert [batch for _, batch in model.calls[:2]] == [32, 8]
    assert {batch for _, batch in model.calls[1:]} == {8}
    assert len(set(model.seeds)) == len(model.seeds)


def test_another_seed_and_another_class_are_other_drawings():
    models = [FewTexts(variety=2**64) for _ in range(3)]
    make(5, model=models[0])
    make(5, model=models[1], seed=1)
    make(5, model=models[2], name="cup")
    assert len({seed for model in models for seed in model.seeds}) == 15


def test_a_class_whose_texts_are_used_up_ends_with_reasons_and_not_with_a_loop():
    model = FewTexts(variety=3)
    prompts = make(5, model=model, config=replace(CONFIG, max_tries=7))
    assert sum(not prompt.reason for prompt in prompts) == 3
    failed = [prompt for prompt in prompts if prompt.reason]
    assert [prompt.drawings for prompt in failed] == [7, 7]
    assert failed[0].reason == "none of 7 drawings was a new text of one line"
    assert len(model.seeds) <= 5 * 7


def test_the_bare_template_is_repeated_as_often_as_asked():
    prompts = make(3, config=PromptsConfig(source="bare"), name="traffic light", first_number=4)
    assert [prompt.text for prompt in prompts] == ["A photo of traffic light"] * 3
    assert [prompt.number for prompt in prompts] == [4, 5, 6]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (" on a table. It", " on a table"),
        ("\nmore", ""),
        (" a\tb.c", " a"),
        (" whole ", " whole "),
        ("..", ""),
    ],
)
def test_a_text_ends_before_its_first_full_stop_line_end_or_tab(text, kept):
    assert cut(text) == kept


@given(st.text())
def test_the_cut_text_is_the_longest_beginning_without_an_end(text):
    kept = cut(text)
    assert text.startswith(kept) and not set(kept) & set(".\n\t")
    assert kept == text or text[len(kept)] in ".\n\t"


def test_spaces_before_punctuation_are_closed_as_the_published_pipeline_does():
    assert close_gaps(" on a table , isn 't it ?") == " on a table, isn 't it?"
    assert close_gaps("a dog 's life , they 're here !") == "a dog's life, they're here!"


@pytest.mark.parametrize("end", ["\r", "\x0b", "\x85", "\u2028", "\ufffd"])
def test_a_text_that_readers_would_split_or_not_show_is_drawn_again(end):
    prompts = make(1, model=FewTexts(form=" a" + end + "b{n}"), config=replace(CONFIG, max_tries=3))
    assert prompts[0].reason and prompts[0].drawings == 3


@pytest.mark.parametrize(("form", "is_usable"), [("by {n}", False), (" and {n}", True), ("-like {n}", True)])
def test_a_class_name_that_goes_on_as_another_word_can_be_refused(form, is_usable):
    config = replace(CONFIG, require_class=True, max_tries=2)
    assert bool(make(1, model=FewTexts(form=form), config=config)[0].reason) != is_usable
    assert not make(1, model=FewTexts(form=form))[0].reason


def test_the_template_takes_the_name_as_it_is_written():
    config = PromptsConfig(template="{c}, a photo")
    assert prefix_of(config, "traffic light") == "traffic light, a photo"


@FEW
@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=5), st.integers(1, 12))
def test_every_seed_has_its_own_row_of_noise_in_whatever_company(seeds, length):
    noise = uniforms(seeds, length)
    assert noise.shape == (len(seeds), length) and (noise >= 0).all() and (noise < 1).all()
    for seed, row in zip(seeds, noise, strict=True):
        np.testing.assert_array_equal(uniforms([seed], length + 3)[0, :length], row)
