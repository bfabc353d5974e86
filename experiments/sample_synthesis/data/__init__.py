"""Real photographs with boxes: the published data sets in their own layouts, your own, and the stand-ins."""
