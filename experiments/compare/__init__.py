"""The comparison: one target, two detectors, every kind of synthetic data that this suite makes.

This folder alone imports other experiments: to compare them is what it is for.
"""
