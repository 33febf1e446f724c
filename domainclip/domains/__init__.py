"""Native files of each domain into Samples (layer 1)."""
