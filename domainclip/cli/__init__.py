"""One module per verb: parses, calls a public function (layer 5)."""
