"""Steps of the search in their folders: nothing is trained twice, nothing of another config is taken."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.gafi.search.chain import candidates_of, chosen
from experiments.gafi.search.ledger import read_ledger
from experiments.gafi.search.plan import FOLDERS, STEPS
from experiments.gafi.search.stages import check_settings
from experiments.gafi.search.steps import Hooks, run_step
from suite.errors import BadInput, Stopped
from suite.manifest import file_digest


def locate_in(folder: Path):
    return lambda step, at: folder / FOLDERS[step]


def go(chain, step, bench, folder, **more):
    return run_step(
        chain, step, lambda: bench, folder=folder / FOLDERS[step], work=folder / ".work",
        locate=locate_in(folder), **more,
    )  # fmt: skip


def files(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): file_digest(p) for p in folder.rglob("*") if p.is_file()}


def closed():
    raise AssertionError("networks were loaded though nothing was to be trained")


@pytest.fixture
def searched(chain, bench, tmp_path):
    """A whole search of three epochs, two standard deviations and two thresholds."""
    for step in STEPS:
        go(chain, step, bench, tmp_path / "all")
    return tmp_path / "all"


def test_each_step_trains_what_the_first_row_of_the_step_before_leaves_open(chain, searched):
    locate, best = locate_in(searched), None
    for step in STEPS:
        rows = read_ledger(searched / FOLDERS[step])
        assert [row.candidate for row in rows] == list(chain.candidates(step, best).values())
        top = max(row.score for row in rows)
        first = next(row for row in rows if row.score == top)
        assert chosen(chain, step, locate) == first
        best = first.candidate.source


def test_a_winner_is_copied_into_the_next_step_instead_of_trained_again(chain, searched, counted):
    reused = [
        (step, row.candidate.source.stddev, row.candidate.source.threshold, row.reused_from)
        for step in STEPS
        for row in read_ledger(searched / FOLDERS[step])
        if row.reused_from is not None
    ]
    assert ("stddev", 1.0, 0.0, "ckpt") in reused
    assert {(step, threshold) for step, _, threshold, _ in reused} == {("stddev", 0.0), ("threshold", 0.0)}
    runs = 3 + (2 - 1) + (2 - 1)  # ckpt, stddev, threshold without the copies
    assert len(counted.epochs) == runs * chain.search_epochs + chain.best_epochs


def test_without_common_random_numbers_every_row_is_trained(chain, bench, counted, tmp_path):
    chain = replace(chain, common_random_numbers=False)
    for step in ("ckpt", "stddev"):
        rows = go(chain, step, bench, tmp_path)
        assert {row.reused_from for row in rows} == {None}
    assert len(counted.epochs) == (3 + 2) * chain.search_epochs


def test_running_again_trains_nothing_and_changes_no_byte(chain, searched, counted):
    before, epochs = files(searched), len(counted.epochs)
    for step in STEPS:
        run_step(
            chain, step, closed, folder=searched / FOLDERS[step], work=searched / ".work",
            locate=locate_in(searched),
        )  # fmt: skip
    assert len(counted.epochs) == epochs
    assert files(searched) == before


def test_the_tables_have_one_row_for_each_candidate_in_the_published_columns(chain, searched):
    for step in STEPS:
        folder = searched / FOLDERS[step]
        with (folder / "results.csv").open(newline="") as stream:
            results = list(csv.DictReader(stream))
        with (folder / "histories.csv").open(newline="") as stream:
            histories = list(csv.DictReader(stream))
        rows = read_ledger(folder)
        assert [list(row) for row in results] == [["checkpoint_name", "val_accuracy"]] * len(rows)
        assert [row["checkpoint_name"] for row in results] == [row.candidate.name for row in rows]
        assert [float(row["val_accuracy"]) for row in results] == [row.score for row in rows]
        assert [len(row["history"].splitlines()) for row in histories] == [
            1 + len(row.history) for row in rows
        ]


def test_a_stopped_step_goes_on_at_the_next_unfinished_candidate(chain, bench, counted, searched, tmp_path):
    counted.epochs.clear()

    def stop_in_the_second_candidate():
        if len(counted.epochs) == chain.search_epochs + 1:
            raise Stopped("stopped by the test")

    with pytest.raises(Stopped):
        go(chain, "ckpt", bench, tmp_path / "cut", hooks=Hooks(check_stop=stop_in_the_second_candidate))
    assert len(read_ledger(tmp_path / "cut" / FOLDERS["ckpt"])) == 1
    go(chain, "ckpt", bench, tmp_path / "cut")
    assert len(counted.epochs) == 3 * chain.search_epochs  # each epoch of each candidate once
    assert files(tmp_path / "cut" / FOLDERS["ckpt"]) == files(searched / FOLDERS["ckpt"])


def test_a_step_in_shards_gives_the_same_results_as_in_one_folder(chain, bench, searched, tmp_path):
    rows = []
    for at in range(3):
        rows += run_step(
            chain, "ckpt", lambda: bench, folder=tmp_path / str(at), work=tmp_path / ".work",
            locate=locate_in(tmp_path), positions=[at],
        )  # fmt: skip
    assert rows == read_ledger(searched / FOLDERS["ckpt"])


def test_all_thresholds_of_a_shard_share_what_was_scored(chain, bench, searched, counted, tmp_path):
    """In shards of one threshold each the generator is asked again; the results are the same."""
    chain_of_three = replace(chain, threshold_grid=(0.0, 0.4, 0.6))
    counted.sources.clear()
    together = run_step(
        chain_of_three, "threshold", lambda: bench, folder=tmp_path / "t", work=tmp_path / ".work",
        locate=locate_in(searched),
    )  # fmt: skip
    assert len(counted.sources) == 1  # one pool for both thresholds that were left, of all renewals
    counted.sources.clear()
    apart = []
    for at in range(3):
        apart += run_step(
            chain_of_three, "threshold", lambda: bench, folder=tmp_path / str(at), work=tmp_path / ".work",
            locate=locate_in(searched), positions=[at],
        )  # fmt: skip
    assert len(counted.sources) == 2 * 2  # two candidates with two sets each
    assert apart == together


def test_an_epoch_without_a_checkpoint_is_told_skipped_and_recorded(chain, bench, tmp_path):
    chain = replace(chain, checkpoints={e: d for e, d in chain.checkpoints.items() if e != 20})
    said = []
    rows = go(chain, "ckpt", bench, tmp_path, hooks=Hooks(warn=said.append))
    assert [row.candidate.source.epoch for row in rows] == [10, 30]
    assert said[0] == "G_seed1: no checkpoint of epoch 20; passed over"
    text = (tmp_path / FOLDERS["ckpt"] / "skipped.csv").read_text()
    assert text == "epoch,reason\n20,no checkpoint\n"
    assert len(candidates_of(chain, "stddev", locate_in(tmp_path))) == 2


def test_a_ledger_of_another_config_is_refused_and_stays_intact(chain, bench, searched, counted):
    before, epochs = files(searched), len(counted.epochs)
    for change in ({"seed": 43}, {"search_epochs": 9}, {"settings": "e" * 64}):
        with pytest.raises(BadInput, match="ledger of another config"):
            go(replace(chain, **change), "ckpt", bench, searched)
    assert len(counted.epochs) == epochs
    assert files(searched) == before


def test_the_settings_beside_a_ledger_name_the_first_difference(tmp_path):
    path = tmp_path / "settings.json"
    check_settings(path, {"OPTIMIZATION": {"lr": 0.1}, "COMPUTE": {"lr_milestones": (60, 80)}})
    check_settings(path, {"OPTIMIZATION": {"lr": 0.1}, "COMPUTE": {"lr_milestones": [60, 80]}})
    before = path.read_bytes()
    with pytest.raises(BadInput, match=r"another config: OPTIMIZATION\.lr was 0\.1, is 0\.2") as caught:
        check_settings(path, {"OPTIMIZATION": {"lr": 0.2}, "COMPUTE": {"lr_milestones": [60, 80]}})
    assert caught.value.exit_code == 2 and "\n" not in str(caught.value)
    assert path.read_bytes() == before


def test_counts_and_warnings_are_those_of_the_results_whoever_made_them(chain, bench, tmp_path):
    from experiments.gafi.sampling.score import Scorer
    from tests.gafi import fakes

    chain = replace(chain, epochs_grid=(10,), search_epochs=1)
    made = fakes.generator(3, image_shape=(8, 8, 1))
    blind = Scorer(made, fakes.classifier(3, fakes.LabelBlindClassifier), batch_size=16)
    bench = replace(bench, scorer_of=lambda source: blind, cap=2)

    def told():
        counts, warnings = {}, []
        hooks = Hooks(
            warn=warnings.append, count=lambda name, n: counts.update({name: counts.get(name, 0) + n})
        )
        go(chain, "ckpt", bench, tmp_path, hooks=hooks)
        return counts, warnings

    first, again = told(), told()
    assert first == again
    assert first[0] == {"trained": 1}
    name = "ckpt010_DS2_r1_std1.0_filter0.0"  # accepts the first class alone: 2 x 6 pictures are missing
    assert first[1] == [f"{name}: 12 pictures by fallback, their classes were rarely accepted"]


def test_the_ledger_file_is_one_json_object_a_line(searched):
    for line in (searched / FOLDERS["ckpt"] / "ledger.jsonl").read_text().splitlines():
        assert {"key", "candidate", "score", "history"} <= set(json.loads(line))
