"""ImaginaryNet: detectors that learn from imagined pictures (README.md)."""
