"""Makers of the embedded sets. They call code of the experiments; nothing imports them."""
