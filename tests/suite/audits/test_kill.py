"""The audit of kills: what it draws, whom its kills reach, and what it remembers of a killed stage."""

import subprocess
import sys
import time
from collections import Counter

import psutil
import pytest

from suite.audits import AUDITS
from suite.audits.kill import build_parser, chosen, draw
from suite.audits.killing import (
    WAYS,
    family,
    keep_evidence,
    kill_all,
    notes_reading,
    strike,
    weigh_evidence,
    workers,
)
from suite.errors import BadInput
from suite.provenance import ROOT
from suite.runs import Run, papers

RUNS = [Run(system=name, scale="tiny", seed=0) for name in papers()]
# Starts another process in a session of its own, as the suite starts Snakemake and its launchers, and ends in
# 1 where that one does not end in 0.
FAMILY = """
import subprocess, sys
words = [sys.executable, "-m", "experiments.pretended", "stage"]
sys.exit(subprocess.Popen(words, start_new_session=True, preexec_fn=PREEXEC).wait() != 0)
"""
WITH_PARENT = "lambda: __import__('ctypes').CDLL(None).prctl(1, 9)"


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Starts the family, waits until its worker is there; what is left of it is killed at the end."""
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments/__init__.py").touch()  # or the checkout's would be found, by PYTHONPATH
    (tmp_path / "experiments/pretended.py").write_text("import time; time.sleep(600)")
    (tmp_path / "stage.part").mkdir()
    begun = []

    def begin(preexec="None"):
        process = subprocess.Popen([sys.executable, "-c", FAMILY.replace("PREEXEC", preexec)], cwd=tmp_path)
        begun.append(process)
        while not workers(family(process), "pretended", "stage"):
            assert process.poll() is None
            time.sleep(0.02)
        begun.extend(family(process)[1:])
        return process

    yield begin
    kill_all([psutil.Process(one.pid) for one in begun if psutil.pid_exists(one.pid)])


def is_gone(member):
    return not member.is_running() or member.status() == psutil.STATUS_ZOMBIE


def stages(run):
    return [stage.name for stage in run.stages.values() if not stage.optional]


def test_every_system_is_killed_and_the_same_seed_draws_the_same_kills():
    plans = draw(RUNS, 24, 0)
    assert sum(len(plan.moments) for plan in plans) == 24
    assert all(len(plan.moments) >= 4 for plan in plans)
    assert draw(RUNS, 24, 0) == plans != draw(RUNS, 24, 1)


def test_kills_are_in_different_stages_in_their_order_before_their_end_and_in_every_way():
    for plan in draw(RUNS, 24, 3):
        names = [moment.stage for moment in plan.moments]
        assert names == [name for name in stages(plan.run) if name in names]
        assert all(0 <= moment.share < 1 for moment in plan.moments)
        assert {moment.way for moment in plan.moments} == set(WAYS)


def test_all_means_one_in_every_stage():
    for plan in draw(RUNS, None, 0):
        assert [moment.stage for moment in plan.moments] == stages(plan.run)


def test_more_kills_than_stages_come_back_to_the_same_stage():
    (plan,) = draw(RUNS[:1], 2 * len(stages(RUNS[0])), 0)
    assert set(Counter(moment.stage for moment in plan.moments).values()) == {2}


def test_a_power_cut_reaches_children_in_sessions_of_their_own(start, tmp_path):
    process = start()
    worker = family(process)[1]
    hit = strike(process, "power", "pretended", tmp_path / "stage", 0)
    assert (hit.workers, hit.processes, hit.fault) == (1, 2, "")
    assert process.returncode == -9
    assert is_gone(worker)
    assert family(process) == []


def test_a_kill_of_the_stage_leaves_its_command_to_tell(start, tmp_path):
    process = start()
    hit = strike(process, "stage", "pretended", tmp_path / "stage", 0)
    assert (hit.workers, hit.fault, process.returncode) == (1, "", 1)


@pytest.mark.parametrize("how", ["fork", "spawn"])
def test_what_a_killed_stage_started_has_to_end_by_itself(start, tmp_path, monkeypatch, how):
    monkeypatch.setattr("suite.audits.killing.GONE_SECONDS", 0.5)
    child = {"fork": "os.fork()", "spawn": "subprocess.Popen(['sleep', '600'])"}[how]
    program = f"import os, subprocess, time; {child}; time.sleep(600)"
    (tmp_path / "experiments/pretended.py").write_text(program)
    process = start()
    while len(family(process)) < 3:
        time.sleep(0.02)
    last = family(process)[-1]
    hit = strike(process, "stage", "pretended", tmp_path / "stage", 0)
    assert hit.fault == "1 processes ran on 0.5 s after their stage was killed"
    assert process.returncode == 1
    assert is_gone(last)


def test_a_kill_of_the_command_waits_until_the_others_have_ended(start, tmp_path):
    process = start(WITH_PARENT)
    worker = family(process)[1]
    hit = strike(process, "command", "pretended", tmp_path / "stage", 0)
    assert (hit.workers, hit.fault) == (1, "")
    assert is_gone(worker)


def test_who_runs_on_after_its_command_is_a_fault(start, tmp_path, monkeypatch):
    monkeypatch.setattr("suite.audits.killing.GONE_SECONDS", 0.5)
    process = start()
    worker = family(process)[1]
    hit = strike(process, "command", "pretended", tmp_path / "stage", 0)
    assert hit.fault == "1 processes ran on 0.5 s after their command was killed"
    assert is_gone(worker)


def test_a_stage_that_ended_before_is_not_hit(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    hit = strike(process, "power", "pretended", tmp_path / "stage", 0)
    assert (hit.workers, process.returncode) == (0, 0)


def leave(part):
    """A work folder with a finished shard, a checkpoint, and a result that will be made again."""
    shards = ("00000/manifest.json", "00000/data", "00001/.work/state", "00001/result")
    for name in ("key.json", *shards, "idle"):
        (part / name).parent.mkdir(parents=True, exist_ok=True)
        (part / name).write_text(name)


def test_what_a_stage_goes_on_from_is_what_it_kept_or_read(tmp_path):
    if not notes_reading(tmp_path):
        pytest.skip("no times of reading on this file system")
    part = tmp_path / "stage.part"
    leave(part)
    assert keep_evidence(tmp_path, "stage", tmp_path / "kept") == {"shards": 1, "files": 3, "bytes": 33}
    time.sleep(0.02)
    (part / "00001/.work/state").read_text()
    (part / "00001/.work/state").unlink()
    (part / "00001/result").write_text("made again")
    part.rename(tmp_path / "stage")
    assert weigh_evidence(tmp_path, "stage", tmp_path / "kept") == (1, 2)  # state and idle


def test_a_stage_that_began_anew_went_on_from_nothing(tmp_path):
    part = tmp_path / "stage.part"
    leave(part)
    keep_evidence(tmp_path, "stage", tmp_path / "kept")
    part.rename(tmp_path / "thrown away")
    leave(part)
    part.rename(tmp_path / "stage")
    assert weigh_evidence(tmp_path, "stage", tmp_path / "kept") == (0, 0)


@pytest.mark.parametrize("audit", AUDITS)
def test_an_audit_needs_no_more_than_the_environment_that_orders_stages(audit):
    python = ROOT / ".tox/workflow/bin/python"
    if not python.exists():
        pytest.skip("no environment of the workflow here: python3 workflow/bootstrap.py workflow")
    words = [str(python), "-c", f"import suite.audits.{audit}"]
    done = subprocess.run(words, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--kills", "many"], "--kills many is not a whole number"),
        (["--systems", "gaffi"], "did you mean gafi"),
        (["--seed", "-1"], "--seed -1 is not a whole number"),
    ],
)
def test_wrong_words_are_one_line(words, told):
    with pytest.raises(BadInput, match=told):
        chosen(build_parser().parse(words))
