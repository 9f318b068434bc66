"""`artgen dream`: command parses into a request, run works, film says what becomes of a finished film."""
