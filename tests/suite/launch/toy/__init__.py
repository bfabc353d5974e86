"""A tiny real system, copied into a checkout of its own: numbers are drawn, squared in shards, added up."""
