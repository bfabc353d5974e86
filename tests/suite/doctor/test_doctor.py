"""The doctor as a whole: the verdict, the table, the JSON, and machines where everything is broken."""

import json
import os
import subprocess
import sys

import pytest

from suite.doctor.__main__ import CHECKS, examine, main
from suite.doctor.needs import judge
from suite.doctor.result import MISSING, OK, WARN, Result
from suite.doctor.table import WIDTH, as_json, table
from tests.suite.doctor.fakes import REPOSITORY

JSON_FIELDS = {"schema", "systems", "scale", "ready", "places", "blockers", "checks"}
CHECK_FIELDS = {"name", "group", "title", "state", "value", "why", "remedy"}


def result(name: str, state: str, group: str = "machine") -> Result:
    return Result(name, group, name, state, "value", "why", "" if state == OK else "remedy")


@pytest.mark.parametrize(
    ("missing", "ready", "ways", "blockers"),
    [
        ([], True, ("venv", "docker"), ()),
        (["docker-engine"], True, ("venv",), ()),
        (["python"], True, ("docker",), ()),
        (["system-libraries", "docker-compose"], False, (), ("system-libraries", "docker-compose")),
        (["runs-writable"], False, ("venv", "docker"), ("runs-writable",)),
        (["disk", "memory"], False, ("venv", "docker"), ("disk", "memory")),
        (["driver-detectron2"], True, ("venv", "docker"), ()),
    ],
)
def test_a_system_is_ready_when_one_way_and_the_rest_are_there(missing, ready, ways, blockers):
    verdict = judge([result(name, MISSING) for name in missing], inside_image=False)
    assert (verdict.ready, verdict.ways, verdict.blockers) == (ready, ways, blockers)


def test_warnings_never_block_and_missing_data_does():
    assert judge([result("disk", WARN), result("assets", WARN, "data")], inside_image=False).ready
    assert judge([result("assets", MISSING, "data")], inside_image=False).blockers == ("assets",)


def test_inside_an_image_no_engine_and_no_environment_is_needed():
    lacking = [result("docker-engine", MISSING), result("venv-module", MISSING)]
    assert judge(lacking, inside_image=True).ways == ("here",)
    assert judge(lacking, inside_image=True).ready


def test_the_table_fits_eighty_columns_and_says_state_reason_and_remedy(context):
    here = context()
    results = examine(here)
    text = table(results, judge(results, inside_image=False), here)
    for line in text.splitlines():  # a path that is longer than a line stays whole
        assert len(line) <= WIDTH or str(here.root) in line
    flat = " ".join(text.split())
    for r in results:
        assert " ".join(f"{r.title}: {r.value}".split()) in flat and r.why in flat and r.remedy in flat
    assert "missing  Docker engine: docker is not installed" in text
    assert text.splitlines()[-1].startswith("Ready for solid at scale smoke (place: venv)")


def test_every_line_that_is_not_ok_has_a_remedy_and_names_are_unique(context, fakes):
    fakes("nvidia-smi", {"--query-gpu": (0, "0, Tesla T4, 470.256.02, 15360 MiB\n", "")})
    results = examine(context(scale="paper"))
    assert all(r.remedy for r in results if r.state != OK) and all(r.why for r in results)
    assert len({r.name for r in results}) == len(results)


def test_the_json_has_its_promised_fields(context):
    here = context()
    results = examine(here)
    tree = json.loads(as_json(results, judge(results, inside_image=False), here))
    assert set(tree) == JSON_FIELDS and tree["schema"] == 1 and tree["systems"] == ["solid"]
    assert all(
        set(check) == CHECK_FIELDS and check["state"] in (OK, WARN, MISSING) for check in tree["checks"]
    )


def damage_garbage(root, fakes):
    """Every program answers nonsense."""
    for name in ("docker", "nvidia-smi", "sbatch", "sinfo"):
        fakes(name, {"": (0, "\x00{{[ nonsense , , ,\n", "")})


