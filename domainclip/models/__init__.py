"""Towers and checkpoints; knows nothing of data (layer 2)."""
