"""SOLID: label-free synthetic pre-training of object detectors (Law and Deng, arXiv 2208.04268)."""
