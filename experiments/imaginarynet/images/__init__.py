"""The pictures of DALL-E mini, drawn on JAX."""
