"""What a call of `artgen dream` asks for."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artcli.backends.dream.settings import Pace, Settings, Sketching
from artcli.commands.dream import film as dream_film
from artcli.commands.dream.film import Reel, Source
from artcli.commands.shared import enlarge
from artcli.commands.shared.target import Target

if TYPE_CHECKING:
    from artcli.backends.dream.travel import Camera


@dataclass(frozen=True)
class Job(Target):
    """One picture: its prompt line, its seed, its main output, and whether it comes of a film."""

    prompt: str
    seed: int
    out: Path
    moving: bool = False


@dataclass(frozen=True)
class Request:
    """Everything that all jobs of a call share.

    prior: what draws a sketch first, None for nothing.  source: the film that `init` is, if it is one, drawn anew at
    `pace`.
    """

    settings: Settings
    size: tuple[int, int] | None
    image_prompts: tuple[str, ...]
    noise_prompts: tuple[str, ...]
    init: Path | None
    mask: Path | None
    feather: float
    clip: str
    vqgan: str
    prior: str | None
    sketching: Sketching
    camera: "Camera | None"
    source: Source | None
    pace: Pace
    enlargement: enlarge.Enlargement
    device: str
    weights_dirs: tuple[Path, ...]
    offline: bool
    best_of: int
    fps: float
    duration: float | None
    save_every: int
    time_limit: float | None
    preview: bool
    resume: bool
    force: bool
    recipe: dict[str, Any] | None
    recorded_weights: Mapping[str, str]

    @property
    def ahead(self) -> int:
        """Steps of the prior, which come before the optimizer's."""
        return 0 if self.prior is None else self.sketching.steps

    @property
    def reel(self) -> Reel:
        """What a film shows of the run, and how many steps that has also without a film."""
        steps = self.ahead + self.settings.steps
        if self.source is not None:
            return dream_film.of_source(steps, self.source)
        if self.camera is not None:
            return dream_film.of_camera(steps, self.fps, self.duration)
        return dream_film.of_steps(steps, self.fps, self.duration)
