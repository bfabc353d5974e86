"""What sbatch gets, word by word, and the settings that it is made from."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from suite.errors import BadInput, Missing
from suite.launch.slurm_script import SlurmJob, ranks_per_node, script, srun_words, torchrun_words
from suite.launch.slurm_settings import SlurmSettings, gpus_of, load_settings, pick_device, seconds_of

ROOT = Path("/srv/syndet")
LOGS = ROOT / "runs/solid/paper/seed0/logs"
COMMAND = [
    "/srv/syndet/.tox/workflow/bin/python",
    "-m",
    "suite.launch.slurm_task",
    "--folder",
    "F",
    "--",
    "targets",
]
ENVIRONMENT = {"RUNS_DIR": "/srv/syndet/runs", "PYTHONPATH": "/srv/syndet"}


def job(**facts) -> SlurmJob:
    given = {
        "name": "syndet-solid-targets-0a1b2c3d", "settings": SlurmSettings(), "device": "cpu", "root": ROOT,
        "command": COMMAND, "output": LOGS / "targets.slurm/slurm-%A_%a.out", "environment": ENVIRONMENT,
    }  # fmt: skip
    return SlurmJob(**{**given, **facts})


END = """\
trap '' USR1
set -e
cd /srv/syndet
export PYTHONPATH=/srv/syndet
export RUNS_DIR=/srv/syndet/runs
# The task takes the shell's place: it is what Slurm signals.
exec /srv/syndet/.tox/workflow/bin/python -m suite.launch.slurm_task --folder F -- targets
"""

ARRAY_ON_CPU = """\
#!/bin/bash
#SBATCH --job-name=syndet-solid-targets-0a1b2c3d
#SBATCH --array=0-3906
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --signal=B:USR1@300
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=/srv/syndet/runs/solid/paper/seed0/logs/targets.slurm/slurm-%A_%a.out
"""

ARRAY_ON_GPU = """\
#!/bin/bash
#SBATCH --job-name=syndet-solid-targets-0a1b2c3d
#SBATCH --partition=gpu
#SBATCH --account=vision
#SBATCH --qos=long
#SBATCH --array=0-976%64
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --mem=32G
#SBATCH --gres=gpu:1
#SBATCH --time=04:00:00
#SBATCH --signal=B:USR1@600
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output="/srv/my runs/slurm-%A_%a.out"
#SBATCH --constraint=a100
#SBATCH --exclude=n7
trap '' USR1
set -e
module load cuda
cd /srv/syndet
"""

FOUR_NODES = """\
#!/bin/bash
#SBATCH --job-name=syndet-solid-pretrain-0a1b2c3d
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --gres=gpu:8
#SBATCH --time=2-00:00:00
#SBATCH --signal=B:USR1@300
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=/srv/syndet/runs/solid/paper/seed0/logs/pretrain.slurm/slurm-%j.out
"""


def test_an_array_on_the_cpu():
    assert script(job(tasks=3907)) == ARRAY_ON_CPU + END


def test_an_array_on_the_gpu_with_everything_that_can_be_asked_for():
    asked = SlurmSettings(
        partition="gpu", account="vision", qos="long", time="04:00:00", gres="gpu:1", cpus=8, mem="32G",
        signal_seconds=600, extra=("--constraint=a100", "--exclude=n7"), setup=("module load cuda",), nodes=9,
    )  # fmt: skip
    text = script(
        job(
            settings=asked, device="cuda", tasks=977, throttle=64, output=Path("/srv/my runs/slurm-%A_%a.out")
        )
    )
    assert text.startswith(ARRAY_ON_GPU)
    assert "--gres" not in script(job(settings=asked, device="cpu", tasks=977)), "no GPU for work on the CPU"


def test_a_stage_with_ranks_on_four_nodes():
    asked = SlurmSettings(nodes=4, gres="gpu:8", time="2-00:00:00")
    facts = {"name": "syndet-solid-pretrain-0a1b2c3d", "output": LOGS / "pretrain.slurm/slurm-%j.out"}
    assert script(job(settings=asked, device="cuda", ranks=True, **facts)) == FOUR_NODES + END
    assert "--nodes=1\n" in script(job(settings=asked)), "a stage without ranks takes one node"


def test_a_throttle_that_throttles_nothing_is_left_out():
    assert "--array=0-9\n" in script(job(tasks=10, throttle=10))
    assert "--array=0-9%9\n" in script(job(tasks=10, throttle=9))


@examples(max_examples=40, deadline=None)
@given(
    words=st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), min_size=1), max_size=5),
    value=st.text(st.characters(codec="utf-8", exclude_characters="\0\r")),
)
def test_the_shell_hands_on_every_word_and_value_as_it_was(words, value):
    program = ["/usr/bin/env", "printf", "%s\\0", *words]
    text = script(job(command=program, root=Path("/"), environment={"RUNS_DIR": value}))
    lines = text.rpartition("\nexec ")
    text = f"{lines[0]}\nprintf '%s\\0' \"$RUNS_DIR\"\nexec {lines[2]}"
    done = subprocess.run(["bash"], input=text.encode(), capture_output=True, check=True)
    assert done.stdout.decode().split("\0")[:-1] == [value, *(words or [""])]


def test_a_path_that_sbatch_cannot_read_is_refused():
    with pytest.raises(BadInput, match="sbatch cannot read this path; choose another RUNS_DIR"):
        script(job(output=Path('/srv/"mine"/slurm.out')))


def test_torchrun_meets_on_the_first_node_at_a_port_of_its_job():
    assert torchrun_words(nodes=1, per_node=1, job_id="7", head="n1") == []
    assert torchrun_words(nodes=1, per_node=8, job_id="7", head="n1") == [
        "torch.distributed.run", "--nnodes", "1", "--nproc_per_node", "8", "--standalone",
    ]  # fmt: skip
    assert torchrun_words(nodes=4, per_node=8, job_id="123456", head="n1")[5:] == [
        "--rdzv_id", "123456", "--rdzv_backend", "c10d", "--rdzv_endpoint", "n1:23456",
    ]  # fmt: skip


def test_srun_starts_one_torchrun_per_node_and_repeats_the_cores():
    assert srun_words(nodes=1, cpus=8) == []
    assert srun_words(nodes=4, cpus=8) == [
        "srun", "--nodes=4", "--ntasks=4", "--ntasks-per-node=1", "--kill-on-bad-exit=1", "--cpus-per-task=8",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("gres", "number"),
    [
        ("gpu", 1),
        ("gpu:2", 2),
        ("gpu:a100:4", 4),
        ("gpu:h100", 1),
        ("gpu:tesla:2,nvme:1", 2),
        ("nvme:3", 0),
        (None, 0),
    ],
)
def test_gpus_of_a_request_are_counted(gres, number):
    assert gpus_of(gres) == number


def test_processes_per_node_follow_the_gpus_unless_told():
    assert ranks_per_node(SlurmSettings(gres="gpu:8"), "cuda") == 8
    assert ranks_per_node(SlurmSettings(gres="gpu:8"), "cpu") == 1
    assert ranks_per_node(SlurmSettings(gres="gpu:8", ranks_per_node=2), "cuda") == 2


@given(st.integers(0, 30), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
def test_a_time_limit_is_read_as_sbatch_reads_it(days, hours, minutes, seconds):
    whole = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    assert seconds_of(f"{days}-{hours:02d}:{minutes:02d}:{seconds:02d}") == whole
    assert seconds_of(f"{hours}:{minutes:02d}:{seconds:02d}") == whole - days * 86400
    assert seconds_of(f"{minutes}:{seconds:02d}") == minutes * 60 + seconds
    assert seconds_of(f"{days}-{hours}") == days * 86400 + hours * 3600
    assert seconds_of(str(minutes)) == minutes * 60


# --- settings ---

PROFILE = """\
partition: gpu
time: "04:00:00"
gres: gpu:1
stages:
  pretrain: {nodes: 4, gres: "gpu:8"}
  solid.targets: {time: "01:00:00"}
