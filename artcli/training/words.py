"""Captions for training from class names: a noun, sometimes with its colour, in one of a few phrasings."""

from collections.abc import Sequence

from artcli.training.colors import COLORS

COLOR_PART = 0.5  # of the pictures with a leading colour whose text names it
KIND_PART = 0.25  # of the lessons that say "car" rather than "sports car"
FORMS = ("{}", "a {}", "a photo of a {}")
CHANCES = 4  # numbers in 0..1 that a wording takes
PLAINEST = [0.0, 1.0, 1.0, 0.0]  # the first name, no kind, no colour, no more words


def noun(names: Sequence[str], kinds: Sequence[str], chance: Sequence[float]) -> str:
    """One of the names of a thing, or of the kinds of things that it is."""
    pool = kinds if kinds and chance[1] < KIND_PART else names
    return pool[int(chance[0] * len(pool))]


def phrase(word: str, color: int, chance: Sequence[float]) -> str:
    """`a red car`: the noun and maybe its colour, an index into COLORS or -1 for none, in one of FORMS."""
    if chance[2] < COLOR_PART and color >= 0:
        word = f"{COLORS[color]} {word}"
    return FORMS[int(chance[3] * len(FORMS))].format(word)


def of_folder(name: str) -> str:
    """The words of a class folder: `sports_car` is a sports car."""
    return " ".join(name.replace("_", " ").replace("-", " ").split())
