"""A small picture of what the words say, drawn by a diffusion model: what the optimisation starts from.

Optimisation alone finds parts and textures; the prior adds the composition.  CLIP leads it ("CLIP guided diffusion",
Crowson, 2021), and its referee picks the best of several candidates.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

import torch
import torch.nn.functional as F

from artcli.backends.dream.losses import SOFTNESS, contrast
from artcli.backends.dream.prompts import Prompt
from artcli.backends.dream.settings import RENEWED, Sketching
from artcli.models.diffusion import sample, start_noise, to_picture
from artcli.nn import flow
from artcli.nn.flow import Wish
from artcli.pretrained.clip import Clip
from artcli.pretrained.diffusion import Diffusion

LONGEST = 1.5  # times the size that the net was trained on; longer pictures are drawn in windows
VIEWS, SHIFT = 2, 3  # of a square picture, when CLIP leads; pixels to either side
LOOKS = 1.0, 1.5  # at which a referee sees a sketch, times the size it learned at: it picks better by both
SEEDS = 1000  # between those of one picture's candidates and the next picture's


class Prior:
    """A diffusion model, and a CLIP that leads it.

    what: the words of one picture, each with its weight; below 0: away from it.  later: the words of a story's other
    scenes.  referee: a CLIP for the same words that picks among what was drawn; without one, the CLIP that led.
    """

    def __init__(
        self,
        model: Diffusion,
        clip: Clip,
        what: Sequence[Prompt],
        how: Sketching = Sketching(),
        later: Sequence[Sequence[Prompt]] = (),
        referee: Clip | None = None,
    ):
        self.model, self.clip, self.how, self.referee = model, clip, how, referee or clip
        weights = [prompt.weight for prompt in what]
        self.wishes = [Wish(*pair) for pair in zip(model.tower([p.text for p in what]), weights, strict=True)]
        self.targets = list(zip(clip.encode_text([p.text for p in what]), weights, strict=True))
        self.later = [Prior(model, clip, words, referee=referee) for words in later]

    def sketch(
        self, seed: int, height: int, width: int, rivals: torch.Tensor, photo: torch.Tensor | None = None
    ) -> list[torch.Tensor]:
        """The best candidate as it came about, (3, h, w) in 0..1 for every step; arguments as `candidates`."""
        return self.best(list(self.candidates(seed, height, width, rivals, photo)), rivals)

    @torch.no_grad()
    def candidates(
        self, seed: int, height: int, width: int, rivals: torch.Tensor, photo: torch.Tensor | None = None
    ) -> Iterator[torch.Tensor]:
        """All candidates, (N, 3, h, w) in 0..1, after every step of the solver.

        height, width: of the finished picture, whose shape the sketch has.  rivals: unit embeddings (R, D) of what it
        could be instead.  photo: (3, H, W) in 0..1, drawn anew by the part `strength` (SDEdit, Meng et al., 2022).
        """
        size = self._size(height, width)
        noise = start_noise(self.model.net, [seed * SEEDS + n for n in range(self.how.candidates)], *size)
        for state in self._solve(noise, photo, self._lead(seed, rivals)):
            yield to_picture(state.picture)

    @torch.no_grad()
    def best(self, steps: Sequence[torch.Tensor], rivals: torch.Tensor) -> list[torch.Tensor]:
        """Of all candidates after every step, (N, 3, h, w) each, the one that the referee picks at the end."""
        best = int(self._scores(steps[-1], rivals).argmax())
        return [pictures[best] for pictures in steps]

    def renewed(self, sketch: torch.Tensor, seed: int, rivals: torch.Tensor) -> list[torch.Tensor]:
        """Sketches of the later scenes, each drawn over the one before it, (3, h, w); arguments as `sketch`."""
        found = [sketch]
        for prior in self.later:
            prior.how = replace(self.how, strength=RENEWED)
            height, width = sketch.shape[1:]
            found.append(prior.sketch(seed, height, width, rivals, found[-1])[-1])
        return found[1:]

    def _solve(self, noise: torch.Tensor, photo: torch.Tensor | None, lead: flow.Velocity | None) -> Iterator:
        start, x = 1.0, noise
        if photo is not None:
            small = F.interpolate(photo[None].to(noise.device), noise.shape[2:], mode="area") * 2 - 1
            start = self.how.strength
            x = torch.lerp(small, noise, start)
        window = self.model.size if max(noise.shape[2:]) > LONGEST * self.model.size else None
        steer = None if lead is None else partial(flow.steered, uphill=lead, strength=self.how.clip_guidance)
        how = (self.how.guidance, self.how.steps)
        return sample(self.model.net, self.wishes, x, *how, start=start, window=window, steer=steer)

    def _lead(self, seed: int, rivals: torch.Tensor) -> flow.Velocity | None:
        """The gradient of how well CLIP finds the words in the pictures, in views that shift from step to step.

        CLIP has to be robust, or to look at many views, for its gradient to be a shape ("Enhancing Diffusion-Based
        Image Synthesis with Robust Classifier Guidance", Kawar et al., 2023).
        """
        if not self.how.clip_guidance:
            return None
        rng = torch.Generator().manual_seed(seed)

        def uphill(pictures: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
            seen = to_picture(pictures).requires_grad_()
            with torch.enable_grad():
                scores = sum(found(self.clip, self.targets, view, rivals).sum() for view in views(seen, rng))
            return torch.autograd.grad(scores, seen)[0]  # type: ignore[arg-type]

        return uphill

    def _size(self, height: int, width: int) -> tuple[int, int]:
        """Size of the sketch: the shorter side as in training, both multiples of the net's factor."""
        factor, scale = self.model.net.factor, self.model.size / min(height, width)
        rows, columns = (max(1, round(side * scale / factor)) * factor for side in (height, width))
        return rows, columns

    def _scores(self, pictures: torch.Tensor, rivals: torch.Tensor) -> torch.Tensor:
        """How well the referee finds the words in each picture (N, 3, h, w), as it is and mirrored; (N,)."""
        looks = (1.0,) if self.referee is self.clip else LOOKS  # a CLIP need not be convolutional
        seen = [(view, look) for view in (pictures, pictures.flip(3)) for look in looks]
        return torch.stack([found(self.referee, self.targets, view, rivals, look) for view, look in seen]).sum(0)


def found(
    clip: Clip,
    targets: Sequence[tuple[torch.Tensor, float]],
    pictures: torch.Tensor,
    rivals: torch.Tensor,
    look: float = 1.0,
) -> torch.Tensor:
    """The log-probability, (N,), that a CLIP finds the words rather than their rivals, each by its weight.

    By less than CLIP's own scale, so that pictures that are found already can still be found better.
    targets: unit embeddings (D,) of the words, and weights.  pictures: (N, 3, h, w) in 0..1.  rivals: (R, D).
    look: the size at which it sees them, times its own.
    """
    side = round(clip.side * look)
    seen = F.interpolate(pictures, (side, side), mode="bicubic", antialias=True)
    features = F.normalize(clip.encode_image(seen.clamp(0, 1)), dim=1)
    lost = [w * contrast(features, text, rivals, clip.scale * SOFTNESS) for text, w in targets]
    return -torch.stack(lost).sum(0)


def views(pictures: torch.Tensor, rng: torch.Generator) -> Iterator[torch.Tensor]:
    """Squares as large as the pictures are short, shifted at random beyond their edges, every second one mirrored."""
    height, width = pictures.shape[2:]
    side = min(height, width)
    wide = F.pad(pictures, (SHIFT,) * 4, mode="reflect")
    for number in range(VIEWS * -(-max(height, width) // side)):
        top, left = (int(torch.randint(s + 2 * SHIFT - side + 1, (), generator=rng)) for s in (height, width))
        view = wide[..., top : top + side, left : left + side]
        yield view.flip(3) if number % 2 else view
