"""Detectors that learn from boxes, with or without a teacher for unlabelled pictures, on mmdet."""
