"""Stand-in faces: the crops of Labeled Faces in the Wild inside the installed scikit-image, in two halves.

`lfw_subset.npy` holds 200 grey crops of 25 pixels a side, faces first. Faces with an even number are pasted,
those with an odd number are for composing test pictures. The halves share no picture; whether they share a
person is not known, the file names nobody. Nothing is copied into the repository.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from experiments.sample_synthesis.objects.package_data import package_file
from suite.errors import BadInput

FILE = "lfw_subset.npy"
NUM_FACES, SIDE = 100, 25  # of 200 rows: the others are crops without a face

Half = Literal["paste", "test"]


def lfw_rows(half: Half) -> np.ndarray:
    """Rows of the file that belong to a half, int64 (50,)."""
    return np.arange(0 if half == "paste" else 1, NUM_FACES, 2)


def lfw_crops(half: Half) -> np.ndarray:
    """The grey crops of a half, uint8 (50, 25, 25). Raises Missing, BadInput."""
    path = package_file(FILE)
    try:
        crops = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise BadInput(
            f"cannot be read ({type(error).__name__})", file=path, fix="install scikit-image again"
        ) from None
    if crops.ndim != 3 or crops.shape[1:] != (SIDE, SIDE) or len(crops) < NUM_FACES:
        raise BadInput(f"has the shape {crops.shape}", file=path, fix="install the locked scikit-image")
    return np.rint(crops[lfw_rows(half)] * 255.0).astype(np.uint8)
