"""The stages of the search on two GANs and a handful of pictures: shards, kills, what is read."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from experiments.gafi.search.controls import candidate_of
from experiments.gafi.search.ledger import read_ledger
from experiments.gafi.search.plan import FOLDERS, STEPS, arm_shards
from experiments.gafi.search.selection import best_result
from suite.errors import BadInput
from suite.manifest import file_digest
from tests.gafi.search.samples import CANDIDATE
from tests.gafi.search.tiny import ROOT, TinyRun


@pytest.mark.parametrize(
    ("arm", "changed"),
    [("unfiltered", {"sources"}), ("fixed", {"recycle_every"}), ("shuffled", {"labels"})],
)
def test_an_arm_changes_one_thing_of_the_best_candidate(arm, changed):
    found = candidate_of(arm, CANDIDATE)
    differs = {name for name, value in vars(CANDIDATE).items() if vars(found)[name] != value}
    assert differs == {*changed, "step"}


def test_the_arm_of_real_pictures_keeps_loop_size_and_split():
    found = candidate_of("real", CANDIDATE)
    assert (found.sources, found.classifier) == ((), "")
    for name in ("class_samples", "epochs", "seed", "split", "settings"):
        assert getattr(found, name) == getattr(CANDIDATE, name)


def test_an_unknown_arm_is_an_error():
    with pytest.raises(ValueError, match="no control"):
        candidate_of("other", CANDIDATE)


@pytest.fixture
def run(searched) -> TinyRun:
    """The finished run."""
    return searched[0]


def ledger(run: TinyRun, step: str, gan: int):
    """Rows of all shards of a step of one GAN, in order."""
    folders = sorted(run.folder.glob(f"{step}/[0-9]*/{FOLDERS[step]}"))
    rows = [row for folder in folders for row in read_ledger(folder)]
    return [row for row in rows if row.candidate.source.index == gan]


@pytest.mark.slow
def test_under_validation_no_stage_of_the_search_reads_a_test_picture(searched):
    _, reads = searched
    assert sum(of_stage["val"] for name, of_stage in reads.items() if name != "before") > 0
    assert not any(of_stage["test"] for of_stage in reads.values())


@pytest.mark.slow
def test_each_step_goes_on_with_the_best_row_of_its_own_gan(run):
    for gan in range(2):
        best = best_result(ledger(run, "ckpt", gan)).candidate.source
        for step, field in (("stddev", "stddev"), ("threshold", "threshold")):
            rows = ledger(run, step, gan)
            assert len(rows) == 2
            for row in rows:
                changed = {n for n, v in vars(best).items() if vars(row.candidate.source)[n] != v}
                assert changed <= {field}
            best = best_result(rows).candidate.source
        (row,) = ledger(run, "best", gan)
        assert row.candidate.source == best


@pytest.mark.slow
def test_the_shard_of_best_holds_the_published_tables_of_its_gan(run):
    for gan in range(2):
        for step in STEPS:
            folder = run.folder / "best" / f"{gan:05d}" / FOLDERS[step]
            assert read_ledger(folder) == ledger(run, step, gan)
            assert (folder / "results.csv").is_file() and (folder / "histories.csv").is_file()


@pytest.mark.slow
def test_the_multigan_takes_each_generator_at_its_own_best(run):
    (row,) = read_ledger(run.folder / "run-multigan")
    best = [ledger(run, "best", gan)[0].candidate.source for gan in range(2)]
    assert list(row.candidate.sources) == best
    tree = json.loads((run.folder / "run-multigan" / "run_config.json").read_text())
    assert [(g["epoch"], g["stddev"], g["threshold"]) for g in tree["gans"]] == [
        (s.epoch, s.stddev, s.threshold) for s in best
    ]
    assert [g["seed"] for g in tree["gans"]] == list(run.config.COMPUTE.gan_seeds)


@pytest.mark.slow
def test_every_control_is_the_best_triple_of_the_first_gan(run):
    best = ledger(run, "best", 0)[0].candidate
    for shard, arms in enumerate(arm_shards(run.config.SEARCH.candidates_per_shard)):
        folder = run.folder / "controls" / f"{shard:05d}"
        assert [row.candidate for row in read_ledger(folder)] == [candidate_of(arm, best) for arm in arms]
        assert all((folder / arm / "best.npz").is_file() for arm in arms)


@pytest.mark.slow
def test_by_hand_step_after_step_and_all_at_once_give_the_stages_scores(run, tmp_path):
    from experiments.gafi.data.dataset import read_dataset
    from experiments.gafi.search.stages import run_pipeline

    config, gan = run.config, run.folder / "train-gan" / "00000"
    dataset = read_dataset(run.folder / "import", config.pipeline.DATA, merged=False, as_uint8=True)

    def by_hand(folder, steps, config=config):
        return run_pipeline(
            folder, steps, config=config, dataset=dataset, gan=gan, gan_name="G",
            classifier=run.folder / "train-classifier", seed=config.pipeline.RUN.seed,
        )  # fmt: skip

    found = by_hand(tmp_path / "all", "all")
    for step in STEPS:
        by_hand(tmp_path / "one", step)
        assert [(r.key, r.score) for r in found[step]] == [(r.key, r.score) for r in ledger(run, step, 0)]
    assert files(tmp_path / "one") == files(tmp_path / "all")
    before = files(tmp_path / "all")
    rate = replace(config.pipeline.OPTIMIZATION, lr=0.2)
    other = replace(config, pipeline=replace(config.pipeline, OPTIMIZATION=rate))
    with pytest.raises(BadInput, match=r"OPTIMIZATION\.lr was 0\.1, is 0\.2"):
        by_hand(tmp_path / "all", "all", other)
    assert files(tmp_path / "all") == before


def files(folder):
    return {str(p.relative_to(folder)): file_digest(p) for p in folder.rglob("*") if p.is_file()}


@pytest.mark.kill
@pytest.mark.slow
def test_a_shard_killed_inside_a_candidate_ends_with_the_same_bytes(run, tmp_path):
    shards = {}
    for name in ("quiet", "killed"):
        other = TinyRun(run.data, tmp_path / name, run.extra)
        other.folder.mkdir()
        for stage in ("import", "train-classifier", "train-gan"):
            (other.folder / stage).symlink_to(run.folder / stage)
        command = [sys.executable, "-m", "experiments.gafi", *other.words("ckpt"), "--shard", "0"]
        if name == "killed":
            kill_inside_a_candidate(command, other.folder / "ckpt.part")
        done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        shards[name] = files(other.folder / "ckpt.part" / "00000" / FOLDERS["ckpt"])
    assert shards["killed"] == shards["quiet"]


ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def kill_inside_a_candidate(command, part):
    """SIGKILL as soon as the state of the first epoch is on the disk."""
    process = subprocess.Popen(
        command, cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 300
    while process.poll() is None and time.monotonic() < deadline:
        if list(part.glob("00000.part/.work/*/fit_state.npz")):
            break
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert list(part.glob("00000.part/.work/*/fit_state.npz")), "it ended before it could be killed"
