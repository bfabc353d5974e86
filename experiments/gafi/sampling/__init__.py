"""Synthetic sets: generate, score with the real classifier, select by class, keep, recycle, unite."""
