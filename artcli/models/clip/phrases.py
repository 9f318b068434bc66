"""Phrases that teach the small CLIP colours, styles and combinations."""

from random import Random

from artcli.training.colors import COLORS

# The first three are what `training.augment` can turn a photograph into; {} is the subject.
STYLES = (
    "a black and white photo of a {}",
    "a pencil sketch of a {}",
    "a silhouette of a {}",
    "an oil painting of a {}",
    "a watercolor of a {}",
    "a painting of a {} by Claude Monet",
    "a {} in the style of Van Gogh",
    "a Japanese woodblock print of a {}",
    "a cartoon of a {}",
    "pixel art of a {}",
    "a neon sign of a {}",
    "a close-up photo of a {}",
)

SCENES = (
    "", "", "", "by the sea", "at sunset", "in the snow", "in a forest", "at night", "in the desert", "on a beach",
    "in the mountains", "in the city", "under a blue sky", "on a table", "on green grass", "in the fog",
    "with a rainbow", "at sunrise", "in the rain", "underwater", "in space", "on a white background",
)  # fmt: skip

ADJECTIVES = (
    "", "", "", "big", "small", "old", "shiny", "beautiful", "ancient", "wooden", "golden", "snowy", "burning",
    "frozen", "colorful", "dark", "bright", "giant", "happy", "mysterious",
)  # fmt: skip


def compose(rng: Random, nouns: list[str]) -> str:
    """A random phrase such as `an oil painting of a red castle by the sea`."""
    color = rng.choice(COLORS) if rng.random() < 0.5 else ""
    subject = " ".join(word for word in (rng.choice(ADJECTIVES), color, rng.choice(nouns)) if word)
    if rng.random() < 0.15:
        subject += f" and a {rng.choice(nouns)}"
    style = rng.choice(STYLES) if rng.random() < 0.3 else rng.choice(("{}", "a {}", "a photo of a {}"))
    return f"{style.format(subject)} {rng.choice(SCENES)}".strip()
