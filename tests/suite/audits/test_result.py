"""The cases of a killed audit: kept for the same question, asked of the same program."""

import pytest

from suite.audits import result
from suite.audits.result import Case, CaseLog

CASE = Case(group="solid", name="a", passed=True, outcome="bitwise")


@pytest.fixture
def commit(monkeypatch):
    def at(name):
        monkeypatch.setattr(result, "git_state", lambda: {"commit": name, "dirty": False})

    at("one")
    return at


def test_a_killed_audit_finds_its_whole_cases_again(tmp_path, commit):
    CaseLog(tmp_path, {"scale": "tiny"}).add(CASE)
    with (tmp_path / result.CASES).open("a") as stream:
        stream.write('{"group": "solid", "na')
    assert CaseLog(tmp_path, {"scale": "tiny"}).done == {("solid", "a"): CASE}


def test_verdicts_on_another_commit_or_of_other_settings_are_not_taken_over(tmp_path, commit):
    CaseLog(tmp_path, {"scale": "tiny"}).add(CASE)
    assert CaseLog(tmp_path, {"scale": "smoke"}).done == {}
    CaseLog(tmp_path, {"scale": "tiny"}).add(CASE)
    commit("two")
    assert CaseLog(tmp_path, {"scale": "tiny"}).done == {}


def test_what_another_commit_made_is_made_anew_and_what_other_settings_made_is_kept(tmp_path, commit):
    def runs_after(settings):
        CaseLog(tmp_path, settings, made=["runs"])
        return (tmp_path / "runs").exists()

    CaseLog(tmp_path, {"kills": 24})
    (tmp_path / "runs").mkdir()
    assert runs_after({"kills": 24}) and runs_after({"kills": 48})
    commit("two")
    assert not runs_after({"kills": 48})
