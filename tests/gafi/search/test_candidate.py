"""One candidate: trained on generated pictures, judged by real ones."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from experiments.gafi.classifier.loop import FixedProvider, fit
from experiments.gafi.nn import backend
from experiments.gafi.nn.state import load_arrays
from experiments.gafi.sampling.latents import StreamKey
from experiments.gafi.search.candidate import own_stream, provider_of, reuse, run_candidate
from experiments.gafi.search.ledger import read_result
from experiments.gafi.search.selection import first_max
from suite.errors import BadInput, Stopped
from suite.manifest import file_digest
from tests.gafi.search.samples import CANDIDATE, SOURCE, other

SMALL = other(CANDIDATE, epoch=10, class_samples=6, epochs=4, recycle_every=2)
SECOND = replace(SOURCE, gan="G_seed2", index=1, generator="2" * 64, epoch=20, stddev=1.2)


def files(folder):
    """{name: digest} of everything below a folder."""
    return {str(p.relative_to(folder)): file_digest(p) for p in folder.rglob("*") if p.is_file()}


def run(candidate, bench, folder, **more):
    return run_candidate(candidate, bench, folder=folder, work=folder / ".work", **more)


def sets(candidate, bench, epochs):
    provider = provider_of(candidate, bench)
    found = [provider.epoch(e) for e in epochs]
    return [(backend.to_numpy(s.images), np.asarray(s.labels)) for s in found]


def test_the_score_is_the_first_maximum_over_the_epochs(bench, tmp_path):
    result = run(SMALL, bench, tmp_path)
    accuracy = [row.split_accuracy for row in result.history]
    assert result.score == max(accuracy)
    assert result.best_epoch == 1 + first_max(accuracy)
    assert read_result(tmp_path) == result
    best, kept = load_arrays(tmp_path / "best.npz"), f"epochs/epoch_{result.best_epoch:03d}.npz"
    for name, array in load_arrays(tmp_path / kept).items():
        np.testing.assert_array_equal(best[name], array)
    assert result.weights == {n: d for n, d in files(tmp_path).items() if n.endswith(".npz")}
    assert len(result.weights) == 1 + SMALL.epochs


def test_the_score_is_measured_on_the_split_that_judges(bench, tmp_path):
    result = run(replace(SMALL, epochs=2), bench, tmp_path)
    images, labels = bench.dataset.splits["val"]
    from experiments.gafi.nn.state import from_arrays

    state = from_arrays(bench.trainer.model, load_arrays(tmp_path / "best.npz"), where=tmp_path)
    assert bench.trainer.evaluate(state, images, labels)[1] == result.score


def test_a_killed_candidate_ends_with_the_same_bytes(bench, counted, tmp_path):
    run(SMALL, bench, tmp_path / "straight")
    counted.epochs.clear()
    calls = iter(range(100))

    def stop_before_the_third_epoch():
        if next(calls) == 2:
            raise Stopped("stopped by the test")

    with pytest.raises(Stopped):
        run(SMALL, bench, tmp_path / "killed", check_stop=stop_before_the_third_epoch)
    assert read_result(tmp_path / "killed") is None
    run(SMALL, bench, tmp_path / "killed")
    assert counted.epochs == [1, 2, 3, 4]  # each once
    assert files(tmp_path / "killed") == files(tmp_path / "straight")


def test_new_pictures_come_after_every_second_epoch_and_never_after_the_last(bench, counted, tmp_path):
    result = run(replace(SMALL, epochs=6), bench, tmp_path)
    assert [row.renewal for row in result.history] == [0, 0, 1, 1, 2, 2]
    assert [made.renewal for made in result.generations] == [0, 1, 2]
    assert len(counted.sources) == 3


def test_the_ledger_tells_what_the_filter_took(bench, tmp_path):
    result = run(replace(SMALL, epochs=1), bench, tmp_path)
    (made,) = result.generations
    quota = SMALL.class_samples
    for drawn, accepted, rounds, fallback in zip(
        made.drawn, made.accepted, made.rounds, made.fallback, strict=True
    ):
        assert drawn >= accepted >= quota - fallback
        assert rounds >= 1 and fallback >= 0


def test_a_factor_of_one_half_keeps_half_of_each_class(bench):
    candidate = replace(SMALL, recycle_every=1, recycle_factor=0.5)
    (first, labels), (second, again) = sets(candidate, bench, [1, 2])
    np.testing.assert_array_equal(labels, again)
    shared = [np.any(np.all(first == image, axis=(1, 2, 3))) for image in second]
    assert np.bincount(labels[np.flatnonzero(shared)]).tolist() == [3, 3, 3]


def test_without_recycling_the_set_stays(bench):
    (first, _), (last, _) = sets(replace(SMALL, recycle_every=0), bench, [1, 4])
    np.testing.assert_array_equal(first, last)


def test_equal_latents_serve_every_standard_deviation_epoch_and_threshold(bench):
    """Without a filter nothing is rejected, so the j-th image of a class comes from the j-th latent."""
    plain = other(SMALL, threshold=None, stddev=0.5)
    (narrow, _), (wide, _) = (sets(other(plain, stddev=s), bench, [1])[0] for s in (0.5, 1.0))
    inside = (np.abs(narrow) < 1) & (np.abs(wide) < 1)  # the stub clips its images there
    middle = np.repeat(-1 + 2 * (np.arange(3) + 0.5) / 3 + 0.01, 6)[:, None, None, None]  # centre + shift
    np.testing.assert_allclose((2 * (narrow - middle))[inside], (wide - middle)[inside], atol=1e-6)


def test_the_pool_of_a_shard_changes_no_result(bench, tmp_path):
    from experiments.gafi.search.candidate import open_pool

    pool = open_pool(bench, SMALL.source)
    for threshold in (0.0, 0.6):
        candidate = other(SMALL, threshold=threshold)
        run(candidate, bench, tmp_path / f"pool{threshold}", pool=pool)
        run(candidate, bench, tmp_path / f"own{threshold}")
        assert files(tmp_path / f"pool{threshold}") == files(tmp_path / f"own{threshold}")


@pytest.mark.parametrize(("split", "unread"), [("val", "test"), ("test", "val")])
def test_only_the_split_that_judges_is_read(bench, tmp_path, split, unread):
    run(replace(SMALL, epochs=1, split=split), bench, tmp_path)
    reads = bench.dataset.splits.reads
    assert reads[split] == 1
    assert reads[unread] == reads["train"] == 0


# --- several generators ---


def test_each_generator_of_a_multigan_makes_its_share(bench):
    candidate = replace(SMALL, step="multigan", sources=(SMALL.source, SECOND), recycle_every=1)
    provider = provider_of(candidate, bench)
    found = provider.epoch(1)
    assert np.bincount(found.labels).tolist() == [6, 6, 6]
    alone = [
        sets(replace(candidate, sources=(s,), class_samples=3), bench, [1])[0][0] for s in candidate.sources
    ]
    images = backend.to_numpy(found.images)
    for label in range(3):
        of_class = images[found.labels == label]
        np.testing.assert_array_equal(of_class[:3], alone[0][3 * label : 3 * label + 3])
        np.testing.assert_array_equal(of_class[3:], alone[1][3 * label : 3 * label + 3])


def test_shared_streams_differ_from_the_second_set_on(bench):
    candidate = replace(
        SMALL, step="multigan", recycle_every=1, sharing="shared",
        sources=tuple(replace(s, threshold=None, stddev=0.2) for s in (SMALL.source, SECOND)),
    )  # fmt: skip
    (first, labels), (second, _) = sets(candidate, bench, [1, 2])

    def latents(images, part):
        shift = (0.01, 0.02 + 0.01)[part]
        middle = -1 + 2 * (1 + 0.5) / 3 + shift  # of the second class, far from the range's ends
        return images[labels == 1][3 * part : 3 * part + 3, 0, 0, 0] - middle

    np.testing.assert_allclose(latents(first, 0), latents(first, 1), atol=1e-6)
    assert not np.allclose(latents(second, 0), latents(second, 1), atol=1e-3)


def test_in_turn_each_set_is_of_one_generator(bench, counted):
    candidate = replace(SMALL, step="multigan", sources=(SMALL.source, SECOND), recycle_every=1, in_turn=True)
    provider = provider_of(candidate, bench)
    for epoch in (1, 2, 3):
        assert np.bincount(provider.epoch(epoch).labels).tolist() == [6, 6, 6]
    assert [source.index for source in counted.sources] == [0, 1, 0]


def test_a_multigan_is_trained_and_tells_each_generators_part(bench, tmp_path):
    candidate = replace(SMALL, step="multigan", sources=(SMALL.source, SECOND), recycle_every=1, epochs=2)
    result = run(candidate, bench, tmp_path)
    assert [(made.renewal, made.source) for made in result.generations] == [(0, 0), (0, 1), (1, 0), (1, 1)]


# --- controls and streams ---


def test_shuffled_labels_are_the_same_labels_on_other_pictures(bench):
    (images, own), (same, shuffled) = (
        sets(replace(SMALL, labels=labels), bench, [1])[0] for labels in ("own", "shuffled")
    )
    np.testing.assert_array_equal(images, same)
    assert np.bincount(shuffled).tolist() == np.bincount(own).tolist()
    assert (shuffled != own).any()
    assert np.array_equal(shuffled, sets(replace(SMALL, labels="shuffled"), bench, [2])[0][1])


def test_real_pictures_in_the_same_loop_are_the_training_of_the_real_classifier(bench, tmp_path):
    candidate = replace(SMALL, step="real", sources=(), classifier="", recycle_every=0, epochs=2)
    train, judge = (bench.dataset.splits[name] for name in ("train", candidate.split))
    result = run(candidate, bench, tmp_path / "loop")
    real = fit(
        bench.trainer, FixedProvider(*train), evals={candidate.split: judge}, epochs=2, seed=candidate.seed,
        work=tmp_path / "real",
    )  # fmt: skip
    names = ("loss", "accuracy", f"{candidate.split}_loss", f"{candidate.split}_accuracy")
    assert [(r.loss, r.accuracy, r.split_loss, r.split_accuracy) for r in result.history] == [
        tuple(row[name] for name in names) for row in real.history
    ]
    assert result.generations == ()


def test_a_candidate_of_its_own_stream_shares_the_first_set_alone(bench):
    first = StreamKey(42, 0, 0)
    assert own_stream(first, "stddev") == own_stream(first, "") == first
    later = first.at(1)
    assert own_stream(later, "") == later
    assert len({own_stream(later, step) for step in ("", "ckpt", "stddev")}) == 3
    (a1, _), (a2, _) = sets(replace(SMALL, stream="ckpt", recycle_every=1), bench, [1, 2])
    (b1, _), (b2, _) = sets(replace(SMALL, stream="stddev", recycle_every=1), bench, [1, 2])
    np.testing.assert_array_equal(a1, b1)
    assert not np.array_equal(a2, b2)


# --- runs that are there already ---


def test_an_equal_run_is_copied_with_its_weights(bench, counted, tmp_path):
    made = run(replace(SMALL, epochs=2), bench, tmp_path / "ckpt")
    counted.epochs.clear()
    again = replace(made.candidate, step="stddev")
    result = reuse(again, made, source=tmp_path / "ckpt", folder=tmp_path / "stddev")
    assert counted.epochs == []
    assert (result.reused_from, result.score, result.history) == ("ckpt", made.score, made.history)
    assert read_result(tmp_path / "stddev") == result
    weights = [files(tmp_path / step) for step in ("ckpt", "stddev")]
    assert {n: weights[1][n] for n in made.weights} == {n: weights[0][n] for n in made.weights}
    third = replace(made.candidate, step="threshold")
    assert reuse(third, result, source=tmp_path / "stddev", folder=tmp_path / "t").reused_from == "ckpt"


@pytest.mark.parametrize("damage", ["gone", "changed"])
def test_weights_that_are_not_the_recorded_ones_are_not_copied(bench, tmp_path, damage):
    made = run(replace(SMALL, epochs=1), bench, tmp_path / "a")
    path = tmp_path / "a" / "best.npz"
    path.unlink() if damage == "gone" else path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(BadInput, match=r"best\.npz"):
        reuse(replace(made.candidate, step="stddev"), made, source=tmp_path / "a", folder=tmp_path / "b")
    assert read_result(tmp_path / "b") is None


def test_another_run_is_never_taken_for_this_one(bench, tmp_path):
    made = run(replace(SMALL, epochs=1), bench, tmp_path / "a")
    with pytest.raises(ValueError, match="is not the run"):
        reuse(replace(made.candidate, seed=43), made, source=tmp_path / "a", folder=tmp_path / "b")


def test_the_result_is_plain_json(bench, tmp_path):
    run(replace(SMALL, epochs=1), bench, tmp_path)
    tree = json.loads((tmp_path / "result.json").read_text())
    assert tree["key"] == replace(SMALL, epochs=1).key
    assert [row["epoch"] for row in tree["history"]] == [1]
