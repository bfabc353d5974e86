"""Networks, losses and optimisers, written with `keras.ops` so that TensorFlow and JAX run the same code."""
