"""How sizes of pictures decide the work on them; no torch, as dry runs count with them."""

import math

WHOLE = 4  # tiles' pixels in a picture that a translator draws in one piece
_SOFT = 2**0.5  # times as large as this and less a picture is resized without the upscaler


def doublings(small: tuple[int, int], large: tuple[int, int]) -> int:
    """How often the upscaler doubles a picture to make it as large as another, both (width, height)."""
    times = max(large) / max(small)
    return max(0, math.ceil(math.log2(times / _SOFT)))
