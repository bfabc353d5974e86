"""What is in an image, as CycloneDX JSON made from the locks.

One document per toolchain and flavour. Its components are the Python packages of /opt/venv and /opt/workflow
with the digests that the locks accept, detectron2's sources where they are installed by a script, and, where
the image is there to be asked, Debian's packages, which no lock can hold (docker/README.md). The same locks
give the same document: it has no time, and its serial number comes from its content.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from suite.inspect_run import bootstrap, normal
from suite.manifest import key_of
from suite.provenance import ROOT

FORMAT, VERSION = "CycloneDX", "1.6"
SCHEMA = "http://cyclonedx.org/schema/bom-1.6.schema.json"
WORKFLOW_LOCK = ROOT / "workflow/requirements.lock"
REQUIREMENT = re.compile(r"^([\w.-]+)(?:\[[\w,-]+\])?==([\w.+!-]+)\s*(?:;\s*(.*?))?\s*(--hash=.*)$")
HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


@dataclass(frozen=True, order=True)
class Pin:
    """One line of a lock: a package, its version, the SHA-256 of each archive that may be installed."""

    name: str
    version: str
    digests: tuple[str, ...]
    marker: str = ""  # for which Pythons and machines; empty: all


def read_lock(lock: Path) -> list[Pin]:
    """The pins of a hashed requirements file, by name."""
    text = lock.read_text(encoding="utf-8").replace("\\\n", " ")
    pins = []
    for line in text.splitlines():
        found = REQUIREMENT.match(line)
        if found is None:
            raise ValueError(f"{lock}: {line!r} is no hashed requirement")
        name, version, marker, hashes = found.groups()
        pins.append(Pin(normal(name), version, tuple(HASH.findall(hashes)), marker or ""))
    return sorted(pins)


def toolchain_pins(toolchain: str, accel: str) -> list[Pin]:
    """All that the recipe of an environment installs from locks."""
    recipe = bootstrap().recipe(toolchain, accel)
    locks = [recipe.lock, *([recipe.nodeps] if recipe.nodeps else [])]
    return sorted(pin for lock in locks for pin in read_lock(lock))


def scripted_pins(toolchain: str) -> list[Pin]:
    """detectron2: sources without a wheel, by name and digest in the script that puts them there."""
    script = bootstrap().recipe(toolchain, "cpu").script
    if script is None:
        return []
    found = dict(re.findall(r'^(VERSION|SDIST_SHA256) = "(\w[\w.]*)"', _constants(script), re.MULTILINE))
    return [Pin(toolchain, found["VERSION"], (found["SDIST_SHA256"],))]


def _constants(script: Path) -> str:
    """The script's text with `A, B = "a", "b"` as two lines."""
    text = script.read_text(encoding="utf-8")
    return re.sub(r'^(\w+), (\w+) = ("[^"]*"), ("[^"]*")$', r"\1 = \3\n\2 = \4", text, flags=re.MULTILINE)


def encoded(text: str) -> str:
    """A part of a package URL: percent-encoded but for letters, digits and `-._~:`."""
    return quote(text, safe=":")


def python_component(pin: Pin, environment: str) -> dict[str, Any]:
    """A package of PyPI's kind in one of the image's environments."""
    url = f"pkg:pypi/{pin.name}@{encoded(pin.version)}"
    row: dict[str, Any] = {
        "type": "library",
        "bom-ref": f"{environment}:{url}",
        "name": pin.name,
        "version": pin.version,
        "purl": url,
        "scope": "required",
        "properties": [{"name": "syndet:environment", "value": environment}],
        # The digests are of the archives, one a platform, not of the files that are installed.
        "externalReferences": [
            {
                "type": "distribution",
                "url": url,
                "hashes": [{"alg": "SHA-256", "content": digest} for digest in pin.digests],
            }
        ],
    }
    if pin.marker:
        row["properties"].append({"name": "syndet:marker", "value": pin.marker})
    return row


def debian_component(name: str, version: str, machine: str) -> dict[str, Any]:
    """A package of Debian, as dpkg names it."""
    url = f"pkg:deb/debian/{encoded(name)}@{encoded(version)}?arch={machine}"
    return {
        "type": "library", "bom-ref": url, "name": name, "version": version, "purl": url, "scope": "required",
    }  # fmt: skip


def parse_dpkg(text: str) -> Iterator[tuple[str, str, str]]:
    """Name, version and architecture from `dpkg-query -W -f '${Package} ${Version} ${Architecture}\\n'`."""
    for line in sorted(set(text.splitlines())):
        name, version, machine = line.split()
        yield name, version, machine


def document(
    toolchain: str, accel: str, debian: Iterable[tuple[str, str, str]] = (), image: str | None = None
) -> dict[str, Any]:
    """The SBOM of an image. debian: its packages, where it was asked; image: its ID."""
    rows = [python_component(pin, "/opt/venv") for pin in toolchain_pins(toolchain, accel)]
    rows += [python_component(pin, "/opt/venv") for pin in scripted_pins(toolchain)]
    rows += [python_component(pin, "/opt/workflow") for pin in read_lock(WORKFLOW_LOCK)]
    rows += [debian_component(*found) for found in debian]
    name = f"syndet/{toolchain}:{accel}"
    told = [{"name": "syndet:image-id", "value": image}] if image is not None else []
    root = {
        "type": "container", "bom-ref": name, "name": f"syndet/{toolchain}", "version": accel,
        **({"properties": told} if told else {}),
    }  # fmt: skip
    return {
        "$schema": SCHEMA,
        "bomFormat": FORMAT,
        "specVersion": VERSION,
        "serialNumber": uuid.UUID(key_of({"root": root, "rows": rows})[:32], version=5).urn,
        "version": 1,
        "metadata": {"component": root},
        "components": rows,
        "dependencies": [{"ref": name, "dependsOn": [row["bom-ref"] for row in rows]}],
    }


def unlike_image(tree: dict[str, Any], environment: str, installed: Iterable[Sequence[str]]) -> list[str]:
    """What an environment of the image (`/opt/venv`) has otherwise than its SBOM says, in words.

    installed: name and version of each distribution there. A component with a marker may be absent.
    """
    told, have = [], {}
    for name, version in installed:
        if normal(name) in have:
            told.append(f"{normal(name)} is installed twice")
        have[normal(name)] = version
    said = {}
    for row in tree["components"]:
        texts = {pair["name"]: pair["value"] for pair in row.get("properties", ())}
        if texts.get("syndet:environment") == environment:
            said[row["name"]] = (row["version"], "syndet:marker" in texts)
    for name, (version, may_lack) in said.items():
        if name not in have and not may_lack:
            told.append(f"{name} is not installed")
        elif have.get(name, version) != version:
            told.append(f"{name} {have[name]} instead of {version}")
    return told + [f"{name} {have[name]} is in no lock" for name in sorted(have.keys() - said.keys())]
