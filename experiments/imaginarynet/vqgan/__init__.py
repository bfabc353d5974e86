"""The picture tokenizer of DALL-E mini: a VQGAN in JAX, pictures in [0, 1] to codes and back."""
