"""A VQGAN that starts from a small Fourier image: the Fourier image finds the subject, the codes add texture.

A grid of codes that is as small as the first stage has a few dozen places, too few to find a subject in.
"""

import torch

from artcli.backends.dream import fft
from artcli.backends.dream.codes import CodeImage
from artcli.backends.dream.fft import FFTImage
from artcli.nn.vqgan import VQGAN


class Sketch:
    """The drawer: a FFTImage until it grows to its full size, a CodeImage of what that drew from then on."""

    def __init__(self, model: VQGAN, height: int, width: int, rng: torch.Generator, tileable: bool = False):
        self.model, self.height, self.width, self.rng, self.tileable = model, height, width, rng, tileable
        device = model.quantize.vectors.device
        self.now: FFTImage | CodeImage = FFTImage(height, width, rng, device)
        self.small: tuple[int, int] | None = None  # the size that it was drawn at last

    def start_from(self, image: torch.Tensor) -> None:
        """Take a picture (3, H, W) in 0..1 as the start."""
        self.now.start_from(image)

    @property
    def rate(self) -> float:
        return self.now.rate

    @property
    def betas(self) -> tuple[float, float]:
        return self.now.betas

    @property
    def costly(self) -> bool:
        return self.now.costly

    @torch.no_grad()
    def grow(self, height: int, width: int) -> None:
        """At the full size the codes take over, which needs the encoder; without a sketch, random ones."""
        if isinstance(self.now, CodeImage):
            return
        if (height, width) != (self.height, self.width):
            self.small = (height, width)
            return
        sketch = self.now.draw(*self.small) if self.small else None
        self.now = CodeImage(self.model, height, width, self.rng, tileable=self.tileable)
        if sketch is not None:
            self.now.start_from(fft.resize(sketch, height, width)[0])

    def draw(self, height: int, width: int) -> torch.Tensor:
        if (height, width) != (self.height, self.width):
            self.small = (height, width)
        return self.now.draw(height, width)

    def calm(self, image: torch.Tensor, shifts: int) -> torch.Tensor:
        return self.now.calm(image, shifts)

    def settle(self) -> None:
        self.now.settle()

    def parameters(self) -> list[torch.Tensor]:
        return self.now.parameters()
