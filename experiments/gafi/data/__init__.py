"""The five data sets: found, read, split, prepared. fetch.py alone uses the network."""
