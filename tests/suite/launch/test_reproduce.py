"""`python -m suite ...` on the toy system, through the real Snakemake: runs, repeats, kills, plans, logs,
cleaning.
"""

from __future__ import annotations

import json
import re
import shutil
import signal
import time

import pytest

from suite.errors import EXIT_BAD_INPUT, EXIT_MISSING, EXIT_OK, EXIT_STOPPED

REPRODUCE = ["suite", "reproduce", "toy", "--scale", "tiny", "--place", "venv"]


def keys(checkout) -> dict[str, str]:
    """Stage -> key and outputs, of what is finished."""
    found = {}
    for path in sorted(checkout.run_folder.glob("*/manifest.json")) + sorted(
        checkout.run_folder.glob("*/*/manifest.json")
    ):
        tree = json.loads(path.read_text())
        found[str(path.relative_to(checkout.run_folder))] = tree["key"] + json.dumps(tree["outputs"])
    return found


def plan(checkout, *words: str) -> dict[str, dict]:
    """Stage -> row of the plan."""
    code, output = checkout.run("suite", "plan", "toy", "--scale", "tiny", "--json", *words)
    assert code == EXIT_OK, output
    return {row["stage"]: row for row in json.loads(output)["rows"]}


def test_a_run_ends_with_a_table_the_report_and_what_to_type_next(checkout):
    code, output = checkout.run(*REPRODUCE)
    assert code == EXIT_OK, output
    lines = output.splitlines()
    assert any(line.split()[:2] == ["make-squares", "done"] and "12 squares" in line for line in lines)
    assert "report: runs/toy/tiny/seed0/report/index.html" in lines
    assert lines[-1].startswith("next:   make plan PAPER=toy SCALE=smoke")


def test_a_second_call_starts_nothing_and_says_so(finished):
    before, notes = keys(finished), finished.notes()
    code, output = finished.run(*REPRODUCE)
    assert code == EXIT_OK
    assert output.startswith("toy, scale tiny, seed 0: nothing to do, all 3 stages are up to date")
    assert (keys(finished), finished.notes()) == (before, notes)


@pytest.mark.slow
def test_without_a_name_every_system_that_is_not_done_is_brought_up_to_date(finished):
    home = finished.root / "experiments/toy"
    shutil.copytree(home, home.with_name("toy_two"))
    for path in home.with_name("toy_two").rglob("*.*"):
        if path.suffix in (".py", ".smk"):
            path.write_text(re.sub(r"\btoy\b", "toy_two", path.read_text()))
    words = ["suite", "reproduce", *REPRODUCE[3:]]
    code, output = finished.run(*words)
    assert code == EXIT_OK, output
    assert output.startswith("toy, scale tiny, seed 0: nothing to do")
    assert "toy-two, scale tiny, seed 0: done in" in output
    assert finished.run(*words)[1].count("nothing to do, all 3 stages are up to date") == 2


@pytest.mark.slow
def test_a_changed_setting_redoes_what_depends_on_it_and_nothing_else(finished):
    before = keys(finished)
    code, output = finished.run(*REPRODUCE, "-o", "shard_size=4")
    assert code == EXIT_OK, output
    assert "3 of 3 shards to do" in output
    assert "toy.numbers" not in output, "numbers do not depend on the shard size"
    assert keys(finished)["numbers/manifest.json"] == before["numbers/manifest.json"]


@pytest.mark.slow
def test_a_lost_shard_is_redone_alone(finished):
    before = keys(finished)
    (finished.run_folder / "make-squares/00002/squares.json").unlink()
    assert plan(finished)["make-squares"]["state"] == "damaged"
    code, output = finished.run(*REPRODUCE)
    assert code == EXIT_OK, output
    assert "1 of 4 shards to do" in output
    assert keys(finished) == before


def test_a_deleted_stage_is_redone_although_its_stamp_is_still_there(finished):
    before = keys(finished)
    (finished.run_folder / "make-squares").rename(finished.run_folder / "elsewhere")
    code, output = finished.run(*REPRODUCE)
    assert code == EXIT_OK, output
    assert "4 of 4 shards to do" in output
    assert {k: v for k, v in keys(finished).items() if not k.startswith("elsewhere")} == before


