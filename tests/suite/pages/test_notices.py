"""The third-party notices say what the locks pin and what the packages say of themselves."""

import json

import pytest

from suite.audits.sbom import Pin
from suite.errors import BadInput
from suite.pages import notices
from suite.pages.assets import embedded
from suite.pages.notices import (
    FOLDER,
    TABLE,
    asked,
    installed,
    licence_of,
    package_of,
    pages,
    read_table,
    wanted,
)
from suite.provenance import ROOT

KNOWN = read_table(FOLDER / TABLE)
MADE = pages(KNOWN)


@pytest.mark.parametrize("name", MADE)
def test_a_page_is_what_the_locks_and_the_manifests_make_it(name):
    assert (FOLDER / name).read_text(encoding="utf-8") == MADE[name], "run `python -m suite.pages.notices`"


def test_no_other_page_is_there_and_no_row_of_a_package_that_no_lock_pins():
    assert {path.name for path in FOLDER.iterdir()} == set(MADE)
    assert set(KNOWN) == wanted()


@pytest.mark.parametrize("environment", ["suite", "workflow"])
def test_the_rows_are_what_the_installed_packages_say(environment):
    found = [row for row in installed(environment) if (row.name, row.version) in KNOWN]
    assert len(found) > 40
    assert [row for row in found if KNOWN[row.name, row.version] != row] == []


def test_a_lock_with_another_version_is_noticed(monkeypatch):
    monkeypatch.setattr(notices, "read_lock", lambda lock: [Pin("numpy", "0.0.1", ())])
    with pytest.raises(BadInput, match=r"no row for numpy 0\.0\.1"):
        pages(KNOWN)


@pytest.mark.parametrize(
    ("metadata", "licence"),
    [
        ({"license-expression": ["MIT"], "license": ["BSD"]}, "MIT"),
        ({"license": ["BSD"], "classifier": ["License :: OSI Approved :: MIT License"]}, "BSD"),
        ({"license": ["UNKNOWN"], "classifier": ["License :: OSI Approved :: MIT License"]}, "MIT License"),
        ({"license": ["Permission\nis given"], "classifier": ["License :: Public Domain"]}, "Public Domain"),
        ({"classifier": ["License :: DFSG approved", "License :: A", "License :: B"]}, "A; B"),
    ],
)
def test_the_most_exact_name_of_a_licence_is_taken(metadata, licence):
    assert licence_of("toy", metadata) == (licence, "metadata")


def test_a_package_that_names_none_is_looked_up_or_refused():
    licence, said_by = licence_of("namex", {})
    assert licence == "Apache-2.0" and said_by.startswith("by hand: ")
    with pytest.raises(BadInput, match="toy names no licence"):
        licence_of("toy", {"license": ["x" * 61]})


def test_the_homepage_is_not_the_page_of_an_index():
    index = "https://" + ".".join(("pypi", "org")) + "/project/toy"
    urls = [f"Download, {index}", "Docs, https://docs.toy", "Source, https://code.toy"]
    row = package_of({"name": ["Toy_A"], "version": ["1"], "license": ["MIT"], "project-url": urls})
    assert (row.name, row.homepage) == ("toy-a", "https://code.toy")
    assert (
        package_of({"name": ["t"], "version": ["1"], "license": ["MIT"], "home-page": [index]}).homepage == ""
    )


def test_what_no_environment_holds_comes_from_a_report_of_pip(tmp_path):
    metadata = {"name": "Toy", "version": "2", "license": "MIT", "project_url": ["Home, https://toy"]}
    report = tmp_path / "report.json"
    report.write_text(json.dumps({"install": [{"metadata": metadata}]}))
    assert [(row.name, row.licence, row.homepage) for row in asked(report)] == [("toy", "MIT", "https://toy")]


def test_the_text_of_every_embedded_licence_lies_in_the_repository():
    links = [row[3].partition("(../../")[2].rstrip(")") for row in embedded()]
    assert len(links) >= 5
    for link in links:
        assert len((ROOT / link).read_text(encoding="utf-8")) > 500
