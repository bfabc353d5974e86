"""What detectors reach: the published mAP, VOC and COCO metrics, and the tables of results."""
