"""The audit of kills on the toy system, by its own command: what is sound passes, planted faults do not."""

import json
import re
import shutil

import pytest

COMMAND = ("suite", "audit", "kill", "--place", "venv")
SEED = "591"  # whose kill meets the squares of both systems at 0.42 and 0.46 of their time


def plant(checkout, name: str, old: str, new: str) -> None:
    """A copy of the toy under another name, with a fault in its squares."""
    home = checkout.root / "experiments" / name
    shutil.copytree(checkout.root / "experiments/toy", home)
    for path in home.rglob("*.*"):
        if path.suffix in (".py", ".smk"):
            path.write_text(re.sub(r"\btoy\b", name, path.read_text()))
    text = (home / "work.py").read_text()
    assert old in text
    (home / "work.py").write_text(text.replace(old, new))


@pytest.mark.slow
def test_a_sound_system_passes_and_one_that_ends_in_other_bytes_after_a_kill_does_not(checkout):
    config = checkout.root / "experiments/toy/configs/tiny.yaml"
    config.write_text(config.read_text().replace("shard_size: 3", "shard_size: 12\npause: 1.0"))
    # Most of the time goes by between the squares, so that the kill comes there on a busy machine, too.
    # The fault: what a killed shard left gets into the result, whatever the moment was.
    plant(checkout, "hasty", "squares = []", "squares = [-1] if any(ctx.work.iterdir()) else []")
    process = checkout.start(*COMMAND, "--seed", SEED)
    output, _ = process.communicate(timeout=900)
    assert process.returncode == 1, output
    tree = json.loads((checkout.root / "runs/audits/kill/result.json").read_text())
    failed = [(case["group"], case["name"], case["outcome"]) for case in tree["cases"] if not case["passed"]]
    assert failed == [("hasty", "end: make-squares", "differs")], output
    kills = [case for case in tree["cases"] if case["name"].startswith("kill ")]
    assert {case["outcome"] for case in kills} == {"killed"}
    assert {case["facts"]["way"] for case in kills} == {"power", "stage", "command"}
    (end,) = [case for case in tree["cases"] if (case["group"], case["name"]) == ("toy", "end: make-squares")]
    assert end["facts"]["launches"] == 2
    assert end["facts"]["went_on_from"]["files"] > 0
