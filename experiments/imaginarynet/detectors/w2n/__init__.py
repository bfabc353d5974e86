"""W2N: the boxes of a weakly trained detector as noisy labels of a Faster R-CNN (arXiv 2207.12104)."""
