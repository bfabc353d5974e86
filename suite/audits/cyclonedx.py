"""The rules of CycloneDX 1.5 and 1.6 as far as our documents use the format, with the standard library alone.

Source: https://cyclonedx.org/schema/bom-1.6.schema.json and the purl specification
(https://github.com/package-url/purl-spec). A key that the format has and we do not use is a fault, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

VERSIONS = ("1.5", "1.6")
SERIAL = re.compile(r"urn:uuid:[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
# pkg:<type>/[<namespace>/]<name>@<version>[?<key>=<value>&...]; what is not of these letters is encoded.
SEGMENT = r"(?:[A-Za-z0-9._~:-]|%[0-9A-F]{2})+"
QUALIFIER = rf"[a-z._-]+={SEGMENT}"
PURL = re.compile(rf"pkg:[a-z][a-z0-9.-]*(?:/{SEGMENT})+@{SEGMENT}(?:\?{QUALIFIER}(?:&{QUALIFIER})*)?")
PYPI = re.compile(r"pkg:pypi/[a-z0-9]+(?:-[a-z0-9]+)*@.*")  # lower case, one hyphen between words
DIGITS = {"SHA-256": 64, "SHA-512": 128}
TYPES = ("application", "container", "file", "framework", "library", "operating-system")
SCOPES = ("required", "optional", "excluded")
TREE_KEYS = {
    "$schema", "bomFormat", "specVersion", "serialNumber", "version", "metadata", "components",
    "dependencies",
}  # fmt: skip
COMPONENT_KEYS = {"type", "bom-ref", "name", "version", "purl", "scope", "properties", "externalReferences"}


def faults(tree: Mapping[str, Any]) -> list[str]:
    """What a reader of CycloneDX would stumble over, in words; none where the document is well-formed."""
    rows = tree.get("components") or []
    root = tree.get("metadata", {}).get("component", {})
    told = [*_head_faults(tree), *_component_faults(root, is_root=True)]
    for row in rows:
        told += _component_faults(row)
    return told + list(_reference_faults([root, *rows], tree.get("dependencies") or []))


def _head_faults(tree: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"{name} is missing" for name in sorted(TREE_KEYS - tree.keys()))
    yield from (f"{name} is no key of a document" for name in sorted(tree.keys() - TREE_KEYS))
    if "components" in tree and not tree["components"]:
        yield "components is empty"
    if tree.get("bomFormat", "CycloneDX") != "CycloneDX":
        yield f"bomFormat is {tree['bomFormat']}"
    version = tree.get("specVersion", VERSIONS[0])
    if version not in VERSIONS:
        yield f"specVersion is {version}"
    elif "specVersion" in tree and not str(tree.get("$schema", "")).endswith(f"/bom-{version}.schema.json"):
        yield f"$schema is not that of {version}"
    if not SERIAL.fullmatch(str(tree.get("serialNumber", ""))) and "serialNumber" in tree:
        yield f"serialNumber {tree['serialNumber']} is no UUID"
    if "version" in tree and (type(tree["version"]) is not int or tree["version"] < 1):
        yield f"version {tree['version']} is no number from 1"


def _component_faults(row: Mapping[str, Any], *, is_root: bool = False) -> Iterator[str]:
    name = row.get("name") or "a component"
    needs = ("type", "bom-ref", "name", "version") + (() if is_root else ("purl",))
    yield from (f"{name} has no {key}" for key in needs if not row.get(key))
    yield from (f"{name}: {key} is no key of a component" for key in sorted(row.keys() - COMPONENT_KEYS))
    if row.get("type", TYPES[0]) not in TYPES:
        yield f"{name}: type is {row['type']}"
    if row.get("scope", SCOPES[0]) not in SCOPES:
        yield f"{name}: scope is {row['scope']}"
    if row.get("purl") and not is_purl(row["purl"]):
        yield f"{name}: {row['purl']} is no purl"
    for pair in row.get("properties", ()):
        if pair.keys() != {"name", "value"} or not all(isinstance(text, str) for text in pair.values()):
            yield f"{name}: a property is not a name and a text"
    for reference in row.get("externalReferences", ()):
        yield from (f"{name}: a reference has no {key}" for key in ("type", "url") if not reference.get(key))
        if not reference.get("hashes"):
            yield f"{name}: a reference has no digest"
        for digest in reference.get("hashes", ()):
            if not _is_digest(digest):
                yield f"{name}: {digest.get('content')} is no {digest.get('alg')}"


def is_purl(text: str) -> bool:
    """Whether a package URL has the specification's form, one of PyPI's kind also the name's."""
    return bool(PURL.fullmatch(text)) and (not text.startswith("pkg:pypi/") or bool(PYPI.fullmatch(text)))


def _is_digest(row: Mapping[str, Any]) -> bool:
    return (
        re.fullmatch(rf"[0-9a-f]{{{DIGITS.get(row.get('alg', ''), 0)}}}", str(row.get("content"))) is not None
    )


def _reference_faults(rows: Sequence[Mapping[str, Any]], links: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Two of one reference, one to nothing, a component that nothing depends on."""
    refs = [str(row["bom-ref"]) for row in rows if row.get("bom-ref")]
    yield from (f"{ref} stands there twice" for ref in sorted({ref for ref in refs if refs.count(ref) > 1}))
    asked = {ref for row in links for ref in (row["ref"], *row["dependsOn"])}
    yield from (f"{ref} is nowhere" for ref in sorted(asked - set(refs)))
    yield from (f"{ref} belongs to nothing" for ref in sorted(set(refs) - asked))
