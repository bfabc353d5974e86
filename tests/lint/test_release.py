"""The files of a release: who is cited, which file has which licence, what changed, what others' CI runs."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.lint.test_repository import ROOT, TRACKED, text

CITATION = yaml.safe_load(text("CITATION.cff"))
CITED = CITATION["references"]
WITH_CODE = [one for one in CITED if "repository-code" in one]
GITHUB = "https://github.com/"
SYSTEMS = sorted(path.parent.name for path in ROOT.glob("experiments/*/published.csv"))
SPDX = re.compile(r"^(?:#|//) SPDX-License-Identifier: (\S+)$", flags=re.M)
WORKFLOWS = [name for name in TRACKED if name.startswith(".github/workflows/")]


# --- CITATION.cff: fields that its schema, version 1.2.0, asks for ---


def test_the_citation_has_what_its_schema_asks_for():
    assert CITATION["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= CITATION.keys()
    assert CITATION["version"] == re.search(r'^version = "(.*)"$', text("pyproject.toml"), flags=re.M)[1]
    for one in CITED:
        assert {"type", "title", "authors", "year"} <= one.keys()
        assert isinstance(one["year"], int) and "conference" not in one or set(one["conference"]) == {"name"}
        assert all({"family-names", "given-names"} == set(author) for author in one["authors"])
        assert all(set(row) == {"type", "value", "description"} for row in one.get("identifiers", []))
        assert re.fullmatch(r"10\.\d{4,}/\S+", one.get("doi", "10.0000/none"))
        assert re.fullmatch(
            r"https://github\.com/[\w-]+/\w[\w-]*", one.get("repository-code", "https://github.com/a/b")
        )


@pytest.mark.parametrize("system", SYSTEMS)
def test_what_a_system_reproduces_is_cited_as_its_readme_names_it(system):
    readme = " ".join(text(f"experiments/{system}/README.md").replace("*", "").split())
    own = [one for one in WITH_CODE if one["repository-code"].removeprefix(GITHUB) in readme]
    assert len(own) == 1
    for one in own:
        assert one["title"] in readme and str(one["year"]) in readme
        assert all(author["family-names"] in readme for author in one["authors"])
        numbers = [row["value"].removeprefix("arXiv:") for row in one.get("identifiers", [])]
        assert all(number in readme for number in numbers)


# --- licences ---


def test_every_licence_that_a_file_names_has_its_text_here():
    named = {name: SPDX.findall(text(name)) for name in TRACKED if name.endswith((".py", ".sh", ".smk"))}
    assert {found for rows in named.values() for found in rows} == {"GPL-3.0-or-later"}
    assert (ROOT / "LICENSES/GPL-3.0-or-later.txt").is_file()
    assert text("LICENSE") == text("LICENSES/Apache-2.0.txt")


def test_every_file_of_the_renderer_says_that_it_is_under_the_gpl():
    folder = [
        name for name in TRACKED if name.startswith("experiments/solid/render/") and name.endswith(".py")
    ]
    assert len(folder) > 10
    assert [name for name in folder if SPDX.findall(text(name)[:80]) != ["GPL-3.0-or-later"]] == []


@pytest.mark.parametrize("folder", sorted(path.parent.name for path in ROOT.glob("experiments/*/stages.py")))
def test_every_system_says_its_licence(folder):
    readme = text(f"experiments/{folder}/README.md")
    section = readme.partition("\n## Licence\n")[2].partition("\n## ")[0]
    assert "../../LICENSE" in section


# --- the changelog ---


def test_the_changelog_has_the_form_that_it_names():
    lines = text("CHANGELOG.md").splitlines()
    versions = [line for line in lines if line.startswith("## ")]
    assert versions[0] == "## [Unreleased]"
    assert all(
        re.fullmatch(r"## \[(Unreleased|0\.\d+\.\d+)\]( - \d{4}-\d\d-\d\d)?", line) for line in versions
    )
    kinds = {line.removeprefix("### ") for line in lines if line.startswith("### ")}
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert all(line.startswith(("#", "- ", "  ")) for line in lines[lines.index(versions[0]) :] if line)


# --- CI on another host ---


@pytest.mark.parametrize("name", WORKFLOWS)
def test_workflows_are_actionlint_clean(name):
    program = shutil.which("actionlint") or str(Path(sys.executable).parent / "actionlint")
    done = subprocess.run([program, "-no-color", ROOT / name], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("name", WORKFLOWS)
def test_workflows_may_read_only_and_end(name):
    tree = yaml.safe_load(text(name))
    assert tree["permissions"] == {"contents": "read"}
    assert tree["concurrency"]["cancel-in-progress"] is True
    assert all("permissions" not in job and job["timeout-minutes"] <= 90 for job in tree["jobs"].values())


@pytest.mark.parametrize("name", WORKFLOWS)
def test_every_pinned_action_has_its_version_beside_it(name):
    uses = [line for line in text(name).splitlines() if "uses:" in line]
    assert uses
    assert [line for line in uses if not re.search(r"@[0-9a-f]{40}  # v\d+\.\d+\.\d+$", line)] == []


def test_every_step_of_ci_runs_on_the_other_host_too():
    steps = re.search(r"^readonly ALL_STEPS=\((.*)\)$", text(".ci/run"), flags=re.M)[1].split()
    ran = set()
    for name in WORKFLOWS:
        jobs = yaml.safe_load(text(name))["jobs"].values()
        ran |= {word for row in re.findall(r"run: \.ci/run ([a-z -]+)", text(name)) for word in row.split()}
        ran |= {step for job in jobs for step in job.get("strategy", {}).get("matrix", {}).get("step", [])}
        ran |= {"test"} if "- run: make test\n" in text(name) else set()
    assert ran == set(steps)
