"""The embedded models as shipped: digests, sizes, what their trainings reached on held-out pictures."""

from __future__ import annotations

import csv
import json
import shutil
import struct
from pathlib import Path

import pytest

from experiments.imaginarynet import models
from experiments.imaginarynet.models import DIGESTS, EMBEDDED, EMBEDDED_ROOT, find_model
from suite.errors import BadInput
from suite.manifest import file_digest

KINDS = ("dallebart", "vqgan", "tokenizer", "clip", "diffusion")
BUDGET = 12_000_000  # bytes of all files together
WANTED = json.loads((EMBEDDED_ROOT / DIGESTS).read_text())
FACTS = json.loads((EMBEDDED_ROOT / "training.json").read_text())


def header_of(path: Path) -> dict:
    with path.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        return json.loads(stream.read(length))


def test_every_file_is_listed_with_its_digest_and_is_that_file():
    paths = [path for path in EMBEDDED_ROOT.rglob("*") if path.is_file()]
    files = {path.relative_to(EMBEDDED_ROOT).as_posix() for path in paths}
    assert files - {DIGESTS} == set(WANTED)
    assert all(file_digest(EMBEDDED_ROOT / name) == digest for name, digest in WANTED.items())


def test_all_together_stay_below_twelve_megabytes():
    assert sum((EMBEDDED_ROOT / name).stat().st_size for name in WANTED) <= BUDGET


def test_weights_are_half_precision_safetensors_and_nothing_else():
    suffixes = {Path(name).suffix for name in WANTED}
    assert suffixes == {".json", ".safetensors", ".txt", ".csv"}
    for name in WANTED:
        if name.endswith(".safetensors"):
            header = header_of(EMBEDDED_ROOT / name)
            kinds = {row["dtype"] for key, row in header.items() if key != "__metadata__"}
            assert kinds - {"I64"} == {"F16"}, name


@pytest.mark.parametrize("kind", KINDS)
def test_each_model_is_found(kind):
    assert find_model(kind, EMBEDDED).is_dir()


def test_one_byte_of_a_payload_that_changed_is_refused_by_file(tmp_path, monkeypatch):
    root = tmp_path / EMBEDDED
    shutil.copytree(EMBEDDED_ROOT, root)
    monkeypatch.setattr(models, "EMBEDDED_ROOT", root)
    monkeypatch.setattr(models, "ROOT", tmp_path)
    assert find_model("vqgan", EMBEDDED) == root / "vqgan"
    path = root / "vqgan" / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(BadInput, match="SHA-256"):
        find_model("vqgan", EMBEDDED)
    assert find_model("clip", EMBEDDED) == root / "clip"


def test_the_recorded_trainings_reached_more_than_noise():
    vqgan, dallebart = FACTS["vqgan"], FACTS["dallebart"]
    assert vqgan["held_out_psnr"] >= max(20, vqgan["held_out_psnr_of_mean_picture"] + 6)
    assert vqgan["held_out_perplexity"] >= 30
    assert dallebart["held_out_loss"] <= dallebart["held_out_loss_of_frequencies"] - 0.5
    assert FACTS["clip"]["held_out"]["accuracy"] >= 3 / len(FACTS["clip"]["classes"])


def test_the_curves_end_in_the_recorded_figures():
    rows = list(csv.DictReader((EMBEDDED_ROOT / "curves.csv").open()))
    last = {(row["network"], row["figure"]): float(row["value"]) for row in rows}
    assert last["vqgan", "psnr"] == pytest.approx(FACTS["vqgan"]["held_out_psnr"], abs=0.1)
    assert last["clip", "val_accuracy"] == pytest.approx(FACTS["clip"]["held_out"]["accuracy"], abs=0.02)
    assert last["diffusion.unet", "held_out_loss"] == pytest.approx(
        FACTS["diffusion"]["unet"]["held_out_loss"], rel=1e-4
    )
