"""Reading and writing detection data: COCO JSON, COCO results, Pascal VOC XML. Every set is checked on entry.

Needs NumPy and the standard library (Pillow for the optional deep check). Masks live in
`suite.datasets.masks`, which needs pycocotools and is therefore imported by name only.
"""

from suite.datasets.coco import read_coco, write_coco
from suite.datasets.detections import Detections, read_detections, write_detections
from suite.datasets.records import CocoAnnotation, CocoCategory, CocoImage, CocoSet
from suite.datasets.voc import coco_to_voc, read_voc, voc_to_coco, write_voc
from suite.datasets.voc_xml import VocImage, VocObject

__all__ = [
    "CocoAnnotation",
    "CocoCategory",
    "CocoImage",
    "CocoSet",
    "Detections",
    "VocImage",
    "VocObject",
    "coco_to_voc",
    "read_coco",
    "read_detections",
    "read_voc",
    "voc_to_coco",
    "write_coco",
    "write_detections",
    "write_voc",
]
