"""Kept pictures as other programs read them: VOC, COCO, unlabelled, WebDataset, Parquet, as published.

A picture has labels but no boxes. Formats that cannot do without a box get one around the whole picture,
marked `label_level: image`, so that nobody takes it for the truth.
"""
