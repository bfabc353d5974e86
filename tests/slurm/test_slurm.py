"""Place slurm on a real Slurm: arrays of missing shards, failures, stops, kills, GPUs, rejected jobs."""

from __future__ import annotations

import json
import re
import subprocess

import pytest

from suite.errors import EXIT_BAD_INPUT, EXIT_MISSING, EXIT_OK, EXIT_STOPPED
from tests.suite.launch.conftest import make_checkout
from tests.waiting import wait_until

pytestmark = pytest.mark.slow  # a bare `pytest` installs and starts no Slurm
REPRODUCE = ["suite", "reproduce", "toy", "--scale", "tiny", "--place", "slurm"]


def launch_words(cluster, stage: str, *words: str) -> list[str]:
    """The launcher on one stage of the toy, in place slurm."""
    return ["slurm" if word == "venv" else word for word in cluster.launch_words(stage, *words)]


def numbers(cluster) -> None:
    """The stage that the squares read, made here: quicker than through the queue."""
    assert cluster.launch("numbers")[0] == EXIT_OK


def slurm(cluster, *command: str) -> str:
    """One of Slurm's programs, as the user of the checkout types it."""
    return subprocess.run(
        command, env=cluster.environment(), capture_output=True, text=True, check=True
    ).stdout


def record(cluster, stage: str = "make-squares") -> dict:
    """What the launcher noted of its job."""
    return json.loads((cluster.run_folder / f"logs/{stage}.slurm/job.json").read_text())


def submitted(cluster, stage: str = "make-squares") -> str:
    """Number of the stage's job, as soon as there is one."""
    path = cluster.run_folder / f"logs/{stage}.slurm/job.json"
    wait_until(lambda: path.is_file() and record(cluster, stage)["job"])
    return record(cluster, stage)["job"]


def begun(cluster) -> list[int]:
    return sorted(int(row[1]) for row in cluster.notes() if row[0] == "begin")


def squares(cluster) -> dict[str, str]:
    """Key and output digests of every shard."""
    trees = [json.loads(p.read_text()) for p in (cluster.run_folder / "make-squares").glob("*/manifest.json")]
    return {tree["key"]: json.dumps(tree["outputs"]) for tree in trees}


def test_a_paper_through_the_queue_gives_the_result_of_this_machine(cluster, tmp_path):
    here = make_checkout(tmp_path / "here")
    for stage in ("numbers", "make-squares"):
        assert here.launch(stage)[0] == EXIT_OK
    code, output = cluster.run(*REPRODUCE)
    assert code == EXIT_OK, output
    assert "4 of 4 shards in 4 tasks" in output
    assert squares(cluster) == squares(here)
    again = cluster.run(*REPRODUCE)[1]
    assert "nothing to do, all 3 stages are up to date" in again


def test_one_failed_shard_costs_that_shard_and_only_it_is_submitted_again(cluster):
    numbers(cluster)
    code, output = cluster.run(*launch_words(cluster, "make-squares"), TOY_FAIL="1:2")
    assert code == EXIT_BAD_INPUT, output
    assert "error: the toy was told to fail" in output
    assert re.search(
        r"1 of 4 shards failed: 1 \(exit code 2\); log: .*make-squares\.slurm/00001\.log", output
    )
    assert "the toy was told to fail" in (cluster.run_folder / "logs/make-squares.log").read_text()
    assert begun(cluster) == [0, 1, 2, 3]
    code, output = cluster.run(*launch_words(cluster, "make-squares"))
    assert code == EXIT_OK, output
    assert "1 of 4 shards in 1 tasks" in output
    assert begun(cluster) == [0, 1, 1, 2, 3]


def test_a_task_takes_several_shards_and_the_throttle_holds(cluster):
    numbers(cluster)
    words = launch_words(cluster, "make-squares", "--jobs=1", "pause=0.2")
    code, output = cluster.run(*words, SYNDET_SLURM_SHARDS_PER_TASK="3")
    assert code == EXIT_OK, output
    assert "4 of 4 shards in 2 tasks" in output
    assert "#SBATCH --array=0-1%1\n" in (cluster.run_folder / "logs/make-squares.slurm/script.sh").read_text()
    rows = sorted(cluster.notes(), key=lambda row: float(row[4]))
    assert [row[0] for row in rows if row[0] != "squared"] == ["begin", "end"] * 4, "one after the other"


