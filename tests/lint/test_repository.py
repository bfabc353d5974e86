"""House rules that no linter knows: what may be imported where, what no file may name, how long a file may
be.
"""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Collection
from functools import cache
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
MAX_LINES = 400
FRAMEWORKS = {
    "torch",
    "torchvision",
    "tensorflow",
    "keras",
    "jax",
    "flax",
    "optax",
    "detectron2",
    "mmdet",
    "mmengine",
}
FRAMEWORKS |= {"mmcv", "diffusers", "transformers", "bpy"}
BPY_FOLDERS = ("experiments/solid/render/", "assets/make/")
LIGHT_MODULES = [
    "suite.errors", "suite.config", "suite.stage", "suite.plan", "suite.reproduce", "suite.status",
    "suite.launch.__main__", "suite.launch.relay", "experiments.solid.stages", "experiments.solid.config",
    "experiments.dense_detector.stages", "experiments.dense_detector.config",
    "experiments.gafi.stages", "experiments.gafi.config",
    "experiments.sample_synthesis.stages", "experiments.sample_synthesis.config",
    "experiments.sample_synthesis.cells", "experiments.sample_synthesis.names",
    "experiments.imaginarynet.stages", "experiments.imaginarynet.config",
    "experiments.imaginarynet.rounds", "experiments.imaginarynet.classes",
    "experiments.imaginarynet.arms", "experiments.imaginarynet.stages_detectors",
    "experiments.compare.stages", "experiments.compare.config",
]  # fmt: skip


