"""stylize: a picture in the style of others, by optimising its features (Gatys et al., 2016)."""
