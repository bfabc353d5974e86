"""The recorded parity with dalle-mini 0.1.5; made anew where LEGACY_JAX names its environment (README.md)."""

import csv
import os
import subprocess
from pathlib import Path

import pytest

from suite.provenance import ROOT

RESULT = Path(__file__).with_name("result.csv")
LEGACY = os.environ.get("LEGACY_JAX")
TOLERANCE = 1e-4
SIZES, LAYOUTS = 2, ("stacked", "per layer")
DIRECTIONS = ("their weights in ours", "our weights in theirs")
OUTPUTS = (
    "encoder", "logits", "logits of the empty text", "logits of the trimmed text", "logits with the cache",
)  # fmt: skip


def check(path):
    """Every comparison is there and within its bound."""
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    sizes = list(dict.fromkeys(row["size"] for row in rows if row["layout"]))
    assert len(sizes) == SIZES
    values = {(row["size"], row["layout"], row["what"]): row for row in rows}
    for size in sizes:
        for layout in LAYOUTS:
            counts = {values[size, layout, f"parameters, {whose}"]["value"] for whose in ("ours", "theirs")}
            assert len(counts) == 1
            for direction in DIRECTIONS:
                for output in OUTPUTS:
                    row = values[size, layout, f"{direction}: {output}"]
                    assert float(row["value"]) <= TOLERANCE
                    assert float(row["std"]) > 0.1  # else anything would agree
    equal = [row for row in rows if "equal" in row["what"]]
    assert len(equal) == SIZES * len(LAYOUTS) + SIZES + 3  # settings, greedy codes, texts
    assert all(float(row["value"]) == 1.0 for row in equal)


def test_the_recorded_differences_are_within_the_tolerance():
    check(RESULT)


@pytest.mark.slow
@pytest.mark.skipif(LEGACY is None, reason="LEGACY_JAX names no environment with dalle-mini (README.md)")
def test_the_differences_made_anew_are_within_the_tolerance(tmp_path):
    file = tmp_path / "result.csv"
    command = [LEGACY, "-m", "tests.imaginarynet.parity.compare", str(file)]
    subprocess.run(command, check=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    check(file)
