"""dream: words to a picture by optimising what CLIP sees (VQGAN+CLIP, Crowson et al., 2022)."""