@pytest.mark.slow
def test_a_failed_stage_gives_its_own_exit_code_and_the_next_call_goes_on(checkout):
    code, output = checkout.run(*REPRODUCE, TOY_FAIL="1:3")
    assert code == EXIT_MISSING
    assert "error: the toy was told to fail" in output
    assert "the same command goes on" in output.splitlines()[-1]
    assert plan(checkout)["make-squares"]["reason"] == "goes on where it stopped: 3 of 4 shards are there"
    code, output = checkout.run(*REPRODUCE)
    assert code == EXIT_OK
    assert "1 of 4 shards to do" in output


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_run_ended_in_the_middle_goes_on_to_the_same_result(checkout, how):
    undisturbed_code, _ = checkout.run(*REPRODUCE, "--seed", "1")
    assert undisturbed_code == EXIT_OK
    begun = len(checkout.notes())
    process = checkout.start(*REPRODUCE, "--jobs", "2", "-o", "pause=0.3")
    end = time.monotonic() + 60
    while len(checkout.notes()) < begun + 5 and time.monotonic() < end:
        time.sleep(0.02)
    process.send_signal(how)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == (-signal.SIGKILL if how == signal.SIGKILL else EXIT_STOPPED), output
    code, output = checkout.run(*REPRODUCE)
    assert code == EXIT_OK, output
    squared = [row[1] for row in checkout.notes()[begun:] if row[0] == "squared"]
    assert len(squared) == len(set(squared)) == 12, "nothing finished was done twice"


@pytest.mark.slow
def test_a_stop_in_the_last_moment_of_a_stage_counts_as_stopped(checkout):
    process = checkout.start(*REPRODUCE, "--jobs", "4", "-o", "pause=1")
    while not any(row[0] == "adding" for row in checkout.notes()):
        assert process.poll() is None
        time.sleep(0.02)
    process.terminate()
    output, _ = process.communicate(timeout=60)
    assert process.returncode == EXIT_STOPPED, output
    assert output.splitlines()[-1].endswith("stopped; the same command goes on from here")
    assert "report/manifest.json" in keys(checkout), "what was finished is kept"


@pytest.mark.slow
def test_two_commands_on_one_run_are_told_apart(checkout):
    process = checkout.start(*REPRODUCE, "-o", "pause=0.5")
    while not checkout.notes():
        time.sleep(0.05)
    code, output = checkout.run(*REPRODUCE)
    process.terminate()
    process.communicate(timeout=60)
    assert code == EXIT_BAD_INPUT
    assert "another command works on this run; `make status` shows it" in output


def test_until_stops_after_the_named_stage(checkout):
    code, output = checkout.run(*REPRODUCE, "--until", "numbers")
    assert code == EXIT_OK, output
    assert list(keys(checkout)) == ["numbers/manifest.json"]
    assert (
        checkout.run(*REPRODUCE, "--until", "number")[1]
        .strip()
        .endswith("no stage 'number'; did you mean numbers?")
    )


def test_snakemakes_own_complaint_is_shown(checkout):
    path = checkout.root / "experiments/toy/stages.smk"
    path.write_text(path.read_text() + "\nrule broken:\n    output: nonsense(\n")
    code, output = checkout.run(*REPRODUCE)
    assert code == 1
    assert "stages.smk" in output


@pytest.mark.slow
def test_strict_redoes_what_another_environment_made(finished):
    manifest = finished.run_folder / "numbers/manifest.json"
    tree = json.loads(manifest.read_text())
    tree["environment"]["lock_sha256"] = "0" * 64
    manifest.write_text(json.dumps(tree))
    row = plan(finished)["numbers"]
    assert (row["state"], row["reason"]) == ("done", "made with another environment")
    assert "nothing to do" in finished.run(*REPRODUCE)[1]
    code, output = finished.run(*REPRODUCE, "--strict")
    assert code == EXIT_OK
    assert "toy.numbers: done" in output


def test_the_plan_names_what_changed(finished):
    assert {row["state"] for row in plan(finished).values()} == {"done"}
    rows = plan(finished, "-o", "numbers.limit=5")
    assert rows["numbers"]["reason"] == "config changed: numbers.limit 1000 -> 5"
    assert rows["make-squares"]["reason"] == "input changed: numbers"
    assert rows["report"]["reason"] == "input changed: squares"
    assert rows["make-squares"]["shards"] == 4
    stages = finished.root / "experiments/toy/stages.py"
    stages.write_text(
        stages.read_text().replace(
            'summary="square them", toolchain="suite", version=1', 'summary="", toolchain="suite", version=2'
        )
    )
    assert plan(finished)["make-squares"]["reason"] == "the stage changed (version 1 -> 2)"


def test_the_plan_starts_nothing_and_writes_nothing(checkout):
    rows = plan(checkout)
    assert {row["state"] for row in rows.values()} == {"never run"}
    assert {row["seconds"] for row in rows.values()} == {None}, "nothing was measured for the toy"
    assert not (checkout.root / "runs").exists()
    code, output = checkout.run("suite", "plan", "toy", "--scale", "tiny")
    assert code == EXIT_OK
    assert "Nothing was started. To do it: make reproduce-toy SCALE=tiny" in output


def test_measured_times_are_used_for_what_is_left(checkout):
    text = "tiny:\n  machine: a machine\n  command: a command\n  stages: {numbers: 2.5, make-squares: 10}\n"
    (checkout.root / "experiments/toy/measured.yaml").write_text(text)
    rows = plan(checkout)
    assert (rows["numbers"]["seconds"], rows["make-squares"]["seconds"], rows["report"]["seconds"]) == (
        2.5,
        40,
        None,
    )
    assert "measured on a machine" in checkout.run("suite", "plan", "toy", "--scale", "tiny")[1]


