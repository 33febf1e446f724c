"""Facts of a scene."""
