"""Where a stage ran, as its manifest says it."""

import hashlib
import json
import sys

from suite import provenance


def in_image(monkeypatch, folder, text, prefix="/opt/venv"):
    """As if this process ran in an image with that /opt/image.json."""
    record = folder / "image.json"
    record.write_text(text)
    monkeypatch.setattr(provenance, "IMAGE_RECORD", record)
    monkeypatch.setattr(sys, "prefix", prefix)


def test_an_environment_of_a_lock_has_no_image_and_the_digest_of_the_lock(tmp_path, monkeypatch):
    (tmp_path / provenance.LOCK_STAMP).write_text("ab" * 32 + "\n")
    monkeypatch.setattr(provenance, "IMAGE_RECORD", tmp_path / "absent.json")
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    found = provenance.environment()
    assert found["image"] is None
    assert found["lock_sha256"] == "ab" * 32
    assert len(found["packages_sha256"]) == 64


def test_in_an_image_the_digest_of_what_is_in_it_and_the_id_that_the_launcher_told_are_kept(
    tmp_path, monkeypatch
):
    text = json.dumps({"toolchain": "jax", "accel": "cpu", "lock_sha256": "cd" * 32})
    in_image(monkeypatch, tmp_path, text)
    monkeypatch.setenv(provenance.IMAGE_VARIABLE, "sha256:0123")
    found = provenance.environment()
    assert found["image"] == {
        "toolchain": "jax",
        "accel": "cpu",
        "record_sha256": hashlib.sha256(text.encode()).hexdigest(),
        "id": "sha256:0123",
    }
    assert found["lock_sha256"] == "cd" * 32
    in_image(monkeypatch, tmp_path, text + " ")
    monkeypatch.delenv(provenance.IMAGE_VARIABLE)
    other = provenance.environment()["image"]
    assert other["id"] is None
    assert other["record_sha256"] != found["image"]["record_sha256"]


def test_another_environment_beside_an_image_record_is_not_that_image(tmp_path, monkeypatch):
    in_image(monkeypatch, tmp_path, '{"toolchain": "jax"}', prefix=str(tmp_path))
    assert provenance.environment()["image"] is None
