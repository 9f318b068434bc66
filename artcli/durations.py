"""Lengths of time in words."""


def duration(seconds: float, *, spaced: bool = False) -> str:
    """`42s`, `3m20s` or `2h05m`; spaced: `42 s`, `3 min 20 s` or `2 h 05 min`."""
    whole = round(seconds)
    hour, minute, second = (" h ", " min ", " s") if spaced else ("h", "m", "s")
    if whole < 60:
        return f"{whole}{second}"
    if whole < 3600:
        return f"{whole // 60}{minute}{whole % 60:02d}{second}"
    return f"{whole // 3600}{hour}{whole % 3600 // 60:02d}{minute}".rstrip()
