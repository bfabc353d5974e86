"""Detectors learned from imaginary and real pictures: proposals, training, evaluation, prediction."""
