"""Backbones without top; each gives the feature maps that the heads look at. Statics: detector/archs.py."""
