"""A picture as its decorrelated Fourier spectrum ("Feature Visualization", Olah et al., 2017, preconditioning)."""

import torch
import torch.nn.functional as F

# Columns mix three independent channels into the colour statistics of natural pictures.
_COLOR = torch.tensor([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])
_CONTRAST = 1.5  # standard deviation of the signal before the colour matrix and the sigmoid
_INIT_DEVIATION = 0.5
_DECAY = 1.5  # exponent of the 1/f spectrum


class FFTImage:
    """The drawer: `spectrum` (1, 3, H, W // 2 + 1, 2) is what the optimizer moves.

    `draw(height, width)` renders any size up to the full one from the low frequencies that fit into it, so a run can
    start small and go on larger with the same numbers.
    """

    rate = 0.05  # learning rate that suits it
    costly = False  # compared with looking at the picture
    betas = (0.0, 0.999)  # a spectrum has no noise to smooth over many steps (Olah et al., 2017)

    def __init__(self, height: int, width: int, rng: torch.Generator, device: torch.device):
        self.height, self.width = height, width
        shape = (1, 3, height, width // 2 + 1, 2)
        self.scale = _spectrum_scale(height, width).to(device)
        self.spectrum = (torch.randn(shape, generator=rng) * 0.01).to(device).requires_grad_()
        self.mean = torch.zeros(1, 3, 1, 1, device=device)
        self.contrast = torch.tensor(_CONTRAST, device=device)

    @torch.no_grad()
    def start_from(self, image: torch.Tensor) -> None:
        """Take a picture (3, H, W) in 0..1 as the start; drawing it again gives it back to about 1/255."""
        image = image[None].to(self.spectrum.device).clamp(0.004, 0.996)
        signal = torch.einsum("ij,bjhw->bihw", torch.linalg.inv(self._color()), torch.logit(image))
        self.mean = signal.mean((2, 3), keepdim=True)
        signal = signal - self.mean
        self.contrast = signal.std().clamp_min(1e-3)
        spectrum = torch.view_as_real(torch.fft.rfft2(signal, norm="ortho")) / self.scale[..., None]
        # Any factor draws the same picture, as the signal is divided by its deviation; this one lets a step of the
        # optimizer change the given picture by a few per cent, where a random start is to be forgotten at once.
        self.spectrum.copy_(spectrum * (_INIT_DEVIATION / spectrum.std().clamp_min(1e-12)))

    def draw(self, height: int, width: int) -> torch.Tensor:
        """(1, 3, height, width) in 0..1."""
        spectrum = torch.view_as_complex(self.spectrum) * self.scale
        if (height, width) != (self.height, self.width):
            spectrum = _low_frequencies(spectrum, height, width) * self._half_pixel(height, width)
        signal = torch.fft.irfft2(spectrum, s=(height, width), norm="ortho")
        signal = signal / signal.std().clamp_min(1e-8) * self.contrast + self.mean
        return torch.sigmoid(torch.einsum("ij,bjhw->bihw", self._color(), signal))

    def _half_pixel(self, height: int, width: int) -> torch.Tensor:
        """Phases that put a smaller picture's pixels in the middle of the larger pixels that they stand for.

        The transform samples at the pixels' corners; photographs, masks and `resize` count from their middles.
        """
        y = torch.fft.fftfreq(height)[:, None] * (1 - height / self.height)
        x = torch.fft.rfftfreq(width)[None] * (1 - width / self.width)
        phase = torch.pi * (y + x)
        return torch.polar(torch.ones_like(phase), phase).to(self.spectrum.device)

    def grow(self, height: int, width: int) -> None:
        """Does nothing: a spectrum can be drawn at any size."""

    def calm(self, image: torch.Tensor, shifts: int) -> torch.Tensor:
        """Does nothing: a spectrum has no grid."""
        return image

    def settle(self) -> None:
        """Does nothing: a spectrum has no bounds."""

    def parameters(self) -> list[torch.Tensor]:
        return [self.spectrum]

    def latents(self) -> list[torch.Tensor]:
        """All that the picture is drawn from."""
        return [self.spectrum, self.mean, self.contrast]

    def _color(self) -> torch.Tensor:
        color = _COLOR / _COLOR.norm(dim=0).max()
        return color.to(self.spectrum.device)


def _spectrum_scale(height: int, width: int) -> torch.Tensor:
    """1 / f ** decay per frequency, (H, W // 2 + 1)."""
    y = torch.fft.fftfreq(height)[:, None]
    x = torch.fft.rfftfreq(width)[None]
    frequency = (y**2 + x**2).sqrt().clamp_min(4 / max(height, width))
    return (height * width) ** 0.5 / (frequency * max(height, width)) ** _DECAY


def _low_frequencies(spectrum: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """The part of a half spectrum (..., H, W // 2 + 1) that a smaller picture has."""
    above = (height + 1) // 2
    rows = torch.cat((spectrum[..., :above, :], spectrum[..., spectrum.shape[-2] - (height - above) :, :]), -2)
    return rows[..., : width // 2 + 1]


def resize(image: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """(1, 3, H, W) to another size, smoothly; for frames of the low-resolution stage."""
    if image.shape[-2:] == (height, width):
        return image
    return F.interpolate(image, (height, width), mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
