"""Training of the conditional GAN, its checkpoints, standing statistics and sheets of samples."""
