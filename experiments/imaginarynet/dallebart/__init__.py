"""DalleBart, the text-to-image transformer of DALL-E mini, on JAX."""
