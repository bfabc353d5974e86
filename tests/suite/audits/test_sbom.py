import json
import re

import pytest

from suite.audits import cyclonedx, sbom
from suite.inspect_run import bootstrap
from suite.tools import toolchains

FLAVOURS = [(toolchain, accel) for toolchain in toolchains() for accel in ("cpu", "cuda")]
DPKG = "zlib1g 1:1.2.13.dfsg-1 amd64\nlibc6 2.36-9+deb12u13 amd64\n"


@pytest.mark.parametrize(("toolchain", "accel"), FLAVOURS)
def test_every_package_and_digest_of_the_locks_stands_there_and_no_other(toolchain, accel):
    recipe = bootstrap().recipe(toolchain, accel)
    texts = [lock.read_text() for lock in (recipe.lock, recipe.nodeps, sbom.WORKFLOW_LOCK) if lock]
    tree = sbom.document(toolchain, accel)
    scripted = len(sbom.scripted_pins(toolchain))
    pinned = sum(len(re.findall(r"^[\w.-]+(?:\[.*\])?==", text, re.MULTILINE)) for text in texts)
    assert len(tree["components"]) == pinned + scripted
    told = {
        row["content"]
        for component in tree["components"]
        for reference in component["externalReferences"]
        for row in reference["hashes"]
    }
    locked = {digest for text in texts for digest in re.findall(r"sha256:([0-9a-f]{64})", text)}
    assert locked < told if scripted else locked == told
    assert cyclonedx.faults(tree) == []


def test_the_same_locks_give_the_same_document_and_others_another_serial_number():
    one, again, other = (sbom.document("jax", accel) for accel in ("cpu", "cpu", "cuda"))
    assert json.dumps(one) == json.dumps(again)
    assert one["serialNumber"] != other["serialNumber"]
    assert re.fullmatch(r"urn:uuid:[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}", one["serialNumber"])


def test_detectron2_which_no_lock_holds_is_named_with_its_digest():
    (pin,) = sbom.scripted_pins("detectron2")
    assert (pin.name, pin.version, len(pin.digests[0])) == ("detectron2", "0.6", 64)
    assert sbom.scripted_pins("jax") == []


def test_packages_of_debian_are_told_where_the_image_was_asked():
    tree = sbom.document("jax", "cpu", list(sbom.parse_dpkg(DPKG)), image="sha256:abc")
    urls = [row["purl"] for row in tree["components"] if row["purl"].startswith("pkg:deb")]
    assert urls == [
        "pkg:deb/debian/libc6@2.36-9%2Bdeb12u13?arch=amd64",
        "pkg:deb/debian/zlib1g@1:1.2.13.dfsg-1?arch=amd64",
    ]
    assert tree["metadata"]["component"]["properties"] == [{"name": "syndet:image-id", "value": "sha256:abc"}]
    assert cyclonedx.faults(tree) == []


def test_a_line_without_a_digest_is_no_lock(tmp_path):
    lock = tmp_path / "requirements.lock"
    lock.write_text("numpy==2.0\n")
    with pytest.raises(ValueError, match="no hashed requirement"):
        sbom.read_lock(lock)


def test_what_an_image_has_otherwise_than_its_document_is_told():
    tree = {
        "components": [
            sbom.python_component(sbom.Pin("a-b", "1", ()), "/opt/venv"),
            sbom.python_component(sbom.Pin("c", "2", ()), "/opt/venv"),
            sbom.python_component(sbom.Pin("d", "3", (), "sys_platform == 'win32'"), "/opt/venv"),
            sbom.python_component(sbom.Pin("f", "3", ()), "/opt/workflow"),
        ]
    }
    assert sbom.unlike_image(tree, "/opt/venv", [("A_b", "1"), ("c", "2")]) == []
    told = ["a-b 9 instead of 1", "c is not installed", "e 5 is in no lock"]
    assert sbom.unlike_image(tree, "/opt/venv", [("a.b", "9"), ("e", "5")]) == told
    assert sbom.unlike_image(tree, "/opt/workflow", [("f", "3"), ("F", "4")]) == [
        "f is installed twice", "f 4 instead of 3",
    ]  # fmt: skip
