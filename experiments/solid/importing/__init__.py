"""The authors' released files: their Zarr 2 store, whole or in tar parts, and detectron2 checkpoints."""
