"""The Makefile: what `make help` promises is there, and each target calls what it says. The dear targets are
run for real by tests/smoke, `make test` and `make lint` by whoever reads this.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCREEN = (24, 110)  # lines, columns
COMMANDS = {  # target -> what it starts
    "reproduce-solid": "workflow/run reproduce solid",
    "reproduce-dense-detector": "workflow/run reproduce dense-detector",
    "reproduce-gafi": "workflow/run reproduce gafi",
    "reproduce-sample-synthesis": "workflow/run reproduce sample-synthesis",
    "reproduce-imaginarynet": "workflow/run reproduce imaginarynet",
    "reproduce": "workflow/run reproduce all && workflow/run report",
    "plan": "workflow/run plan",
    "status": "workflow/run status",
    "logs": "workflow/run logs",
    "shell": "workflow/run shell",
    "report": "workflow/run report",
    "fetch-meshes": "workflow/run fetch-meshes",
    "fetch-fashion-mnist": "workflow/run fetch-data fashion-mnist",
    "tabletop": "workflow/run tabletop",
    "doctor": "workflow/run doctor",
    "gpu-check": "workflow/run gpu-check",
    "images": "workflow/run images",
    "audit-inputs": "workflow/run audit inputs",
    "test": "workflow/run test",
    "clean": "workflow/run clean",
}
UNLISTED = {  # target -> (the target in whose line of the help it is named, what it starts)
    "compare": ("reproduce", "workflow/run reproduce compare"),
    **{
        f"fetch-{name}": ("fetch-fashion-mnist", f"workflow/run fetch-data {name}")
        for name in ("cifar10", "cifar100", "cinic10", "dermamnist")
    },
    "t2i-corpus": ("tabletop", "workflow/run t2i-corpus"),
    **{
        f"audit-{name}": ("audit-inputs", f"workflow/run audit {name}")
        for name in ("kill", "determinism", "containers")
    },
    "lint": ("test", "workflow/run test lint"),
}
SETTINGS = (
    "SCALE PLACE ACCEL DEVICE SEED DATA_DIR RUNS_DIR JOBS PAPER STAGE TOOLCHAIN OVERRIDES STRICT FORCE COUNT "
    "OBJECT MESHES CLASSES NUM BACKEND THRESHOLD SETTING DETECTOR"
).split()


def make(*words: str, path: Path | None = None) -> tuple[int, str]:
    """`make <words>` without the settings and the make that may run these tests; exit code and output."""
    dropped = (
        *SETTINGS,
        "MAKEFLAGS",
        "MAKELEVEL",
        "MFLAGS",
        "CUDA_VISIBLE_DEVICES",
        "SYNDET_TOOLCHAIN_PYTHON",
    )
    env = {name: value for name, value in os.environ.items() if name not in dropped}
    if path is not None:
        env["PATH"] = f"{path}{os.pathsep}{env['PATH']}"
    done = subprocess.run(
        ["make", *words], cwd=ROOT, env=env, text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout


@pytest.fixture
def fakes(tmp_path: Path) -> Path:
    """A folder for PATH with a nvidia-smi without GPU and a docker without engine."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("nvidia-smi", "docker"):
        put(folder, name, "exit 1\n")
    return folder


def put(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text("#!/bin/sh\n" + script)
    (folder / name).chmod(0o755)


def help_targets() -> list[str]:
    return re.findall(r"^  make ([a-z-]+) ", make()[1], flags=re.M)


def test_help_is_the_default_and_fits_one_screen():
    code, output = make()
    assert (code, output) == make("help")
    lines = output.splitlines()
    assert len(lines) <= SCREEN[0]
    assert max(map(len, lines)) <= SCREEN[1]


def test_help_lists_every_target_and_only_targets_that_exist():
    targets = re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), flags=re.M)
    assert help_targets() == [target for target in targets if target not in UNLISTED]
    assert {*help_targets()} == {"help", *COMMANDS}


def test_there_is_a_target_for_each_paper_that_is_here_and_for_no_other():
    papers = {path.parent.name.replace("_", "-") for path in ROOT.glob("experiments/*/stages.smk")}
    papers.remove("compare")  # of no paper: its target is `compare`
    assert {t.removeprefix("reproduce-") for t in help_targets() if t.startswith("reproduce-")} == papers


@pytest.mark.parametrize(
    ("target", "command"), [*COMMANDS.items(), *((name, row[1]) for name, row in UNLISTED.items())]
)
def test_each_target_starts_its_command(target, command):
    assert make("-n", target) == (0, command + "\n")


@pytest.mark.parametrize(("target", "row"), [(target, row[0]) for target, row in UNLISTED.items()])
def test_help_names_what_has_no_line_of_its_own(target, row):
    line = next(line for line in make()[1].splitlines() if line.startswith(f"  make {row} "))
    assert target in line or f"-{target.partition('-')[2]}" in line