"""


def settings(tmp_path: Path, text: str, label: str | None = None, **variables: str) -> SlurmSettings:
    path = tmp_path / "cluster.yaml"
    path.write_text(text)
    found = {f"SYNDET_SLURM_{name.upper()}": value for name, value in variables.items()}
    names = ["pretrain", "solid.targets"]
    return load_settings(label, environment={"SYNDET_SLURM": str(path), **found}, known=names)


def test_a_stages_section_wins_over_the_file_and_a_variable_over_both(tmp_path):
    assert settings(tmp_path, PROFILE).nodes == 1
    assert (settings(tmp_path, PROFILE, "solid.pretrain").nodes, settings(tmp_path, PROFILE).gres) == (
        4,
        "gpu:1",
    )
    assert settings(tmp_path, PROFILE, "solid.targets").time == "01:00:00"
    assert settings(tmp_path, PROFILE, "solid.targets", time="30", cpus="", nodes="2").time == "30"
    found = settings(tmp_path, PROFILE, extra="--exclude=n7 --comment='a b'", setup="module load x; true")
    assert (found.extra, found.setup) == (("--exclude=n7", "--comment=a b"), ("module load x; true",))


@pytest.mark.parametrize(
    ("text", "variables", "message"),
    [
        ("partitoin: gpu\n", {}, "cluster.yaml: unknown key `partitoin`; did you mean partition?"),
        ("time: 12:00:00\n", {}, "`time` is 43200"),
        ("time: soon\n", {}, "`time` is 'soon'; write it as sbatch does, in quotes"),
        ('time: "5"\n', {}, "`time` is 5, which is no longer than `signal_seconds`"),
        ("extra: [a100]\n", {}, "`extra` holds 'a100'; write options of sbatch"),
        ("shards_per_task: 0\n", {}, "`shards_per_task` is 0; use 1 or more"),
        ("stages: {pretain: {nodes: 2}}\n", {}, "`stages.pretain`: no system has such a stage"),
        (
            "stages: {pretrain: {noodles: 2}}\n",
            {},
            "unknown key `stages.pretrain.noodles`; did you mean nodes?",
        ),
        ("stages: {pretrain: 2}\n", {}, "`stages.pretrain` is no mapping"),
        ("stages: [pretrain]\n", {}, "`stages` is no mapping"),
        ("", {"cpus": "many"}, "SYNDET_SLURM_CPUS=many cannot be read"),
        ("", {"cpu": "4"}, "SYNDET_SLURM_CPU: no such setting; choose one of partition"),
        ("", {"partition": "a\nb"}, "a line break in"),
    ],
)
def test_wrong_settings_are_named(tmp_path, text, variables, message):
    with pytest.raises(BadInput) as caught:
        settings(tmp_path, text, **variables)
    assert message in str(caught.value)


def test_stages_of_every_system_may_have_a_section(tmp_path):
    path = tmp_path / "cluster.yaml"
    path.write_text("stages: {targets: {throttle: 8}, gafi.targets: {throttle: 2}}\n")
    with pytest.raises(BadInput, match="no system has such a stage"):
        load_settings(environment={"SYNDET_SLURM": str(path)})
    path.write_text("stages: {targets: {throttle: 8}, solid.queries: {throttle: 2}}\n")
    assert load_settings("solid.targets", environment={"SYNDET_SLURM": str(path)}).throttle == 8


def test_the_device_is_that_of_the_request_and_not_of_this_machine(tmp_path):
    path = tmp_path / "cluster.yaml"
    path.write_text("stages: {pretrain: {gres: 'gpu:8'}}\n")
    file = {"SYNDET_SLURM": str(path)}
    assert pick_device("auto", file) == ("cuda", "Slurm is asked for gpu:8")
    assert pick_device("cpu", file)[0] == "cpu"
    assert pick_device("auto", {})[0] == "cpu"
    assert pick_device("auto", {"SYNDET_SLURM_GRES": "gpu:1"})[0] == "cuda"
    with pytest.raises(Missing, match="the Slurm settings name no GPU; SYNDET_SLURM_GRES=gpu:1"):
        pick_device("cuda", {})
