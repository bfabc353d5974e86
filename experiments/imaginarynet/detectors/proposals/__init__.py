"""Class-agnostic boxes for detectors that have no boxes to learn from: search, files, recall, other forms."""
