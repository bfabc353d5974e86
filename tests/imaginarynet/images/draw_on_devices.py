"""Draw the same candidates with all devices there are; for test_dalle_mini.py, which lets XLA make several.

python -m tests.imaginarynet.images.draw_on_devices FOLDER BATCH FILE
"""

import sys
from pathlib import Path

import jax
import numpy as np

from tests.imaginarynet.images.painters import candidates, load


def main(folder, batch, file):
    """Write the pictures of ten candidates to `file`."""
    painter = load(Path(folder), batch=int(batch), devices=jax.devices())
    prompts, seeds = candidates(10)
    found = []
    for start in range(0, 10, painter.capacity):
        stop = start + painter.capacity
        found.append(painter.draw(prompts[start:stop], seeds[start:stop]).pictures)
    np.save(file, np.concatenate(found))
    print(len(jax.devices()))


if __name__ == "__main__":
    main(*sys.argv[1:])
