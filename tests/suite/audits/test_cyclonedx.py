import copy

import pytest

from suite.audits import cyclonedx, sbom

WHOLE = sbom.document("jax", "cpu", [("libstdc++6", "1:12.2.0-14+deb12u1", "amd64")])


def row(tree):
    return tree["components"][0]


def digest(tree):
    return row(tree)["externalReferences"][0]["hashes"][0]


DAMAGES = [
    (lambda tree: tree["components"].append(row(tree)), "twice"),
    (lambda tree: row(tree).pop("version"), "has no version"),
    (lambda tree: row(tree).pop("purl"), "has no purl"),
    (lambda tree: row(tree).update(type="package"), "type is package"),
    (lambda tree: row(tree).update(scope="all"), "scope is all"),
    (lambda tree: row(tree).update(license="MIT"), "license is no key of a component"),
    (lambda tree: row(tree).update(purl="pypi/absl-py@2"), "no purl"),
    (lambda tree: row(tree).update(purl="pkg:pypi/Absl_Py@2"), "no purl"),
    (lambda tree: row(tree).update(purl="pkg:pypi/absl-py@2+cpu"), "no purl"),
    (lambda tree: row(tree)["properties"].append({"name": "a", "value": 1}), "not a name and a text"),
    (lambda tree: digest(tree).update(content="abc"), "abc is no SHA-256"),
    (lambda tree: digest(tree).update(alg="sha256"), "is no sha256"),
    (lambda tree: row(tree)["externalReferences"][0].update(hashes=[]), "a reference has no digest"),
    (lambda tree: row(tree)["externalReferences"][0].pop("url"), "a reference has no url"),
    (lambda tree: tree["dependencies"][0]["dependsOn"].append("x"), "x is nowhere"),
    (lambda tree: tree["dependencies"][0]["dependsOn"].pop(), "belongs to nothing"),
    (lambda tree: tree.pop("specVersion"), "specVersion is missing"),
    (lambda tree: tree.update(specVersion="1.5"), "$schema is not that of 1.5"),
    (lambda tree: tree.update(specVersion="9"), "specVersion is 9"),
    (lambda tree: tree.update(bomFormat="SPDX"), "bomFormat is SPDX"),
    (lambda tree: tree.update(serialNumber="urn:uuid:1"), "is no UUID"),
    (lambda tree: tree.update(version="1"), "is no number from 1"),
    (lambda tree: tree.update(notes="x"), "notes is no key of a document"),
]


def test_our_document_has_no_fault():
    assert cyclonedx.faults(WHOLE) == []


@pytest.mark.parametrize(("damage", "told"), DAMAGES, ids=[told for _, told in DAMAGES])
def test_one_damage_is_one_fault_that_says_what_it_is(damage, told):
    tree = copy.deepcopy(WHOLE)
    damage(tree)
    (fault,) = cyclonedx.faults(tree)
    assert told in fault


@pytest.mark.parametrize(
    ("text", "holds"),
    [  # forms of the purl specification
        ("pkg:pypi/torch@2.7%2Bcpu", True),
        ("pkg:deb/debian/libstdc%2B%2B6@1:12.2.0-14%2Bdeb12u1?arch=amd64", True),
        ("pkg:deb/debian/libstdc++6@12.2.0-14?arch=amd64", False),
        ("pkg:pypi/torch", False),
        ("PKG:pypi/torch@1", False),
    ],
)
def test_a_package_url_is_told_by_its_form(text, holds):
    assert cyclonedx.is_purl(text) is holds
