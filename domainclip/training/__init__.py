"""The one loop, and the engines behind one face (layer 4)."""
