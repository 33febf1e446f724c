"""Zero-shot and retrieval on a loaded model (layer 3)."""