def test_every_setting_that_help_names_reaches_the_command():
    makefile = (ROOT / "Makefile").read_text()
    exported = re.search(r"^export (.*)$", makefile, flags=re.M)[1].split()
    assert exported == SETTINGS
    code, output = make("plan", "SCALE=tiny", "SEED=4", "OVERRIDES=store.num_images=40 store.shard_size=5")
    assert code == 0
    assert output.startswith("solid, scale tiny, seed 4: ")
    assert "0/8" in output


def test_plan_of_the_published_scale_counts_the_published_shards():
    code, output = make("plan", "PAPER=solid", "SCALE=paper", "RUNS_DIR=runs/none")
    assert code == 0
    table = output.partition("\ndisk: ")[0]
    rows = {line.split()[0]: line.split() for line in table.splitlines() if line}
    assert rows["targets"][2] == "0/3907"
    assert rows["queries"][2] == "0/205"


def test_plan_of_the_published_scale_tells_disk_core_hours_and_what_they_were_computed_from():
    output = make("plan", "PAPER=solid", "SCALE=paper", "RUNS_DIR=runs/none")[1]
    assert re.search(r"^disk: .* about [\d.]+ GB needed", output, flags=re.M)
    assert re.search(r"^  targets +[\d,.]+ core hours = 1,000,000 pictures x ", output, flags=re.M)
    assert re.search(r"^  by python -m benchmarks\.solid_units ", output, flags=re.M)
    assert re.search(r"^wall: .* days on the \d+ cores of this machine", output, flags=re.M)


def test_status_logs_report_and_clean_of_an_empty_runs_folder(tmp_path):
    runs = f"RUNS_DIR={tmp_path}"
    assert "nothing was started yet" in make("status", runs)[1]
    assert "no log yet; start it: make reproduce-solid" in make("logs", "STAGE=targets", runs)[1]
    assert "no run has a report yet; make reproduce-solid" in make("report", runs)[1]
    assert "nothing to delete" in make("clean", runs)[1]


def test_a_wrong_setting_is_one_line_and_the_exit_code_is_shown():
    output = make("plan", "SCALE=tinny")[1]
    assert "error: no scale 'tinny'; did you mean tiny?" in output
    assert "Error 2" in output


@pytest.mark.parametrize("target", ["tabletop", "t2i-corpus"])
def test_a_wrong_count_of_pictures_is_one_line(target):
    output = make(target, "COUNT=few")[1]
    assert "error: COUNT=few is not a whole number; leave it out for all pictures" in output
    assert "Error 2" in output


def test_gpu_check_without_a_gpu_says_what_to_do(fakes):
    output = make("gpu-check", path=fakes)[1]
    assert "nothing to check: no GPU here; `make doctor` says what a GPU run needs" in output
    assert "Error 3" in output


def test_images_builds_every_toolchain_and_says_so_without_an_engine(fakes, tmp_path):
    assert "no Docker engine with compose v2 answers" in make("images", path=fakes)[1]
    answer = 'case "$1" in info) echo \'{"ServerVersion": "28.0"}\' ;; compose) echo "$@" >> NOTES ;; esac\n'
    put(fakes, "docker", answer.replace("NOTES", str(tmp_path / "notes")))
    assert make("images", path=fakes)[0] == 0
    built = [line.split()[-1] for line in (tmp_path / "notes").read_text().splitlines() if " build " in line]
    assert built == ["blender", "detectron2", "jax", "tensorflow"]


def test_a_container_may_write_into_one_folder_of_data_and_only_for_what_belongs_there(fakes, tmp_path):
    answer = 'case "$1" in info) echo \'{"ServerVersion": "28.0"}\' ;; compose) echo "$@" >> NOTES ;; esac\n'
    put(fakes, "docker", answer.replace("NOTES", str(tmp_path / "notes")))
    folders = [f"DATA_DIR={tmp_path}/data", f"RUNS_DIR={tmp_path}/runs", "PLACE=docker", "COUNT=7"]
    for target, mount in (
        ("t2i-corpus", f"-v {tmp_path}/data/t2i-corpus:/workspace/data/t2i-corpus"),
        ("tabletop", None),
    ):
        (tmp_path / "notes").write_text("")
        assert make(target, *folders, path=fakes)[0] == 0
        words = next(line for line in (tmp_path / "notes").read_text().splitlines() if " run " in line)
        assert (mount in words) if mount else ("-v " not in words)
        assert words.endswith("--count 7")
    assert (tmp_path / "data/t2i-corpus").is_dir()  # made here: the engine's would be root's


def test_doctor_answers():
    assert "Docker engine" in make("doctor")[1]
