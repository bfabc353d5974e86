"""Detection metrics: COCO AP (by pycocotools), VOC AP (11 points or area), CorLoc, box IoU (NumPy)."""
