"""Fine-tuning: stock Mask R-CNN on the target set, from a pre-trained checkpoint or from random tensors."""
