"""The cells of the comparison: one training and one test each."""
