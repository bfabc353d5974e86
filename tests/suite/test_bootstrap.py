"""workflow/bootstrap.py and workflow/run: what an environment is made from, when it is made anew, what is
told.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from suite.inspect_run import bootstrap

ROOT = Path(__file__).resolve().parents[2]
b = bootstrap()

COMPILED = ".tox/clay/bin/python -m compileall -qq -j 0 .tox/clay/lib"  # always last


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one toolchain, whose builds are only noted in `built`."""
    folder = tmp_path / "docker/clay"
    folder.mkdir(parents=True)
    (folder / "requirements.cpu.lock").write_text("six==1.17.0 --hash=sha256:0\n")
    (folder / "requirements.cuda.lock").write_text("six==1.16.0 --hash=sha256:0\n")
    monkeypatch.setattr(b, "ROOT", tmp_path)
    monkeypatch.setattr(b, "ENVS", tmp_path / ".tox")
    monkeypatch.setattr(b, "ensure_uv", lambda: tmp_path / "uv")
    monkeypatch.setattr(b, "uv_environment", lambda: dict(os.environ))
    monkeypatch.setattr(
        b, "run",
        lambda command, env=None, *, must_succeed=True: pretend(tmp_path, [str(word) for word in command]),
    )
    return tmp_path


def pretend(root: Path, command: list[str]) -> None:
    """`uv venv` makes the folder with a python in it; everything is noted."""
    with (root / "built").open("a") as notes:
        notes.write(" ".join(command).replace(f"{root}/", "") + "\n")
    if command[1] == "venv":
        python = Path(command[-1]) / "bin/python"
        python.parent.mkdir(parents=True)
        python.touch()


def built(repository: Path) -> list[str]:
    path = repository / "built"
    return path.read_text().splitlines() if path.exists() else []


def test_an_environment_is_built_once_from_hashes_alone(repository):
    assert b.ensure("clay", "cpu") == repository / ".tox/clay/bin/python"
    assert built(repository) == [
        "uv venv --quiet --python 3.11 .tox/clay",
        "uv pip install --quiet --python .tox/clay/bin/python --require-hashes "
        "-r docker/clay/requirements.cpu.lock",
        COMPILED,
    ]
    b.ensure("clay", "cpu")
    assert len(built(repository)) == 3


def test_a_changed_lock_another_flavour_or_a_killed_build_makes_it_anew(repository):
    b.ensure("clay", "cpu")
    (repository / "docker/clay/requirements.cpu.lock").write_text("six==1.17.1 --hash=sha256:0\n")
    b.ensure("clay", "cpu")
    assert len(built(repository)) == 6
    b.ensure("clay", "cuda")
    assert len(built(repository)) == 9
    (repository / ".tox/clay/.lock-sha256").unlink()  # the stamp comes last, so a killed build has none
    (repository / ".tox/clay/half-installed").touch()
    b.ensure("clay", "cuda")
    assert len(built(repository)) == 12
    assert not (repository / ".tox/clay/half-installed").exists()
    (repository / ".tox/clay/bin/python").unlink()  # the system's Python was upgraded away
    b.ensure("clay", "cuda")
    assert len(built(repository)) == 15


def test_packages_without_dependencies_and_a_last_script_count_too(repository):
    b.ensure("clay", "cpu")
    (repository / "docker/clay/requirements.nodeps.lock").write_text("a==1 --hash=sha256:0\n")
    (repository / "docker/clay/install_clay.py").write_text("print()\n")
    b.ensure("clay", "cpu")
    assert built(repository)[5:] == [
        "uv pip install --quiet --python .tox/clay/bin/python --require-hashes "
        "--no-deps -r docker/clay/requirements.nodeps.lock",
        ".tox/clay/bin/python docker/clay/install_clay.py",
        COMPILED,
    ]


def test_a_failed_build_leaves_no_stamp(repository, monkeypatch):
    def fail(command, env=None):
        raise b.Missing("no network")

    monkeypatch.setattr(b, "run", fail)
    with pytest.raises(b.Missing, match="no Python 3.11 for .tox/clay; install Python 3.11"):
        b.ensure("clay", "cpu")
    assert not b.is_ready(b.recipe("clay", "cpu"))


def test_two_builders_of_one_environment_do_not_meet(repository):
    order = []
    with b.build_lock("clay"):
        code = f"""if True:
            import importlib.util, pathlib, sys
            spec = importlib.util.spec_from_file_location("b", {str(ROOT / "workflow/bootstrap.py")!r})
            b = sys.modules["b"] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(b)
            b.ENVS = pathlib.Path({str(b.ENVS)!r})
            with b.build_lock("clay"):
                print("in")"""
        second = subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert "waiting for another process" in second.stderr.readline()
        order.append("first")
    order.append(second.communicate(timeout=30)[0].strip())
    assert order == ["first", "in"]


