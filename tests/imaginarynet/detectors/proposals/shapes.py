"""Pictures with plain shapes, and settings of the search that cost little."""

import numpy as np

from experiments.imaginarynet.config_detectors import ProposalsConfig
from experiments.imaginarynet.detectors.proposals.records import Proposals

SEARCH = ProposalsConfig(side=0, min_side=2, max_proposals=2000)
OBJECT = (20, 12, 44, 40)  # x1, y1, x2, y2 of the object in `shapes`


def shapes(height=48, width=64, seed=0):
    """uint8 (height, width, 3): a bright box and a dark one on a grey ground with a little noise."""
    rng = np.random.default_rng(seed)
    picture = rng.integers(96, 104, (height, width, 3))
    x1, y1, x2, y2 = OBJECT
    picture[y1:y2, x1:x2] = (220, 40, 40)
    picture[2:9, 50:60] = (20, 20, 120)
    return picture.astype(np.uint8)


def proposals(*rows, scores=None):
    """Proposals from corner rows."""
    return Proposals.of(np.array(rows, np.float32).reshape(-1, 4), scores)
