"""Layout, augmentation, pasting, the stream and its files."""
