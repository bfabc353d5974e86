"""The corpus: one YAML file for each part of the suite, written as suite/audits/inputs/cases.py says."""
