"""The launcher in place slurm, against programs that stand for Slurm's; against the real one: tests/slurm."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from suite.errors import EXIT_BAD_INPUT, EXIT_BUG, EXIT_MISSING, EXIT_OK, EXIT_STOPPED
from tests.waiting import wait_until

FAKE = Path(__file__).parent / "fake_slurm.py"


@pytest.fixture
def cluster(checkout):
    """A checkout whose PATH has a Slurm, with the numbers drawn."""
    for name in ("sbatch", "squeue", "scancel", "scontrol"):
        checkout.fake(name, f'exec "{sys.executable}" "{FAKE}" {name} "$@"\n')
    (checkout.root / "slurm").mkdir()
    checkout.env |= {
        "FAKE_SLURM": str(checkout.root / "slurm"), "SYNDET_SLURM_POLL_SECONDS": "0.1",
        "SYNDET_SLURM_SETTLE_SECONDS": "0.5",
    }  # fmt: skip
    assert checkout.launch("numbers")[0] == EXIT_OK
    return checkout


def words(cluster, *more: str, stage: str = "make-squares") -> list[str]:
    return ["slurm" if word == "venv" else word for word in cluster.launch_words(stage, *more)]


def begun(cluster) -> list[int]:
    return [int(row[1]) for row in cluster.notes() if row[0] == "begin"]


def file(cluster, name: str) -> Path:
    """A file that changes what the stand-in does, or that it leaves."""
    return cluster.root / "slurm" / name


def logs(cluster, name: str) -> Path:
    return cluster.run_folder / "logs" / name


def test_missing_shards_become_one_array_and_the_stage_is_finished(cluster):
    code, output = cluster.run(*words(cluster))
    assert code == EXIT_OK, output
    assert "toy.make-squares: 4 of 4 shards in 4 tasks, job 41 (slurm, venv, cpu); log: " in output
    assert begun(cluster) == [0, 1, 2, 3]
    assert (cluster.run_folder / "make-squares/manifest.json").is_file()
    state = json.loads(logs(cluster, "make-squares.json").read_text())
    assert (state["state"], state["finished"], state["total"], state["slurm_job"]) == ("done", 4, 4, "41")
    assert cluster.run(*words(cluster)) == (EXIT_OK, "toy.make-squares: up to date, 4 shards\n")
    assert not file(cluster, "42.sh").exists()


def test_a_narrow_stage_is_one_job_that_writes_the_stages_own_log(cluster):
    code, output = cluster.run(*words(cluster, "numbers.limit=7", stage="numbers"))
    assert code == EXIT_OK, output
    assert output.splitlines()[-1].startswith("toy.numbers: done in ")
    assert "toy.numbers: done" in logs(cluster, "numbers.log").read_text()
    assert "--array" not in logs(cluster, "numbers.slurm/script.sh").read_text()


@pytest.mark.slow
def test_a_failed_narrow_stage_gives_its_exit_code_and_its_words(cluster):
    (cluster.run_folder / "numbers/numbers.json").unlink()
    wrong = [word.replace("numbers.limit=7", "numbers.limit=0") for word in words(cluster, stage="numbers")]
    code, output = cluster.run(*wrong, "-o", "numbers.limit=0")
    assert code == EXIT_BUG, output
    assert "ValueError" in output
    assert "error: toy.numbers: exit code 1; log: " in output


@pytest.mark.parametrize("told", ["2", pytest.param("3", marks=pytest.mark.slow)])
def test_a_failed_shard_costs_that_shard_and_is_submitted_again_alone(cluster, told):
    code, output = cluster.run(*words(cluster), TOY_FAIL=f"1:{told}")
    assert code == int(told)
    assert "error: the toy was told to fail" in output
    assert f"1 of 4 shards failed: 1 (exit code {told}); log: " in output
    assert "make-squares.slurm/00001.log" in output.splitlines()[-1]
    assert "the toy was told to fail" in logs(cluster, "make-squares.log").read_text()
    assert "exit code " + told + ", shards 1" in cluster.run("suite", "status")[1]
    code, output = cluster.run(*words(cluster))
    assert code == EXIT_OK, output
    assert json.loads(logs(cluster, "make-squares.slurm/tasks.json").read_text()) == [[1]]
    assert begun(cluster) == [0, 1, 2, 3, 1]


def test_a_rejected_job_is_one_line_and_leaves_nothing_to_wait_for(cluster):
    file(cluster, "reject").write_text("sbatch: error: Batch job submission failed: Invalid account")
    code, output = cluster.run(*words(cluster))
    assert code == EXIT_MISSING
    assert "error: sbatch rejects the job of toy.make-squares: error: Batch job submission failed: " in output
    assert "Invalid account; correct the Slurm settings" in output
    assert json.loads(logs(cluster, "make-squares.json").read_text())["code"] == EXIT_MISSING
    file(cluster, "reject").unlink()
    assert cluster.run(*words(cluster))[0] == EXIT_OK


def test_a_killed_launcher_leaves_the_job_and_the_next_launch_waits_for_it(cluster):
    process = cluster.start(*words(cluster, "pause=0.2"))
    wait_until(lambda: begun(cluster))
    process.kill()
    process.communicate()
    assert "slurm, job 41 may go on; the same make command waits for it" in cluster.run("suite", "status")[1]
    code, output = cluster.run(*words(cluster, "pause=0.2"))
    assert code == EXIT_OK, output
    assert "job 41 is in the queue already; waiting for it" in output
    assert begun(cluster) == [0, 1, 2, 3]


@pytest.mark.slow
def test_a_job_whose_number_was_never_noted_is_found_by_its_name(cluster):
    file(cluster, "hold").touch()
    process = cluster.start(*words(cluster))
    record = logs(cluster, "make-squares.slurm/job.json")
    wait_until(lambda: record.is_file() and json.loads(record.read_text())["job"])
    process.kill()
    process.communicate()
    record.write_text(json.dumps(json.loads(record.read_text()) | {"job": None}))
    file(cluster, "hold").unlink()
    code, output = cluster.run(*words(cluster))
    assert code == EXIT_OK, output
    assert not file(cluster, "42.sh").exists(), "nothing was submitted twice"


@pytest.mark.slow
@pytest.mark.parametrize("forget", [False, True])
def test_a_job_of_other_settings_is_not_disturbed(cluster, forget):
    file(cluster, "hold").touch()
    process = cluster.start(*words(cluster))
    wait_until(lambda: "pending (Resources)" in cluster.run("suite", "status")[1])
    process.kill()
    process.communicate()
    if forget:
        logs(cluster, "make-squares.slurm/job.json").unlink()
    code, output = cluster.run(*words(cluster, *([] if forget else ["shard_size=2"])))
    assert code == EXIT_BAD_INPUT
    assert "job 41 of other settings is in the queue; wait for it, or `scancel 41`" in output
    os.killpg(int(file(cluster, "41.pid").read_text()), signal.SIGKILL)


@pytest.mark.slow
def test_a_stopped_launcher_leaves_the_job_and_says_so(cluster):
    process = cluster.start(*words(cluster, "pause=0.3"))
    wait_until(lambda: begun(cluster))
    process.terminate()
    output, _ = process.communicate(timeout=120)
    assert process.returncode == EXIT_STOPPED
    assert "job 41 goes on; the same command waits for it, `scancel 41` ends it" in output
    assert cluster.run(*words(cluster, "pause=0.3"))[0] == EXIT_OK
    assert begun(cluster) == [0, 1, 2, 3]


@pytest.mark.slow
def test_a_queue_that_does_not_answer_is_waited_for(cluster):
    process = cluster.start(*words(cluster, "pause=0.1"))
    wait_until(lambda: begun(cluster))
    file(cluster, "down").touch()
    wait_until(lambda: "squeue does not answer; waiting" in logs(cluster, "make-squares.log").read_text())
    time.sleep(1)  # the job may be over by now, but nobody says so
    assert process.poll() is None
    file(cluster, "down").unlink()
    output, _ = process.communicate(timeout=120)
    assert process.returncode == EXIT_OK, output


def test_a_controller_that_never_answered_is_said_at_once(cluster):
    file(cluster, "down").touch()
    code, output = cluster.run(*words(cluster))
    assert code == EXIT_MISSING
    assert "the Slurm controller does not answer: slurm_load_jobs error: Unable to contact" in output


def test_a_signal_saves_the_shard_and_asks_for_the_queue_again(cluster):
    process = cluster.start(*words(cluster, "pause=0.3"))
    wait_until(lambda: any(row[0] == "squared" for row in cluster.notes()))
    os.kill(int(file(cluster, "task.pid").read_text()), signal.SIGUSR1)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == EXIT_OK, output
    assert begun(cluster) == [0, 0, 1, 2, 3]
    done = [row[1] for row in cluster.notes() if row[0] == "squared"]
    assert len(done) == len(set(done)) == 12
    assert "stopped; queued again" in logs(cluster, "make-squares.slurm/slurm-41_0.out").read_text()


@pytest.mark.slow
def test_a_task_that_is_stopped_too_often_is_given_up(cluster):
    cluster.env["SYNDET_SLURM_MAX_REQUEUES"] = "0"
    process = cluster.start(*words(cluster, "pause=0.3"))
    wait_until(lambda: any(row[0] == "squared" for row in cluster.notes()))
    os.kill(int(file(cluster, "task.pid").read_text()), signal.SIGTERM)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == EXIT_STOPPED, output
    assert begun(cluster) == [0, 1, 2, 3]
    assert "stopped 1 times; given up" in logs(cluster, "make-squares.slurm/slurm-41_0.out").read_text()


@pytest.mark.slow
def test_a_task_that_slurm_ends_without_an_outcome_is_a_failure_in_slurms_words(cluster):
    file(cluster, "kill-2").touch()
    code, output = cluster.run(*words(cluster))
    assert code == EXIT_BUG
    assert "toy.make-squares[2]: FAILED: Slurm: slurmstepd: error: *** JOB 41 ON n1" in output
    assert "DUE TO TIME LIMIT" in output
    assert "1 of 4 shards failed: 2 (exit code 1)" in output


@pytest.mark.slow
def test_a_cause_outside_the_shards_ends_the_array(cluster):
    assert cluster.launch("numbers", "numbers.count=60")[0] == EXIT_OK
    code, output = cluster.run(*words(cluster, "numbers.count=60"), TOY_FAIL="all:3")
    assert code == EXIT_MISSING
    assert "failures without a success" in output
    assert file(cluster, "cancelled").exists()


@pytest.mark.slow
def test_shards_share_tasks_as_asked_and_as_the_cluster_needs(cluster):
    code, output = cluster.run(*words(cluster, "--jobs=1"), SYNDET_SLURM_SHARDS_PER_TASK="3")
    assert code == EXIT_OK, output
    assert json.loads(logs(cluster, "make-squares.slurm/tasks.json").read_text()) == [[0, 1, 2], [3]]
    assert "--array=0-1%1\n" in file(cluster, "41.sh").read_text()
    assert cluster.launch("numbers", "numbers.count=30")[0] == EXIT_OK
    file(cluster, "reject").write_text("enough seen")
    cluster.run(*words(cluster, "numbers.count=30"))  # 10 shards, MaxArraySize 7
    tasks = json.loads(logs(cluster, "make-squares.slurm/tasks.json").read_text())
    assert tasks == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]


def test_a_gpu_stage_needs_a_gpu_in_the_settings(cluster):
    code, output = cluster.run(*words(cluster), "--device", "cuda")
    assert code == EXIT_MISSING
    assert "the Slurm settings of toy.make-squares name no GPU; SYNDET_SLURM_GRES=gpu:1" in output


def test_several_nodes_cannot_work_together_in_containers(cluster):
    at = words(cluster).index("--")
    spread = [*words(cluster)[:at], "--ranks", *words(cluster)[at:]]
    code, output = cluster.run(*spread, SYNDET_SLURM_NODES="2", SYNDET_SLURM_INSIDE="docker")
    assert code == EXIT_BAD_INPUT
    assert "containers have no network, so several nodes cannot work together" in output


def test_without_slurm_the_place_is_refused_in_one_line(checkout):
    code, output = checkout.run(
        "suite", "reproduce", "toy", "--scale", "tiny", PLACE="slurm", PATH=str(checkout.root / "bin")
    )
    assert code == EXIT_MISSING
    assert "PLACE=slurm, but there is no sbatch here; start this on a machine that submits" in output


def test_commands_for_this_machine_refuse_the_cluster(checkout):
    code, output = checkout.run("suite", "gpu-check", PLACE="slurm")
    assert code == EXIT_BAD_INPUT
    assert "PLACE=slurm is for reproduce alone" in output


@pytest.mark.slow
def test_reproduce_runs_every_stage_through_the_queue(cluster):
    code, output = cluster.run("suite", "reproduce", "toy", "--scale", "tiny", "--place", "slurm")
    assert code == EXIT_OK, output
    assert "place slurm, device cpu (the Slurm settings name no GPU (gres))" in output
    assert len([*file(cluster, ".").glob("*.sh")]) == 3
    assert "toy.make-squares: 4 of 4 shards in 4 tasks, job 42" in output