def test_a_killed_launcher_leaves_the_job_and_the_next_one_waits_for_it(cluster):
    numbers(cluster)
    words = launch_words(cluster, "make-squares", "pause=2")  # longer than three commands of a busy machine
    process = cluster.start(*words)
    job = submitted(cluster)
    wait_until(lambda: begun(cluster))
    process.kill()
    process.communicate()
    assert job in slurm(cluster, "squeue", "-h", "-o", "%F")
    assert f"slurm, job {job} may go on" in cluster.run("suite", "status")[1]
    code, output = cluster.run(*launch_words(cluster, "make-squares", "pause=0.9"))
    assert code == EXIT_BAD_INPUT, "other settings, same folder"
    assert f"job {job} of other settings is in the queue; wait for it, or `scancel {job}`" in output
    code, output = cluster.run(*words)
    assert code == EXIT_OK, output
    assert f"job {job} is in the queue already; waiting for it" in output
    assert begun(cluster) == [0, 1, 2, 3], "nothing was submitted twice"


def test_a_stopped_launcher_says_that_the_job_goes_on(cluster):
    numbers(cluster)
    process = cluster.start(*launch_words(cluster, "make-squares", "pause=1"))
    job = submitted(cluster)
    wait_until(lambda: begun(cluster))
    process.terminate()
    output, _ = process.communicate(timeout=120)
    assert process.returncode == EXIT_STOPPED, output
    assert f"job {job} goes on; the same command waits for it, `scancel {job}` ends it" in output
    slurm(cluster, "scancel", job)
    wait_until(lambda: not slurm(cluster, "squeue", "-h", f"--name={record(cluster)['name']}"))


def test_a_signal_saves_the_shard_and_the_task_is_queued_again(cluster):
    numbers(cluster)
    process = cluster.start(*launch_words(cluster, "make-squares", "pause=0.8"))
    job = submitted(cluster)
    for task, name in ((1, "USR1"), (2, "TERM")):
        wait_until(lambda task=task: ["squared", str(3 * task)] in [row[:2] for row in cluster.notes()])
        slurm(cluster, "scancel", f"--signal={name}", "--batch", f"{job}_{task}")
    output, _ = process.communicate(timeout=120)
    assert process.returncode == EXIT_OK, output
    done = [int(row[1]) for row in cluster.notes() if row[0] == "squared"]
    assert sorted(done) == list(range(12)), "every square once"
    assert begun(cluster) == [0, 1, 1, 2, 2, 3]
    for task in (1, 2):
        text = (cluster.run_folder / f"logs/make-squares.slurm/slurm-{job}_{task}.out").read_text()
        assert "stopped; queued again" in text


def test_a_cancelled_array_is_stopped_and_not_queued_again(cluster):
    numbers(cluster)
    process = cluster.start(*launch_words(cluster, "make-squares", "--jobs=2", "pause=1"))
    job = submitted(cluster)
    wait_until(lambda: len(begun(cluster)) == 2)
    slurm(cluster, "scancel", job)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == EXIT_STOPPED, output
    assert "make-squares[3]: not finished: never begun" in output
    assert "stopped; finished shards are kept, the same command goes on from here" in output
    assert len(begun(cluster)) == 2
    assert not slurm(cluster, "squeue", "-h", f"--name={record(cluster)['name']}")


def test_two_tasks_on_one_node_get_different_gpus(cluster):
    numbers(cluster)
    words = [*launch_words(cluster, "make-squares", "pause=0.5"), "--device", "cuda"]
    node = {"SYNDET_SLURM_GRES": "gpu:1", "SYNDET_SLURM_EXTRA": "--nodelist=n1"}
    code, output = cluster.run(*words, **node)
    assert code == EXIT_OK, output
    rows = sorted(
        (row for row in cluster.notes() if row[0] in ("begin", "end")), key=lambda row: float(row[4])
    )
    assert {row[2] for row in rows} == {"0", "1"}
    held: set[str] = set()
    for what, _, gpu, *_ in rows:
        assert (gpu in held) == (what == "end"), "never two shards on one GPU"
        held ^= {gpu}


def test_a_rejected_job_is_one_line_with_slurms_own_words(cluster):
    numbers(cluster)
    code, output = cluster.run(*launch_words(cluster, "make-squares"), SYNDET_SLURM_PARTITION="moon")
    assert code == EXIT_MISSING
    (line,) = [line for line in output.splitlines() if line.startswith("error: ")]
    assert "sbatch rejects the job of toy.make-squares: error: invalid partition specified: moon" in line
    assert "nothing was started" in line
    assert begun(cluster) == []


def test_an_array_is_no_longer_than_the_cluster_allows(cluster):
    words = launch_words(cluster, "make-squares", "numbers.count=130", "shard_size=1")
    assert cluster.launch("numbers", "numbers.count=130")[0] == EXIT_OK
    process = cluster.start(*words, SYNDET_SLURM_EXTRA="--hold")
    job = submitted(cluster)
    process.kill()
    process.communicate()
    slurm(cluster, "scancel", job)
    tasks = json.loads((cluster.run_folder / "logs/make-squares.slurm/tasks.json").read_text())
    assert len(tasks) == 65, "130 shards, MaxArraySize 101"
    assert [shard for task in tasks for shard in task] == list(range(130))
