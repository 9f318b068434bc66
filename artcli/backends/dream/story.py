"""Prompts that change over a film: scenes in sequence, each blending into the next."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

import torch
import torch.nn.functional as F

from artcli.backends.dream.steer import Target

MELT = 0.5  # the last part of a scene, in which it turns into the next


@dataclass(frozen=True)
class Story:
    """At least one scene, each the targets of one picture; every scene has the same part of the run."""

    scenes: Sequence[Sequence[Target]]

    def __len__(self) -> int:
        return len(self.scenes)

    def place(self, part: float) -> tuple[int, float]:
        """The scene at this part of the run, 0..1, and how far it has turned into the next one, 0..1."""
        place = min(part, 1.0) * len(self.scenes)
        scene = min(int(place), len(self.scenes) - 1)
        along = (place - scene - (1 - MELT)) / MELT
        if scene == len(self.scenes) - 1 or along <= 0:
            return scene, 0.0
        return scene, along * along * (3 - 2 * along)

    def at(self, part: float) -> list[Target]:
        """What is drawn at this part of the run, 0..1."""
        scene, turned = self.place(part)
        return _between(self.scenes[scene], self.scenes[scene + 1], turned) if turned else list(self.scenes[scene])

    def embeddings(self) -> torch.Tensor:
        """Of all targets of all scenes, (N, D)."""
        return torch.stack([embedding for scene in self.scenes for _, embedding in scene])


def _between(one: Sequence[Target], other: Sequence[Target], part: float) -> list[Target]:
    """The targets of two scenes in pairs: the embedding on its way from one to the other, the weight too.

    What has no partner fades; what has no weight any more is left out, unless nothing else is there.
    """
    found = []
    for a, b in zip_longest(one, other):
        (before, start), (after, end) = a or b, b or a
        weight = (before.weight if a else 0.0) * (1 - part) + (after.weight if b else 0.0) * part
        if weight:
            prompt = replace(before if part < 0.5 else after, weight=weight)
            found.append((prompt, F.normalize(torch.lerp(start, end, part), dim=0)))
    return found or list(one)
