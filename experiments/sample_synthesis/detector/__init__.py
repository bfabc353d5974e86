"""The SSD-style detectors: anchors, matching, encoding, loss, decoding, networks, ImageNet weights."""