def tracked() -> list[str]:
    """Files that git knows, as it names them."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


TRACKED = tracked()
PYTHON = [name for name in TRACKED if name.endswith(".py")]
PROGRAM = [name for name in PYTHON if not name.startswith("tests/")]
SCRIPTS = [name for name in TRACKED if name in ("workflow/run", ".ci/run") or name.endswith(".sh")]
DOCKERFILES = [name for name in TRACKED if Path(name).name == "Dockerfile"]
LOCKS = [name for name in TRACKED if name.endswith(".lock")]


@cache
def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@cache
def imports(name: str, *, top_level: bool = False) -> frozenset[str]:
    """Full names of the modules that a file imports; with `top_level`, only those imported when it is."""
    tree = ast.parse(text(name))
    found = set()
    for node in tree.body if top_level else ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(found)


def packages(names: Collection[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


# --- what no file may name ---


def test_no_lock_dockerfile_or_script_names_an_index_or_a_host():
    built = [
        *LOCKS,
        *DOCKERFILES,
        *SCRIPTS,
        "Makefile",
        "tox.ini",
        *(n for n in TRACKED if n.startswith("compose")),
    ]
    options = re.compile(r"--(extra-)?index-url|--find-links|--trusted-host|--default-index|https?://|git\+")
    found = [f"{name}: {line}" for name in built for line in text(name).splitlines() if options.search(line)]
    assert found == []


def test_no_file_names_a_registry():
    hosts = [
        ".".join(words) for words in (("pypi", "org"), ("pythonhosted", "org"), ("deb", "debian", "org"))
    ]
    hosts += [".".join(words) for words in (("registry", "npmjs", "org"), ("security", "debian", "org"))]
    found = [name for name in readable() if any(host in text(name) for host in hosts)]
    assert found == []


def test_no_file_points_outside_the_repository():
    places = ["/".join(words) for words in (("work", "shared"), ("work", ".library"), ("tmp", "venv-"))]
    found = [name for name in readable() if any(place in text(name) for place in places)]
    assert found == []


def readable() -> list[str]:
    """Tracked files that are text."""
    endings = (
        ".py",
        ".smk",
        ".md",
        ".yaml",
        ".yml",
        ".toml",
        ".ini",
        ".txt",
        ".in",
        ".sh",
        ".csv",
        ".html",
        ".json",
    )
    return [n for n in TRACKED if n.endswith(endings) or n in SCRIPTS + LOCKS + DOCKERFILES + ["Makefile"]]


def test_code_is_ascii():
    code = [
        *PYTHON,
        *SCRIPTS,
        *DOCKERFILES,
        "Makefile",
        *(n for n in TRACKED if n.endswith((".smk", ".yaml", ".toml"))),
    ]
    assert [name for name in code if not (ROOT / name).read_bytes().isascii()] == []


# --- form ---


def test_no_source_file_is_longer_than_a_reader_can_hold():
    sources = [
        name for name in TRACKED if name.endswith((".py", ".smk", ".sh")) or name in SCRIPTS + DOCKERFILES
    ]
    counted = {name: len(text(name).splitlines()) for name in sources}
    assert {name: lines for name, lines in counted.items() if lines > MAX_LINES} == {}


@pytest.mark.parametrize("name", [n for n in SCRIPTS if text(n).startswith("#!/usr/bin/env bash")])
def test_bash_scripts_stop_at_the_first_error_and_parse(name):
    assert "\nset -euo pipefail\n" in text(name)
    assert subprocess.run(["bash", "-n", ROOT / name], check=False).returncode == 0


@pytest.mark.parametrize("name", DOCKERFILES)
def test_dockerfiles_are_hadolint_clean(name):
    program = shutil.which("hadolint") or str(Path(sys.executable).parent / "hadolint")
    done = subprocess.run([program, ROOT / name], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_every_lock_has_hashes_and_no_unpinned_line():
    for name in LOCKS:
        lines = text(name).splitlines()
        packages_found = [line for line in lines if re.match(r"[A-Za-z0-9]", line)]
        assert packages_found, name
        assert [line for line in packages_found if not re.match(r"[\w.\-\[\],]+==\S+", line)] == [], name
        assert sum("--hash=sha256:" in line for line in lines) >= len(packages_found), name


def test_ci_runs_make_targets_and_pinned_actions_only():
    for name in (n for n in TRACKED if n.startswith(".github/workflows/")):
        steps = [step for job in yaml.safe_load(text(name))["jobs"].values() for step in job["steps"]]
        assert all(re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", step["uses"]) for step in steps if "uses" in step)
        commands = [step["run"] for step in steps if "run" in step]
        assert commands
        allowed = (
            r"make [a-z-]+( [A-Z_]+=\w+)*", r"\.ci/run( [a-z]+)+", r"\.ci/run \$\{\{ matrix\.step \}\}",
            r"sudo apt-get update", r"xargs -a docker/blender/apt\.txt sudo apt-get install [a-z -]+",
        )  # fmt: skip
        assert [one for one in commands if not re.fullmatch("|".join(allowed), one)] == []


# --- what may be imported where ---


def test_bpy_is_imported_in_its_two_folders_only_and_these_carry_its_licence():
    using = [name for name in PROGRAM if {"bpy", "mathutils", "bmesh"} & packages(imports(name))]
    allowed = (*BPY_FOLDERS, "suite/gpu_check.py")  # the check that the framework starts at all
    assert [name for name in using if not name.startswith(allowed)] == []
    marked = [name for name in PROGRAM if "SPDX-License-Identifier: GPL-3.0-or-later" in text(name)]
    assert [name for name in using if name.startswith(BPY_FOLDERS) and name not in marked] == []


def test_suite_imports_no_framework_at_module_level():
    found = {
        name: sorted(FRAMEWORKS & packages(imports(name, top_level=True)))
        for name in PROGRAM
        if name.startswith("suite/") and not name.startswith("suite/compat/")
    }
    assert {name: modules for name, modules in found.items() if modules} == {}


def test_an_experiment_imports_the_suite_and_never_another_experiment():
    for name in PROGRAM:
        # The comparison alone may: to compare the others is what it is for.
        if not name.startswith("experiments/") or name.startswith("experiments/compare/"):
            continue
        own = name.split("/")[1]
        others = {m.split(".")[1] for m in imports(name) if m.startswith("experiments.")} - {own}
        assert not others, f"{name} imports experiments.{others}"


# detectron2 draws from the global generators: these files seed them and keep their states in checkpoints.
SEEDS_GLOBALS = {"experiments/solid/learn/engine/setup.py"}


def test_there_are_no_global_generators():
    program = [name for name in PROGRAM if name not in SEEDS_GLOBALS]
    assert [name for name in program if "random" in packages(imports(name))] == [], (
        "pass a numpy Generator instead"
    )
    # A legacy generator of its own seed is allowed: splits that other programs made with one are made again.
    allowed = r"Generator|SeedSequence|default_rng|PCG64|(?:Philox|RandomState)(?!\(\))"
    banned = re.compile(rf"np\.random\.(?!{allowed})\w+|default_rng\(\)")
    found = [
        f"{name}: {line.strip()}"
        for name in program
        for line in text(name).splitlines()
        if banned.search(line)
    ]
    assert found == []


def test_pools_of_processes_are_those_that_end_with_a_killed_stage():
    made = re.compile(r"\b(?:ProcessPoolExecutor|Pool)\(")
    found = [
        name
        for name in PROGRAM
        if {"concurrent", "multiprocessing"} & packages(imports(name))
        and any(made.search(line) for line in text(name).splitlines())
    ]
    assert found == ["suite/family.py"], "use suite.family.process_pool"


@pytest.mark.parametrize("module", LIGHT_MODULES)
def test_what_plans_and_starts_stages_needs_no_numpy(module):
    code = f"import sys; sys.modules['numpy'] = None; import {module}"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