def test_an_unknown_environment_names_the_known_ones(repository):
    with pytest.raises(b.Missing, match="environments are: clay, suite, workflow"):
        b.ensure("cley", "cpu")


def test_missing_libraries_are_installed_by_root_and_told_to_others(repository, monkeypatch):
    (repository / "docker/clay/apt.txt").write_text("libx11-6  # windows\nlibsm6\npython3\n")
    monkeypatch.setattr(b, "can_load", lambda soname: soname == "libSM.so.6")
    monkeypatch.setattr(b.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(b.os, "geteuid", lambda: 1000)
    with pytest.raises(b.Missing) as error:
        b.ensure("clay", "cpu")
    assert str(error.value).endswith(
        "run: sudo apt-get update && sudo apt-get install -y --no-install-recommends libx11-6"
    )
    assert built(repository) == []
    monkeypatch.setattr(b.os, "geteuid", lambda: 0)
    b.ensure("clay", "cpu")
    assert built(repository)[:2] == [
        "apt-get update -qq",
        "apt-get install -y --no-install-recommends libx11-6 -qq",
    ]
    monkeypatch.setattr(b.shutil, "which", lambda name: None)
    with pytest.raises(
        b.Missing, match="install what Debian calls libx11-6 with this system's package manager"
    ):
        b.ensure("clay", "cpu")


def test_the_libraries_of_every_toolchain_are_known_by_file_name():
    lines = (ROOT / "docker/blender/apt.txt").read_text().splitlines()
    libraries = {line.partition("#")[0].strip() for line in lines if line.startswith("lib")}
    assert libraries <= b.SONAMES.keys()


def test_every_toolchain_has_both_flavours_and_pins_what_its_stages_name():
    from experiments.solid.stages import STAGES
    from suite.inspect_run import lock_pins, normal

    for lock in ROOT.glob("docker/*/requirements.cpu.lock"):
        assert b.recipe(lock.parent.name, "cuda").lock.is_file()
    for stage in STAGES.values():
        assert {normal(name) for name in stage.decides} <= lock_pins(stage.toolchain).keys()


# --- workflow/run on machines without the right Python ---


@pytest.fixture
def machine(tmp_path: Path):
    """Run workflow/run with a PATH of bash and basics, a python3 that is too old, and what a test adds."""
    path = tmp_path / "bin"
    path.mkdir()
    for name in ("bash", "sh", "dirname", "env", "cat"):
        (path / name).symlink_to(shutil.which(name))

    def put(name: str, script: str) -> None:
        (path / name).write_text("#!/bin/sh\n" + script)
        (path / name).chmod(0o755)

    put("python3", 'case "$*" in *version_info*) exit 1 ;; esac\necho "Python 3.9.2"\n')

    def run(*words: str) -> tuple[int, str]:
        notes = tmp_path / "notes"
        done = subprocess.run(
            [ROOT / "workflow/run", *words], text=True, env={"PATH": str(path), "NOTES": str(notes)},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout

    run.put = put
    run.notes = lambda: (tmp_path / "notes").read_text().splitlines()
    return run


def test_without_python_311_a_paper_goes_through_the_engine_and_says_so(machine):
    machine.put("docker", 'echo "$@" >> "$NOTES"\n')
    code, output = machine("reproduce", "solid")
    assert (code, output) == (
        0,
        "no Python >= 3.11 here, but a Docker engine: docker compose run --rm solid\n",
    )
    assert machine.notes()[-1] == "compose run --rm solid"


def test_without_python_311_the_other_commands_say_what_is_needed(machine):
    machine.put("docker", "exit 0\n")
    code, output = machine("plan")
    assert code == 3
    assert "'plan' needs Python >= 3.11 on the host (apt-get install python3 python3-venv)" in output
    assert "docker compose run --rm solid" in output


def test_without_python_311_and_without_an_engine_both_ways_out_are_named(machine):
    machine.put("docker", "exit 1\n")
    code, output = machine("reproduce", "solid")
    assert code == 3
    assert output.startswith("error: no Python >= 3.11 and no Docker engine here; install one of them")


def test_without_a_command_there_is_a_usage_line(machine):
    assert machine() == (2, "usage: workflow/run <command> [argument ...]   (make help lists the commands)\n")
