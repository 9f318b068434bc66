"""`artgen cyclegan`: command parses, run works."""
