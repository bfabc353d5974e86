"""A damaged run, or one of another version, takes no other from the page, and shows nothing itself."""

import json

import pytest

from suite.errors import Missing
from suite.manifest import describe_outputs, read_json, write_json
from suite.overall.page import write_report
from tests.suite.overall.fakes import audit, manifest, run


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """A sound run beside one that the tests damage, its outputs in its manifest as stages leave them."""
    monkeypatch.setenv("RUNS_DIR", str(tmp_path))
    run(tmp_path, "gafi", ["t,r,m,64.125,s"])
    report = run(tmp_path, "solid", ["t,r,m,7.0625,s"])
    outputs = describe_outputs(report, (), base=report, final=report)
    write_json(report / "manifest.json", manifest("report", ["train"], outputs=outputs))
    return tmp_path


def text_of(runs):
    assert write_report() == 0
    return (runs / "report/index.html").read_text(encoding="utf-8")


def without(key):
    return lambda path: write_json(path, {k: v for k, v in read_json(path).items() if k != key})


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("report/manifest.json", lambda path: path.write_bytes(path.read_bytes()[:90])),
        ("report/manifest.json", lambda path: path.unlink()),
        ("report/manifest.json", without("inputs")),
        ("train/manifest.json", without("cpu_seconds")),
        ("report/summary.json", lambda path: path.write_text("[1]")),
        ("report/summary.json", lambda path: path.unlink()),
        ("report/results.csv", lambda path: path.write_bytes(bytes(range(256)))),
        ("report/results.csv", lambda path: path.write_text("table,row,metric,value,unit\nt,r,m,9.5,s\n")),
        ("report/figures/loss.svg", lambda path: path.write_bytes(b"\xff<svg>")),
        ("report/figures/figures.json", lambda path: path.write_text('{"a": 1}')),
    ],
)
def test_a_damaged_run_is_left_out_and_named_and_the_others_are_shown(runs, capsys, name, damage):
    assert "7.062" in text_of(runs)
    file = runs / "solid/smoke/seed0" / name
    damage(file)
    text = text_of(runs)
    assert "64.12" in text and "7.062" not in text and "9.5 (1 seed)" not in text
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
    assert str(file) in line and "make reproduce-solid SCALE=smoke SEED=0" in line
    assert line.removeprefix("warning: ") in text


def test_where_every_run_is_damaged_there_is_no_page(runs):
    for system in ("gafi", "solid"):
        (runs / system / "smoke/seed0/report/manifest.json").write_text("{")
    with pytest.raises(Missing):
        write_report()


def test_a_report_whose_stages_were_made_anew_says_so(runs):
    assert "made from another" not in text_of(runs)
    write_json(runs / "solid/smoke/seed0/train/manifest.json", {**manifest("train"), "key": "another"})
    assert "report was made from another train than the one there now" in text_of(runs)


def test_an_audit_of_another_version_is_left_out_and_named(runs, capsys):
    audit(runs)
    assert "inputs: passed" in text_of(runs)
    file = runs / "audits/inputs/result.json"
    file.write_text(json.dumps(without_skipped(file)))
    text = text_of(runs)
    assert "inputs: passed" not in text
    assert f"{file}: is damaged, or not of this version; make audit-inputs" in capsys.readouterr().err


def without_skipped(path):
    return {key: value for key, value in read_json(path).items() if key != "skipped"}