def test_a_systems_own_estimate_is_printed_until_its_scale_was_measured(checkout):
    home = checkout.root / "experiments/toy"
    (home / "estimate.py").write_text(
        'def lines(config):\n    return [f"estimate: {config.numbers.count} hours"]\n'
    )
    plan_words = ("suite", "plan", "toy", "--scale", "tiny")
    assert "\nestimate: 12 hours\n" in checkout.run(*plan_words)[1]
    assert json.loads(checkout.run(*plan_words, "--json")[1])["estimate"] == ["estimate: 12 hours"]
    (home / "measured.yaml").write_text("tiny: {machine: a machine, command: a command, stages: {}}\n")
    assert "estimate: 12 hours" not in checkout.run(*plan_words)[1]


def test_status_and_logs_tell_how_it_went(checkout):
    assert "nothing was started yet" in checkout.run("suite", "status")[1]
    checkout.launch("numbers")
    checkout.launch("make-squares", TOY_FAIL="1:2")
    output = checkout.run("suite", "status")[1]
    assert any(
        line.split()[:4] == ["toy/tiny/seed0", "make-squares", "failed", "3/4"]
        for line in output.splitlines()
    )
    assert "exit code 2, shards 1" in output
    code, output = checkout.run("suite", "logs", "make-squares", "toy", "--scale", "tiny")
    assert code == EXIT_OK
    assert "the toy was told to fail" in output
    code, output = checkout.run("suite", "logs", "report", "toy", "--scale", "tiny")
    assert code == EXIT_MISSING
    assert "no log yet; start it: make reproduce-toy SCALE=tiny" in output


def test_clean_shows_first_and_deletes_only_runs(finished):
    foreign = finished.root / "runs/notes.txt"
    foreign.write_text("mine")
    data = finished.root / "data/shapes.bin"
    data.parent.mkdir()
    data.write_text("dear")
    code, output = finished.run("suite", "clean")
    assert code == EXIT_OK
    assert "runs/toy/tiny/seed0" in output
    assert output.endswith("add FORCE=1 to delete these\nnothing was deleted\n")
    assert finished.run_folder.exists()
    assert finished.run("suite", "clean", FORCE="1")[1].endswith("deleted 1 folders\n")
    assert not (finished.root / "runs/toy").exists()
    assert foreign.exists()
    assert data.exists()


@pytest.mark.slow
def test_clean_leaves_a_run_that_is_being_worked_on(checkout):
    process = checkout.start(*REPRODUCE, "-o", "pause=0.5")
    while not checkout.notes():
        time.sleep(0.05)
    code, output = checkout.run("suite", "clean", FORCE="1")
    process.terminate()
    process.communicate(timeout=60)
    assert (code, checkout.run_folder.exists()) == (EXIT_BAD_INPUT, True)
    assert "nothing was deleted" in output


def test_the_overview_leads_to_every_report(finished):
    shutil.copytree(finished.run_folder, finished.run_folder.with_name("seed1"))
    code, output = finished.run("suite", "report")
    assert (code, output) == (EXIT_OK, "report: runs/report/index.html (2 runs)\n")
    page = (finished.root / "runs/report/index.html").read_text()
    assert 'href="../toy/tiny/seed0/report/index.html"' in page
    assert 'href="../toy/tiny/seed1/report/index.html"' in page


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["suite", "reproduce", "toyy"], "no system 'toyy'; did you mean toy?"),
        (["suite", "plan", "toy", "--scale", "tinny"], "no scale 'tinny'; did you mean tiny?"),
        (["suite", "plan", "toy", "--seed", "x"], "SEED=x is not a whole number; use 0 or more"),
        (["suite", "plan", "toy", "--seed", "-1"], "SEED=-1 is negative; use 0 or more"),
        (["suite", "plan", "toy", "--scale", "tiny", "-o", "numbers.cuont=3"], "did you mean count?"),
        (["suite", "shell", "blendr"], "no toolchain 'blendr'"),
        (["suite", "test", "nonsense"], "no test environment 'nonsense'"),
    ],
)
def test_a_wrong_word_is_one_line_with_what_would_be_right(checkout, words, message):
    code, output = checkout.run(*words)
    assert code == EXIT_BAD_INPUT
    assert message in output
    assert len(output.splitlines()) == 1


def test_settings_come_from_the_environment_and_empty_ones_count_as_unset(checkout):
    output = checkout.run("suite", "plan", PAPER="toy", SCALE="smoke", SEED="3")[1]
    assert output.startswith("toy, scale smoke, seed 3:")
    assert (
        "runs/elsewhere/toy/smoke/seed0"
        in checkout.run("suite", "plan", "toy", SCALE="", SEED="", RUNS_DIR="runs/elsewhere")[1]
    )
