"""Training of classifiers: one on real images, which filters, and many on generated images."""
