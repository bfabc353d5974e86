"""Where candidates are kept: their seeds, one row each, and their pictures in tar files of fixed bytes."""
