"""Sources to batches (layer 2)."""
