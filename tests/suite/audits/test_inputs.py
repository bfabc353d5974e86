"""The audit of inputs: its corpus is whole, and its judge misses nothing that it is there to see."""

import json
from collections import Counter
from dataclasses import replace

import pytest

from suite.audits import inputs
from suite.audits.inputs import generators
from suite.audits.inputs.cases import InputCase, load_part, part_names
from suite.audits.inputs.damage import EDITS, apply
from suite.audits.inputs.judge import judge, snapshot
from suite.audits.inputs.worker import examine
from suite.errors import BadInput
from suite.provenance import ROOT

LEAST_CASES = 150
PARTS = [load_part(name) for name in part_names()]
SAID = "error: {here}/set.json: holds no images; check which file this is\n"


def test_the_corpus_has_as_many_cases_as_promised_of_every_system():
    assert sum(len(part.cases) for part in PARTS) >= LEAST_CASES
    systems = {path.parent.name for path in ROOT.glob("experiments/*/stages.smk")}
    assert {part.module.removeprefix("experiments.") for part in PARTS} == systems | {"suite"}


def test_paper_names_the_parts_of_one_system(monkeypatch):
    monkeypatch.setenv("PAPER", "solid")
    assert inputs.default_parts() == ["solid", "solid-learning"]
    monkeypatch.setenv("PAPER", "")
    assert inputs.default_parts() == part_names()
    monkeypatch.setenv("PAPER", "sollid")
    with pytest.raises(BadInput, match="did you mean solid"):
        inputs.default_parts()


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_every_case_is_asked_once_and_for_something(part):
    assert max(Counter(case.name for case in part.cases).values()) == 1
    for case in part.cases:
        assert {edit["do"] for edit in case.damage} <= EDITS.keys()
        assert case.told or case.file, f"{case.name}: any line would do"
        assert case.code in (0, 2, 3)
    made = {row.get("make") for row in part.fixtures} - {None}
    assert all(hasattr(generators, name) for name in made)


@pytest.fixture
def here(tmp_path):
    (tmp_path / "set.json").write_text("{}")
    return tmp_path


CASE = InputCase(group="toy", name="no images", words=(), told="holds no images", file="{here}/set.json")


def verdict(here, case=CASE, *, code=2, out="", err=SAID, after=lambda here: None):
    """The judge's verdict on a command that did `after` to the folder."""
    before = snapshot(here)
    after(here)
    err = err.replace("{here}", str(here))
    return judge(case, code=code, out=out, err=err, before=before, here=here, seconds=0.0)


def test_one_line_and_the_right_exit_code_pass(here):
    assert verdict(here).passed
    assert verdict(here, err="warning: another thing\n# settings\n" + SAID).passed


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({"code": 1}, "exit code 1, not 2"),
        ({"code": 0}, "exit code 0, not 2"),
        ({"err": ""}, "0 error lines"),
        ({"err": SAID + SAID}, "2 error lines"),
        ({"err": SAID + "usage: another line\n"}, "more after it"),
        ({"err": "usage: a\na: error: wrong\n"}, "0 error lines"),
        ({"err": "Traceback (most recent call last):\n" + SAID}, "a traceback"),
        ({"out": "Traceback (most recent call last):\n"}, "a traceback"),
        ({"err": "KeyError: 'images'\n" + SAID}, 'another line about an error: "KeyError'),
        ({"out": "ERROR could not read\n"}, "another line about an error"),
        ({"err": "usage: toy [-h]\n" + SAID}, "another line about an error: 'usage"),
        ({"err": "error: {here}/set.json: is empty; check it\n"}, "does not say 'holds no images'"),
        ({"err": "error: other.json: holds no images; check it\n"}, "does not name"),
        ({"err": "error: {here}/set.json: holds no images\n"}, "does not say what to do"),
        ({"after": lambda here: (here / "set.json").unlink()}, "changed or lost: set.json"),
        ({"after": lambda here: (here / "set.json").write_text("")}, "changed or lost: set.json"),
        ({"after": lambda here: (here / "out").mkdir()}, "left behind: out"),
    ],
)
def test_each_fault_of_a_command_fails_the_case(here, facts, told):
    found = verdict(here, **facts)
    assert not found.passed and told in found.detail


@pytest.mark.parametrize(
    ("mode", "told"),
    [
        ("sound", ""),
        ("two lines", "2 error lines"),
        ("traceback", "a traceback"),
        ("leaves a file", "left behind: out.txt"),
        ("leaves a temporary file", "left behind: tmp/"),
        ("deletes the input", "changed or lost: set.json"),
        ("names nothing", "does not name"),
        ("exits 1", "exit code 1, not 2"),
        ("killed", "exit code 137, not 2"),
    ],
)
def test_a_real_command_with_a_fault_fails_the_audit(tmp_path, capfd, mode, told):
    part = PARTS[0]
    generators.text(tmp_path / "base/set.json", content="{}")
    case = replace(CASE, words=("{here}/set.json", mode), needs=("set.json",))
    examine(replace(part, module="tests.suite.audits.stub"), case, tmp_path / "base", tmp_path / "case")
    verdict = json.loads(capfd.readouterr().out)
    assert verdict["passed"] == (mode == "sound"), verdict
    assert told in verdict["detail"]


def test_work_that_the_same_command_goes_on_with_may_stay(here):
    def after(folder):
        (folder / "out.part/deep").mkdir(parents=True)
        (folder / ".out.part.lock").touch()
        (folder / "mine").mkdir()

    assert "left behind: mine" in verdict(here, after=after).detail
    assert verdict(here, replace(CASE, leaves=("mine", "other"))).passed


def test_items_left_out_and_counted_are_told_in_the_output(here):
    case = replace(CASE, code=0, told="left out: 1", file=None)
    assert verdict(here, case, code=0, out="left out: 1 x box\n", err="").passed
    assert "does not say 'left out: 1'" in verdict(here, case, code=0, out="", err="").detail


def test_an_edit_that_finds_nothing_to_damage_is_an_error(here):
    with pytest.raises(ValueError, match="does not hold 'images'"):
        apply(here, {"do": "replace", "path": "set.json", "old": "images", "new": ""})


def test_a_pickle_of_the_corpus_would_leave_a_trace_if_it_were_loaded(here):
    apply(here, {"do": "pickle", "path": "set.json"})
    assert b"was-run" in (here / "set.json").read_bytes()


def test_the_command_examines_and_leaves_its_result(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RUNS_DIR", str(tmp_path))
    monkeypatch.setattr(
        inputs, "sys", type("sys", (), {"executable": str(ROOT / ".tox/workflow/bin/python")})
    )
    assert inputs.main(["suite", "--case", "plan: unknown s"]) == 0
    tree = json.loads((tmp_path / "audits/inputs/result.json").read_text())
    assert tree["passed"] and tree["counts"] == {"cases": 4, "failed": 0}
    assert {case["outcome"] for case in tree["cases"]} == {"exit 2"}
    assert "audit-inputs: 4 cases, passed" in capsys.readouterr().out
    assert not [path for path in (tmp_path / "audits/inputs").iterdir() if path.name.startswith(".")]
