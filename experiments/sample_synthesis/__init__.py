"""Sample synthesis: detectors that are pretrained on pasted cut-outs, on which nobody drew a box (README)."""
