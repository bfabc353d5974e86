"""Starts a stage's command in its place (venv, docker, here), and the shards of a wide stage side by side."""
