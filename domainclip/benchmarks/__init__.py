"""Metrics with intervals, controls, and the held-out report (layer 4)."""
