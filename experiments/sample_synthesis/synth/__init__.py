"""From objects and backgrounds to detection samples: layout, augmentation, pasting, files. NumPy and OpenCV
only.
"""
