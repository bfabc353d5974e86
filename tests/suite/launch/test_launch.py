"""The launcher on real processes: shards side by side, failures, stops, kills."""

from __future__ import annotations

import json
import signal

import psutil
import pytest

from suite.errors import EXIT_BAD_INPUT, EXIT_BUG, EXIT_MISSING, EXIT_OK, EXIT_STOPPED
from suite.launch.worker import exit_code, worst
from tests.waiting import wait_until


def squares(checkout) -> dict[str, str]:
    """Key and output digests of every shard."""
    manifests = sorted((checkout.run_folder / "make-squares").glob("*/manifest.json"))
    trees = [json.loads(path.read_text()) for path in manifests]
    return {tree["key"]: json.dumps(tree["outputs"]) for tree in trees}


def test_a_wide_stage_runs_its_shards_and_is_then_up_to_date(checkout):
    assert checkout.launch("numbers")[0] == EXIT_OK
    code, output = checkout.launch("make-squares", "--jobs=2")
    assert code == EXIT_OK, output
    assert "4 of 4 shards to do, 2 at a time" in output
    assert len(squares(checkout)) == 4
    again = checkout.launch("make-squares", "--jobs=2")
    assert again == (EXIT_OK, "toy.make-squares: up to date, 4 shards\n")
    assert sum(row[0] == "begin" for row in checkout.notes()) == 4


def test_a_narrow_stage_says_that_it_is_up_to_date(checkout):
    checkout.launch("numbers")
    assert checkout.launch("numbers")[1].splitlines()[-1] == "toy.numbers: up to date"


def test_no_more_shards_run_at_a_time_than_jobs_and_threads_are_shared(checkout):
    checkout.launch("numbers")
    checkout.launch("make-squares", "--jobs=2", "pause=0.5")  # long enough to overlap on a busy machine
    running = most = 0
    for row in sorted(checkout.notes(), key=lambda row: float(row[4])):
        running += {"begin": 1, "end": -1}.get(row[0], 0)
        most = max(most, running)
    assert most == 2
    assert {row[3] for row in checkout.notes()} == {str(max(1, psutil.cpu_count(logical=False) // 2))}


@pytest.mark.parametrize("told", ["1", pytest.param("2", marks=pytest.mark.slow), "3"])
def test_a_failed_shard_costs_that_shard(checkout, told):
    checkout.launch("numbers")
    code, output = checkout.launch("make-squares", "--jobs=2", TOY_FAIL=f"1:{told}")
    assert code == int(told)
    assert f"1 of 4 shards failed: 1 (exit code {told}); log: " in output
    assert "the toy was told to fail" in output
    assert checkout.launch("make-squares")[0] == EXIT_OK
    begun = [int(row[1]) for row in checkout.notes() if row[0] == "begin"]
    assert sorted(begun) == [0, 1, 1, 2, 3], "only the failed shard ran twice"


@pytest.mark.slow
def test_a_cause_outside_the_shards_ends_the_stage_early(checkout):
    checkout.launch("numbers", "numbers.count=100")
    code, output = checkout.launch("make-squares", "numbers.count=100", "--jobs=4", TOY_FAIL="all:2")
    assert code == EXIT_BAD_INPUT
    assert "failures without a success" in output
    assert sum(row[0] == "begin" for row in checkout.notes()) < 20 < 34


def test_sigterm_keeps_finished_work_and_the_same_command_goes_on(checkout):
    checkout.launch("numbers")
    words = checkout.launch_words("make-squares", "--jobs=2", "pause=0.3")
    process = checkout.start(*words)
    wait_until(lambda: any(row[0] == "squared" for row in checkout.notes()))
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == EXIT_STOPPED, output
    assert "the same command goes on from here" in output
    assert checkout.launch("make-squares", "--jobs=2")[0] == EXIT_OK
    squared = [row[1] for row in checkout.notes() if row[0] == "squared"]
    assert len(squared) == len(set(squared)) == 12, "nothing finished was done twice"


@pytest.mark.slow
def test_a_killed_launcher_takes_its_workers_along_and_leaves_the_same_result(checkout):
    checkout.launch("numbers")
    checkout.launch("make-squares")
    undisturbed = squares(checkout)
    assert checkout.launch("make-squares", "shard_size=2")[0] == EXIT_OK  # other settings: all is redone
    process = checkout.start(*checkout.launch_words("make-squares", "--jobs=2", "pause=0.3"))
    wait_until(lambda: sum(row[0] == "begin" for row in checkout.notes()) >= 4 + 6 + 2)
    workers = psutil.Process(process.pid).children()
    assert workers
    process.kill()
    process.communicate()
    wait_until(lambda: not any(worker.is_running() for worker in workers))
    assert checkout.launch("make-squares", "--jobs=2")[0] == EXIT_OK
    assert squares(checkout) == undisturbed


def test_the_state_file_tells_how_a_launch_ended(checkout):
    checkout.launch("numbers")
    checkout.launch("make-squares", TOY_FAIL="2:3")
    tree = json.loads((checkout.run_folder / "logs/make-squares.json").read_text())
    assert (tree["state"], tree["code"], tree["failed"]) == (
        "failed",
        EXIT_MISSING,
        [{"shard": 2, "code": 3}],
    )
    assert (tree["total"], tree["finished"]) == (4, 3)


def test_jobs_must_be_a_number_or_auto(checkout):
    code, output = checkout.launch("make-squares", "--jobs=many")
    assert code == EXIT_BAD_INPUT
    assert "give a number from 1 up, or auto" in output


def test_of_several_exit_codes_the_one_that_tells_most_wins():
    assert worst([0, 75, 3, 2, 1]) == EXIT_BUG
    assert worst([0, 75, 3, 2]) == EXIT_BAD_INPUT
    assert worst([0, 75, 3]) == EXIT_MISSING
    assert worst([0, 75]) == EXIT_STOPPED
    assert worst([]) == EXIT_OK


def test_a_process_ended_by_a_stop_signal_counts_as_stopped_and_by_another_as_a_bug():
    assert exit_code(-signal.SIGTERM) == EXIT_STOPPED
    assert exit_code(128 + signal.SIGTERM) == EXIT_STOPPED
    assert exit_code(-signal.SIGKILL) == EXIT_BUG
    assert exit_code(3) == EXIT_MISSING
