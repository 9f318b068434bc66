"""`artgen stylize`: command parses, run optimises, fast works in one pass."""
