"""Draw the QR codes of assets/sample_synthesis/qr_photos, before the rendering that prints them on things.

    python -m assets.make.sample_synthesis_codes assets/sample_synthesis/qr_photos/codes.json

In an environment with segno (the TensorFlow toolchain); Blender's has none, hence the file. Payloads are
lower-case letters, versions 1 to 9, error correction M, as in "Sample synthesis", section on the QR codes.
"""

from __future__ import annotations

import argparse
import base64
import sys
from pathlib import Path
from typing import Any

import numpy as np

from assets.make.sample_synthesis_plan import SEED, SETS, stream
from suite.errors import guard
from suite.manifest import write_json
from suite.seeds import item_rng

CAPACITY = (0, 14, 26, 42, 62, 84, 106, 122, 152, 180)  # bytes of versions 0..9 at M; ISO/IEC 18004, table 7
CODES_A_PICTURE = ((1, 2, 3), (0.65, 0.25, 0.10))
LETTERS = np.array(list("abcdefghijklmnopqrstuvwxyz"))


def draw_code(rng: np.random.Generator) -> dict[str, Any]:
    """One code: version, payload that fills more than the version below could hold, packed dark modules."""
    import segno

    version = int(rng.integers(1, len(CAPACITY)))
    length = int(rng.integers(CAPACITY[version - 1] + 1, CAPACITY[version] + 1))
    payload = "".join(rng.choice(LETTERS, length).tolist())
    code = segno.make(payload, version=version, error="m", mode="byte", boost_error=False, micro=False)
    modules = np.array([list(row) for row in code.matrix], dtype=bool)
    return {
        "version": version,
        "payload": payload,
        "modules": base64.b64encode(np.packbits(modules).tobytes()).decode(),
    }


def unpack(code: dict[str, Any]) -> np.ndarray:
    """The modules (n, n) bool of a code of the file, True where dark, n = 17 + 4 version."""
    side = 17 + 4 * code["version"]
    bits = np.unpackbits(np.frombuffer(base64.b64decode(code["modules"]), dtype=np.uint8))
    return bits[: side * side].reshape(side, side).astype(bool)


def draw_all(seed: int = SEED) -> dict[str, list[list[dict[str, Any]]]]:
    """The codes of each picture of each split."""
    counts, shares = CODES_A_PICTURE
    drawn: dict[str, list[list[dict[str, Any]]]] = {}
    for split, size in SETS["qr_photos"].splits.items():
        drawn[split] = []
        for index in range(size):
            rng = item_rng(seed, stream("qr_photos", split, "code"), index)
            drawn[split].append([draw_code(rng) for _ in range(rng.choice(counts, p=shares))])
    return drawn


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description="Draw the QR codes of assets/sample_synthesis/qr_photos.")
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    write_json(options.out, draw_all())
    return 0


if __name__ == "__main__":
    sys.exit(guard(main))
