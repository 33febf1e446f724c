"""Tables of captions in, tables of captions out; no pixels, no torch at import (layer 1)."""
