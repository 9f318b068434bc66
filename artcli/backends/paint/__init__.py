"""Paint Transformer (Liu et al., 2021): a photo to a list of brush strokes, coarse to fine."""
