"""The filter: CLIP's probability of every class for every picture, and what is kept by it."""
