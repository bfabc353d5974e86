"""Instance detection: a Mask R-CNN learns to find the objects of the query pictures; no label is read."""
