"""GaFi: classifiers that learn from generated pictures alone (README.md)."""
