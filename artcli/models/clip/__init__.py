"""`artgen train clip`: the model, and what it learns from."""
