"""Runs in the tensorflow image: a small Keras model learns."""

import keras
import numpy as np
import skimage.data
import tensorflow as tf

assert tf.linalg.matmul([[1.0, 2.0]], [[3.0], [4.0]]).numpy().tolist() == [[11.0]]
keras.utils.set_random_seed(0)
layers = keras.layers
model = keras.Sequential([layers.Conv2D(4, 3), layers.GlobalAveragePooling2D(), layers.Dense(2)])
model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
rng = np.random.default_rng(0)
pictures, labels = rng.normal(size=(32, 8, 8, 3)).astype("float32"), np.arange(32) % 2
pictures[labels == 1] += 1
history = model.fit(pictures, labels, epochs=5, verbose=0).history["loss"]
assert history[-1] < history[0]
assert skimage.data.lfw_subset().shape == (200, 25, 25)
