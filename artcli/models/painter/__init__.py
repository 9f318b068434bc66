"""`artgen train painter`: the model, and the random strokes that it learns from."""
