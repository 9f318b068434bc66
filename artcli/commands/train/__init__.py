"""`artgen train`: command parses, run works."""
