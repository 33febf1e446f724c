"""Makes the starter sets: real files with synthetic content (layer 4)."""
