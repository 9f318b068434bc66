"""A page of the pictures and films in a folder, each with what made it."""
