"""Rooms: procedural ones, SceneNet, and what their objects are."""
