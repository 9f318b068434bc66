"""A small picture of what the words say, drawn by a diffusion model: what the optimisation starts from.

Optimisation alone finds parts and textures; the prior adds the composition.  CLIP picks the best of several candidates.
"""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F

from artcli.backends.dream.losses import contrast
from artcli.backends.dream.prompts import Prompt
from artcli.backends.dream.settings import Sketching
from artcli.models.diffusion import sample, start_noise, to_picture
from artcli.nn.flow import Wish
from artcli.pretrained.clip import Clip
from artcli.pretrained.diffusion import Diffusion

LONGEST = 1.5  # times the size that the net was trained on; longer pictures are drawn in windows
SEEDS = 1000  # between those of one picture's candidates and the next picture's


class Prior:
    """A diffusion model with a CLIP that picks among what it draws.

    what: the words of one picture, each with its weight; below 0: away from it.
    """

    def __init__(self, model: Diffusion, clip: Clip, what: Sequence[Prompt], how: Sketching = Sketching()):
        self.model, self.clip, self.how = model, clip, how
        weights = [prompt.weight for prompt in what]
        self.wishes = [Wish(*pair) for pair in zip(model.tower([p.text for p in what]), weights, strict=True)]
        self.targets = list(zip(clip.encode_text([p.text for p in what]), weights, strict=True))

    @torch.no_grad()
    def sketch(
        self, seed: int, height: int, width: int, rivals: torch.Tensor, photo: torch.Tensor | None = None
    ) -> list[torch.Tensor]:
        """The best candidate as it came about, a picture (3, h, w) in 0..1 for every step of the solver.

        height, width: of the finished picture, whose shape the sketch has.  rivals: unit embeddings (R, D) of what it
        could be instead.  photo: (3, H, W) in 0..1, drawn anew by the part `strength` (SDEdit, Meng et al., 2022).
        """
        size = self._size(height, width)
        noise = start_noise(self.model.net, [seed * SEEDS + n for n in range(self.how.candidates)], *size)
        states = list(self._solve(noise, photo))
        best = int(self._scores(to_picture(states[-1].picture), rivals).argmax())
        return [to_picture(state.picture[best]) for state in states]

    def _solve(self, noise: torch.Tensor, photo: torch.Tensor | None) -> Iterator:
        start, x = 1.0, noise
        if photo is not None:
            small = F.interpolate(photo[None].to(noise.device), noise.shape[2:], mode="area") * 2 - 1
            start = self.how.strength
            x = torch.lerp(small, noise, start)
        how = (self.how.guidance, self.how.steps)
        long = max(noise.shape[2:]) > LONGEST * self.model.size
        return sample(self.model.net, self.wishes, x, *how, start=start, window=self.model.size if long else None)

    def _size(self, height: int, width: int) -> tuple[int, int]:
        """Size of the sketch: the shorter side as in training, both multiples of the net's factor."""
        factor, scale = self.model.net.factor, self.model.size / min(height, width)
        rows, columns = (max(1, round(side * scale / factor)) * factor for side in (height, width))
        return rows, columns

    def _scores(self, pictures: torch.Tensor, rivals: torch.Tensor) -> torch.Tensor:
        """How well CLIP finds the words in each picture (N, 3, h, w), as it is and mirrored; (N,)."""
        total = torch.zeros(len(pictures), device=pictures.device)
        for view in (pictures, pictures.flip(3)):
            seen = F.interpolate(view, (self.clip.side, self.clip.side), mode="bicubic", antialias=True)
            features = F.normalize(self.clip.encode_image(seen.clamp(0, 1)), dim=1)
            for text, weight in self.targets:
                total -= weight * contrast(features, text, rivals, self.clip.scale)
        return total
