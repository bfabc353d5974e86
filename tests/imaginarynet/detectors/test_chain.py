"""The stages of the detectors in processes of their own, as users start them: kills, SIGTERM, shards."""

import json
import random
import signal
import time
from dataclasses import replace

import pytest

from tests.imaginarynet.chain import Chain
from tests.imaginarynet.detectors.painted import CLASSES, sets
from tests.imaginarynet.fakes import are_here

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not are_here(), reason="needs the environments of detectron2 and jax"),
]
ARMS = ("setting=[wsod, ssod]", "detector=[auto, w2n]")
SHORT = (
    "oicr={iterations: 8, checkpoint_every: 2, log_every: 2, scales: [64], test_scales: [64]}",
    "unbiased_teacher={steps: 6, burn_in: 3, save_every: 2, measure_every: 2}",
)
TRAINED = ("train-wsod-oicr", "train-wsod-w2n", "train-ssod-unbiased-teacher")
MEASURED = [name.replace("train-", "evaluate-") for name in TRAINED]


@pytest.fixture(scope="module")
def overrides(tmp_path_factory):
    return (*sets(tmp_path_factory.mktemp("sets")), *ARMS, *SHORT)


@pytest.fixture(scope="module")
def finished(overrides, tmp_path_factory):
    """A run without a disturbance."""
    chain = Chain(tmp_path_factory.mktemp("run"), overrides)
    chain.must(*chain.stages)
    return chain


def beside(chain, folder, name):
    """The same run in another folder, with what a stage reads."""
    for other in chain.stages[name].inputs:
        (folder / other).symlink_to(chain.folder / other)
    return replace(chain, folder=folder)


def test_every_arm_is_trained_measured_and_reported(finished):
    assert set(finished.stages) == {"proposals", *TRAINED, *MEASURED, "report"}
    for name in TRAINED:
        header = json.loads((finished.folder / name / "detector.json").read_text())
        assert header["class_names"] == list(CLASSES)
        lines = (finished.folder / name / "metrics.csv").read_text().splitlines()
        assert lines[0].startswith("step,") and len(lines) > 1
    for name in MEASURED:
        tree = json.loads((finished.folder / name / "results.json").read_text())
        assert 0 <= tree["test"]["voc07_ap"]["mean"] <= 1 and 0 <= tree["train"]["corloc"]["mean"] <= 1
    page = (finished.folder / "report/index.html").read_text()
    assert all(name.removeprefix("evaluate-") in page for name in MEASURED)


def test_the_same_seed_gives_the_same_detector_whatever_the_workers(finished, tmp_path):
    again = beside(finished, tmp_path, "train-wsod-oicr")
    again = replace(again, overrides=(*again.overrides, "oicr.workers=0"))
    again.must("train-wsod-oicr")
    ours, theirs = again.outputs("train-wsod-oicr"), finished.outputs("train-wsod-oicr")
    for name in ("model.safetensors", "metrics.csv", "summary.json"):  # the other files name the workers
        assert ours[f"train-wsod-oicr/{name}"] == theirs[f"train-wsod-oicr/{name}"]


def checkpoints(chain, name):
    """What an unfinished training has kept, with the time of its last change."""
    found = (path for path in (chain.folder / f"{name}.part").rglob("*") if path.is_file())
    return {(path.name, path.stat().st_mtime_ns) for path in found if path.name.startswith("state")}


def wait_for_checkpoint(chain, name, process, before):
    while process.poll() is None and not checkpoints(chain, name) - before:
        time.sleep(0.02)


@pytest.mark.kill
@pytest.mark.parametrize(
    ("name", "kills"), [("train-wsod-oicr", 2), ("train-ssod-unbiased-teacher", 1), ("train-wsod-w2n", 1)]
)
def test_killed_behind_a_checkpoint_it_ends_as_the_undisturbed_one(finished, tmp_path, name, kills):
    chain, dice = beside(finished, tmp_path, name), random.Random(name)
    for _ in range(kills):
        before, process = checkpoints(chain, name), chain.start(name)
        wait_for_checkpoint(chain, name, process, before)
        time.sleep(dice.uniform(0, 0.2))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    chain.must(name)
    assert chain.outputs(name) == finished.outputs(name)


def test_sigterm_ends_a_training_and_the_same_command_goes_on(finished, tmp_path):
    name = "train-wsod-oicr"
    chain = beside(finished, tmp_path, name)
    process = chain.start(name)
    wait_for_checkpoint(chain, name, process, set())
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate()
    assert process.returncode == 75, told
    assert "Traceback" not in told and "the same command goes on from here" in told
    chain.must(name)
    assert chain.outputs(name) == finished.outputs(name)


def test_proposals_depend_on_no_shard(finished, tmp_path):
    def boxes(chain):
        from experiments.imaginarynet.detectors.proposals.book import ProposalBook

        book = ProposalBook.open(chain.folder / "proposals")
        return {digest: (book[digest].boxes.tobytes(), book[digest].scores.tobytes()) for digest in book}

    other = replace(finished, folder=tmp_path, overrides=(*finished.overrides, "proposals.shards=3"))
    other.must("proposals")
    assert boxes(other) == boxes(finished)
