"""Inception score (Salimans et al. 2016): exp of the mean KL divergence of p(y|x) from its mean over x.

Between 1 (every picture gets the same answer) and K (sure of every picture, all classes equally often). As in
the published code there are no splits, so no deviation either. With another network than Inception it is
another number.
"""

from __future__ import annotations

import numpy as np


def inception_score(probabilities: np.ndarray) -> float:
    """The score of class probabilities (n, K), rows summing to 1; 0 log 0 counts as 0."""
    p = np.asarray(probabilities, dtype=np.float64)
    if p.ndim != 2 or not len(p):
        raise ValueError(f"probabilities {p.shape}: rows of class probabilities are needed")
    marginal = np.broadcast_to(p.mean(axis=0), p.shape)
    ratio = np.divide(p, marginal, out=np.ones_like(p), where=p > 0)
    return float(np.exp(np.sum(p * np.log(ratio), axis=1).mean()))
