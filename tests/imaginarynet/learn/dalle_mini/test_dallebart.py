from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import jax
import numpy as np
import pytest

from experiments.imaginarynet.dallebart import checkpoint, model
from experiments.imaginarynet.dallebart.text import TextEncoder, unconditional
from experiments.imaginarynet.learn import dallebart
from experiments.imaginarynet.learn.dallebart import (
    DalleBartRecipe,
    Texts,
    loss_of_frequencies,
    losses,
    sizes,
)
from experiments.imaginarynet.learn.loop import Hooks, Phase
from experiments.imaginarynet.learn.tokenizer import TokenizerRecipe, learn_tokenizer
from experiments.imaginarynet.vqgan.model import latents
from experiments.imaginarynet.vqgan.params import shapes, unflatten
from suite.errors import Stopped
from tests.imaginarynet.learn.dalle_mini.fakes import DALLEBART, VQGAN, corpus

CORPUS = corpus()
TOKENIZER = learn_tokenizer(CORPUS.captions, TokenizerRecipe(vocabulary=280, min_frequency=1))
RECIPE = DalleBartRecipe(
    phase=Phase(steps=40, batch=8, lr=1e-2, measure_every=20, save_every=7), config=DALLEBART, mean_decay=0.9
)


def texts(**chances: float) -> Texts:
    none = {"blank": 0.0, "bare": 0.0, "bare_and_chance": 0.0}
    return Texts(CORPUS, TOKENIZER, 20, replace(RECIPE, **none | chances), seed=0)


def whole_ids(lines: list[str]) -> np.ndarray:
    return TextEncoder(TOKENIZER, 20)(lines).ids


def test_by_default_the_text_is_the_caption():
    rows = np.arange(8)
    ids, mask = texts().draw(0, rows)
    expected = TextEncoder(TOKENIZER, 20)([CORPUS.captions[row] for row in rows])
    assert np.array_equal(ids, expected.ids) and np.array_equal(mask, expected.mask)


def test_a_blank_text_is_the_samplers_unconditional_one():
    ids, mask = texts(blank=1.0).draw(0, np.arange(4))
    expected = unconditional(4, 20)
    assert np.array_equal(ids, expected[0]) and np.array_equal(mask, expected[1])


def test_a_bare_text_is_the_prompt_of_the_class():
    ids, _ = texts(bare=1.0).draw(0, np.arange(6))
    names = [CORPUS.class_names[i] for i in CORPUS.class_ids[:6]]
    assert np.array_equal(ids, whole_ids([f"A photo of {name}" for name in names]))


def test_words_by_chance_follow_the_bare_prompt():
    ids, mask = texts(bare_and_chance=1.0).draw(0, np.arange(24))
    bare = whole_ids([f"A photo of {CORPUS.class_names[i]}" for i in CORPUS.class_ids])
    length = (bare != 1).sum(1) - 1  # without the end
    for row in range(24):
        assert np.array_equal(ids[row, : length[row]], bare[row, : length[row]])
        assert mask[row].sum() > length[row] + 1 and ids[row, mask[row].sum() - 1] == 2
    assert len(np.unique(ids, axis=0)) > 20


def test_each_kind_comes_as_often_as_it_should():
    drawn = texts(blank=0.15)
    blank = np.mean([(drawn.draw(step, np.arange(24))[1].sum(1) == 2).mean() for step in range(100)])
    assert abs(blank - 0.15) < 4 * (0.15 * 0.85 / 2400) ** 0.5


def test_the_texts_of_a_step_are_a_function_of_seed_and_step():
    drawn, again = (Texts(CORPUS, TOKENIZER, 20, RECIPE, seed=3) for _ in range(2))
    drawn.draw(0, np.arange(24))
    assert np.array_equal(drawn.draw(5, np.arange(24))[0], again.draw(5, np.arange(24))[0])
    other = Texts(CORPUS, TOKENIZER, 20, RECIPE, seed=4)
    assert not np.array_equal(other.draw(5, np.arange(24))[0], again.draw(5, np.arange(24))[0])


def test_the_tables_are_as_large_as_tokenizer_and_codebook_need():
    found = sizes(RECIPE, TOKENIZER, VQGAN)
    assert (found.text_vocab, found.codebook, found.image_length) == (TOKENIZER.get_vocab_size(), 8, 16)


def test_even_logits_cost_the_logarithm_of_the_vocabulary():
    params = model.init_params(DALLEBART, jax.random.key(0))
    params["head"] = np.zeros_like(params["head"])
    ids, mask = unconditional(2, 12)
    codes = np.random.default_rng(0).integers(0, 8, (2, 16)).astype(np.int32)
    found = jax.jit(losses, static_argnums=1)(params, DALLEBART, ids, mask, codes)
    np.testing.assert_allclose(found, np.log(DALLEBART.image_rows), rtol=1e-5)


def test_the_loss_of_frequencies_is_their_entropy_where_they_are_the_held_out_ones():
    codes = np.array([0] * 3000 + [1] * 1000)
    expected = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    assert loss_of_frequencies(codes, codes, 2) == pytest.approx(expected, abs=1e-3)


def _vqgan():
    """Random weights; the codebook is what the encoder makes of some pictures, so that codes tell of them."""
    rng = np.random.default_rng(0)
    flat = {n: rng.normal(size=s) / max(1, np.prod(s[:-1])) ** 0.5 for n, s in shapes(VQGAN).items()}
    params = unflatten({name: value.astype(np.float32) for name, value in flat.items()})
    found = np.asarray(latents(params, VQGAN, np.float32(CORPUS.pictures[:8] / 255)))
    params["quantize"]["embedding"]["embedding"] = found.reshape(-1, 4)[rng.permutation(128)[:8]]
    return VQGAN, params


@pytest.mark.slow
def test_training_beats_the_frequencies_and_goes_on_exactly_after_a_stop(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(dallebart, "make_step", cache(dallebart.make_step))  # compiled once
    whole, stopped, given_vqgan = tmp_path / "whole", tmp_path / "stopped", _vqgan()
    facts = dallebart.train(CORPUS, TOKENIZER, given_vqgan, RECIPE, seed=0, work=whole / "work", out=whole)
    assert facts["held_out_loss"] < facts["held_out_loss_of_frequencies"] - 0.1
    asked = iter([False] * 17 + [True])

    def check_stop() -> None:
        if next(asked, False):
            raise Stopped("stopped")

    for hooks in (Hooks(check_stop=check_stop), Hooks()):
        try:
            dallebart.train(
                CORPUS, TOKENIZER, given_vqgan, RECIPE,
                seed=0, work=stopped / "work", out=stopped, hooks=hooks,
            )  # fmt: skip
        except Stopped:
            assert not (stopped / "dallebart").exists()
    for name in ("dallebart/model.safetensors", "dallebart/config.json", "curves.csv", "training.json"):
        assert (stopped / name).read_bytes() == (whole / name).read_bytes()
    config, _ = checkpoint.load_model(whole / "dallebart")
    assert config == sizes(RECIPE, TOKENIZER, VQGAN)
