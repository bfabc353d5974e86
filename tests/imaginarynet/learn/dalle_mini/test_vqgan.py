from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.imaginarynet.learn import vqgan
from experiments.imaginarynet.learn.loop import Hooks, Phase
from experiments.imaginarynet.learn.vqgan import VQGANRecipe, follow, measure, psnr, revive
from experiments.imaginarynet.vqgan import checkpoint
from suite.errors import BadInput, Stopped
from tests.imaginarynet.learn.dalle_mini.fakes import VQGAN, corpus

RECIPE = VQGANRecipe(
    phase=Phase(steps=60, batch=6, lr=1e-2, measure_every=20, save_every=7), config=VQGAN, free_steps=15
)


def random(*shape: int, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


# --- the codebook ---


def test_running_means_of_constant_batches_are_their_closed_form():
    vectors, codes = random(5, 3), jnp.array([0, 2, 2, 2, 0])
    counts, sums = jnp.array([4.0, 1.0, 0.0]), random(3, 3, seed=1)
    of_batch = jnp.array([2.0, 0.0, 3.0])
    total = jnp.stack([vectors[0] + vectors[4], jnp.zeros(3), vectors[1:4].sum(0)])
    found = (counts, sums)
    for _ in range(9):
        found = follow(*found, vectors, codes, decay=0.8)
    left = 0.8**9
    np.testing.assert_allclose(found[0], left * counts + (1 - left) * of_batch, rtol=1e-5)
    np.testing.assert_allclose(found[1], left * sums + (1 - left) * total, atol=1e-5)


def test_an_entry_that_alone_is_chosen_moves_to_the_mean_of_what_chose_it():
    vectors, codes = random(6, 2), jnp.zeros(6, jnp.int32)
    counts, sums = jnp.array([1.0]), random(1, 2, seed=1)
    for _ in range(200):
        counts, sums = follow(counts, sums, vectors, codes, decay=0.9)
    np.testing.assert_allclose((sums / counts[:, None])[0], vectors.mean(0), atol=1e-5)


def test_the_counts_of_all_entries_go_to_the_number_of_vectors():
    counts, sums = jnp.zeros(4), jnp.zeros((4, 2))
    for step in range(300):
        codes = jnp.asarray(np.random.default_rng(step).integers(0, 4, 10))
        counts, sums = follow(counts, sums, random(10, 2), codes, decay=0.9)
    assert float(counts.sum()) == pytest.approx(10, rel=1e-4)


def test_dead_entries_become_vectors_of_the_batch_and_the_others_stay():
    vectors, counts, sums = random(8, 3), jnp.array([5.0, 0.19, 0.21, 0.0]), random(4, 3, seed=1)
    after, moved, number = revive(counts, sums, vectors, jax.random.key(0), dead_below=0.1)
    assert number == 2  # an even share is 2 vectors, so that entries below 0.2 are dead
    assert np.array_equal(after, np.float32([5.0, 2.0, 0.21, 2.0]))
    assert np.array_equal(moved[jnp.array([0, 2])], sums[jnp.array([0, 2])])
    entries = np.asarray(moved / after[:, None])
    sources = [np.abs(np.asarray(vectors) - entries[i]).max(1).argmin() for i in (1, 3)]
    assert sources[0] != sources[1]
    for i, source in zip((1, 3), sources, strict=True):
        np.testing.assert_allclose(entries[i], vectors[source], atol=1e-6)


def test_more_entries_than_vectors_are_all_given_one():
    after, moved, number = revive(
        jnp.zeros(7), jnp.zeros((7, 2)), random(3, 2), jax.random.key(0), dead_below=0.1
    )
    assert number == 7 and np.isfinite(moved / after[:, None]).all()


def test_no_entry_is_dead_where_all_are_chosen_evenly():
    counts, sums = jnp.full(4, 2.0), random(4, 3)
    after, moved, number = revive(counts, sums, random(8, 3), jax.random.key(0), dead_below=0.1)
    assert number == 0 and np.array_equal(after, counts) and np.array_equal(moved, sums)


# --- figures ---


def test_psnr_is_its_definition():
    assert psnr(1.0) == 0 and psnr(0.01) == pytest.approx(20)


def test_the_figures_of_held_out_pictures_do_not_depend_on_how_many_are_measured_at_once(monkeypatch):
    pictures = corpus(7).pictures
    params = vqgan.start(RECIPE, 0)["params"]
    at_32 = measure(params, VQGAN, pictures)
    monkeypatch.setattr(vqgan, "AT_ONCE", 4)
    assert measure(params, VQGAN, pictures) == pytest.approx(at_32, rel=1e-4)


def test_a_corpus_of_another_size_is_refused(tmp_path: Path):
    with pytest.raises(BadInput, match="pictures of 16 pixels, the network is for 8"):
        vqgan.train(corpus(side=16), RECIPE, seed=0, work=tmp_path, out=tmp_path)


def test_a_corpus_without_held_out_pictures_is_refused(tmp_path: Path):
    all_train = replace(corpus(), split=np.full(24, "train"))
    with pytest.raises(BadInput, match="no pictures of `val`"):
        vqgan.train(all_train, RECIPE, seed=0, work=tmp_path, out=tmp_path)


# --- the training ---


@pytest.mark.slow
def test_training_beats_the_mean_picture_and_goes_on_exactly_after_a_stop(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(vqgan, "make_step", cache(vqgan.make_step))  # compiled once
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    facts = vqgan.train(corpus(), RECIPE, seed=0, work=whole / "work", out=whole)
    assert facts["held_out_psnr"] > facts["held_out_psnr_of_mean_picture"] + 6
    assert facts["held_out_codes_in_use"] >= 2  # bright and dark
    asked = iter([False] * 17 + [True])  # after the codebook came in, between two states

    def check_stop() -> None:
        if next(asked, False):
            raise Stopped("stopped")

    with pytest.raises(Stopped):
        vqgan.train(
            corpus(), RECIPE, seed=0, work=stopped / "work", out=stopped, hooks=Hooks(check_stop=check_stop)
        )
    assert not (stopped / "vqgan").exists()
    vqgan.train(corpus(), RECIPE, seed=0, work=stopped / "work", out=stopped)
    for name in ("vqgan/model.safetensors", "vqgan/config.json", "curves.csv", "training.json"):
        assert (stopped / name).read_bytes() == (whole / name).read_bytes()
    config, params = checkpoint.load(whole / "vqgan")
    assert config == VQGAN
    kept = measure(params, config, corpus().part("val").pictures)
    assert json.loads((whole / "training.json").read_text())["held_out_psnr"] == pytest.approx(kept["psnr"])