def damage_failing(root, fakes):
    """Every program fails without a word."""
    for name in ("docker", "nvidia-smi", "sbatch", "sinfo"):
        fakes(name, {"": (139, "", "")})


def damage_not_executable(root, fakes):
    """Programs that the system cannot start."""
    for name in ("docker", "nvidia-smi", "sbatch", "sinfo"):
        path = fakes.folder / name
        path.write_bytes(b"\x7fELF broken")
        path.chmod(0o755)


def damage_files(root, fakes):
    """Files of the repository that are broken."""
    (root / "suite/datasets.yaml").write_text("a: [")
    (root / "workflow/bootstrap.py").write_text("def broken(:\n")
    (root / "assets/meshes/meshes.json").write_bytes(b"\xff\xfe")
    (root / "experiments/solid/configs/smoke.yaml").write_text("store: 3")
    info = root / ".tox/detectron2/lib/python3.11/site-packages/detectron2-0.6.dist-info"
    info.mkdir(parents=True)
    (info / "direct_url.json").write_text("[1, 2]")


def damage_absent(root, fakes):
    """Files of the repository that are not there."""
    for path in (
        "suite/datasets.yaml",
        "workflow/bootstrap.py",
        "assets/meshes/meshes.json",
        "docker/blender/apt.txt",
    ):
        (root / path).unlink()
    (root / "runs").rmdir()


DAMAGES = [damage_garbage, damage_failing, damage_not_executable, damage_files, damage_absent]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda d: d.__name__)
def test_no_check_raises_whatever_is_broken(damage, context, root, fakes):
    damage(root, fakes)
    here = context()
    results = examine(here)
    assert len(results) >= len(CHECKS) - 1  # drivers say nothing without a GPU
    assert table(results, judge(results, inside_image=False), here)


def test_a_program_that_hangs_is_left_alone(context, fakes, monkeypatch):
    monkeypatch.setattr("suite.doctor.context.TIMEOUT", 0.2)
    path = fakes.folder / "docker"
    path.write_text("#!/bin/sh\nwhile :; do :; done\n")
    path.chmod(0o755)
    (found,) = [r for r in examine(context()) if r.name == "docker-engine"]
    assert found.state == MISSING and "no answer within" in found.value


def test_a_check_that_fails_itself_becomes_a_line(context):
    def check_moon(_):
        raise RuntimeError("eclipse")

    (found,) = examine(context(), [check_moon])
    assert (found.name, found.state) == ("moon", WARN) and "RuntimeError: eclipse" in found.value


def test_the_command_line_gives_the_verdict_as_exit_code(capsys):
    code = main(["--for", "solid", "--json"])
    tree = json.loads(capsys.readouterr().out)
    assert code == (0 if tree["ready"] else 3) and tree["systems"] == ["solid"]
    shown = {c["name"] for c in tree["checks"] if c["name"].startswith("image-")}
    assert shown <= {"image-blender", "image-detectron2"}


def test_an_unwritable_runs_folder_ends_in_exit_code_3(tmp_path):
    (tmp_path / "file").touch()
    env = {**os.environ, "RUNS_DIR": str(tmp_path / "file"), "PATH": "/nowhere"}
    command = [sys.executable, "-m", "suite.doctor", "--for", "solid"]
    done = subprocess.run(command, cwd=REPOSITORY, env=env, capture_output=True, text=True)
    assert done.returncode == 3 and done.stderr == "" and "Mend first: runs-writable" in done.stdout


def test_it_runs_with_the_standard_library_alone():
    # -S -I: no site-packages and no environment, so that psutil, yaml and numpy are out of reach.
    code = "import sys; sys.path.insert(0, '.'); from suite.doctor.__main__ import main; main(['--json'])"
    done = subprocess.run(
        [sys.executable, "-S", "-I", "-c", code], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert done.stderr == ""
    values = {c["name"]: c["value"] for c in json.loads(done.stdout)["checks"]}
    assert "PyYAML" in values["data-sets"] and "GB available" in values["memory"]
    assert not [value for value in values.values() if "failed" in value]
