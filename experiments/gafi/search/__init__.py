"""The search of GaFi: scalar after scalar, each candidate a classifier trained on generated pictures."""
