"""What lets published libraries run in our environments without a changed file of theirs.

`suite.compat.detectron2` and `suite.compat.mmcv` are imported before the library they are named after. Their
import has an effect (the only such modules of the suite), so that a file may import the library at its top.
"""
