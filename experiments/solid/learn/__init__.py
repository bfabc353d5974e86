"""SOLID learns: loaders, pre-training, fine-tuning, evaluation (detectron2)."""
