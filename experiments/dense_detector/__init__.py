"""A minimal dense single-stage object detector, after ObjectDetectionFromScratch (Chris Bate, 2019)."""
