"""Commands by hand: errors are one line, and no folder of the user is written over."""

import json

import pytest

from suite.by_hand import Parser, bring_up, key_at, move_aside
from suite.errors import BadInput
from suite.runs import Run, own_overrides, stages_of, systems
from suite.stage import Job
from tests.suite.toy import STAGES, Toy


def job(out, *, numbers=3):
    stage, config = STAGES["numbers"], Toy(numbers, 2)
    return Job(stage=stage, config=config, seed=0, device="cpu", inputs={}, out=out)


def lines(out, *, force=False, goes_on=False, **settings):
    return list(bring_up(job(out, **settings), force=force, fix="add --force", goes_on=goes_on))


def count(out):
    return len(json.loads((out / "sub/numbers.json").read_text()))


def test_the_same_command_again_is_up_to_date(tmp_path):
    assert lines(tmp_path / "made") == ["numbers: done"]
    assert lines(tmp_path / "made") == ["numbers: up to date"]


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "made").mkdir()
    assert lines(tmp_path / "made") == ["numbers: done"]


def test_other_settings_are_refused_until_the_old_result_is_moved_aside(tmp_path):
    out = tmp_path / "made"
    lines(out)
    with pytest.raises(BadInput, match="holds a result of other settings; add --force"):
        lines(out, numbers=5)
    assert count(out) == 3
    assert lines(out, numbers=5, force=True) == [f"{out} is now {out}_old1", "numbers: done"]
    assert (count(out), count(tmp_path / "made_old1")) == (5, 3)


def test_a_folder_of_the_user_is_refused_and_kept(tmp_path):
    out = tmp_path / "made"
    out.mkdir()
    (out / "mine").touch()
    assert key_at(out) == "unknown"
    with pytest.raises(BadInput, match="holds something else"):
        lines(out)
    assert (out / "mine").exists()


def test_an_unfinished_result_of_other_settings_is_refused(tmp_path):
    (tmp_path / "made.part").mkdir()
    (tmp_path / "made.part/key.json").write_text('{"key": "other"}')
    with pytest.raises(BadInput, match="other settings"):
        lines(tmp_path / "made")
    assert (tmp_path / "made.part").exists()


def test_what_goes_on_from_a_finished_result_may_replace_it(tmp_path):
    lines(tmp_path / "made")
    assert lines(tmp_path / "made", numbers=5, goes_on=True) == ["numbers: done"]


def test_moving_aside_takes_the_first_free_name(tmp_path):
    for number in (1, 2):
        (tmp_path / "a").mkdir()
        assert move_aside(tmp_path / "a").name == f"a_old{number}"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--numbr", "3"], "unknown flag --numbr; did you mean --number?"),
        (["--number=x"], "toy: argument --number: invalid int value: 'x'; toy -h lists the flags"),
        (["stray"], "unknown flag stray; toy -h lists the flags"),
    ],
)
def test_wrong_words_are_one_line(words, told):
    parser = Parser(prog="toy", allow_abbrev=False)
    parser.add_argument("--number", type=int)
    with pytest.raises(BadInput) as caught:
        parser.parse(words)
    assert str(caught.value) == told


# --- which stages, whose variables ---


def test_a_system_that_picks_its_stages_is_asked():
    run = Run(system="sample-synthesis", scale="tiny", seed=0, overrides=("objects=[car]",))
    assert all(name.startswith("car-") or name == "report" for name in run.stages)
    assert list(run.stages) == list(stages_of("sample_synthesis", run.config))


def test_all_other_systems_have_one_table_of_stages():
    for system in ("solid", "gafi", "dense-detector"):
        run = Run(system=system, scale="tiny", seed=0)
        assert stages_of(run.package, run.config) is run.stages


def test_no_system_reads_a_variable_that_is_not_set(monkeypatch):
    monkeypatch.delenv("OBJECT", raising=False)
    assert [own_overrides(system) for system in systems()] == [()] * len(systems())
