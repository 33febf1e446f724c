"""One file per loss (layer 2)."""
