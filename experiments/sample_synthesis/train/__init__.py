"""Training of detectors: order of items, input pipeline, loop, checkpoints, arms and their stages."""
