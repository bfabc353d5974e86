"""The pictures of a latent diffusion pipeline of the v1 class, drawn by diffusers on PyTorch."""
