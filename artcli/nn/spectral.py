"""How far the textures of two pictures are apart, by the spectra of their patches."""

import torch

PATCH = 16  # pixels of its sides; its neighbours overlap it by half
_FLOOR = 1e-3  # of an amplitude: half a grey level of 255, which nobody sees


def spectral(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """How far the spectra of two lots of pictures (B, C, H, W), sides of at least 16, are apart: (B,).

    The mean absolute difference of the square roots of amplitudes, of a two-dimensional Fourier transform of 16 x 16
    patches under a Hann window.  Without phases: stripes that the other picture lacks count, wherever they lie, and
    detail may move by a pixel.  Roots: a stripe is seen in a flat part sooner than in a rough one.  What spectrogram
    losses do for sounds ("Parallel WaveGAN", Yamamoto et al., 2020, section 2.2), for textures.
    """
    return (_amplitudes(one).sqrt() - _amplitudes(other).sqrt()).abs().mean((1, 2, 3))


def _amplitudes(images: torch.Tensor) -> torch.Tensor:
    """(B, patches x channels, 16, 9), in the units of the pictures: a full sine wave of 1 gives about 1/2."""
    window = torch.hann_window(PATCH, device=images.device)
    windows = window[:, None] * window / window.sum() ** 2
    patches = images.unfold(2, PATCH, PATCH // 2).unfold(3, PATCH, PATCH // 2).flatten(1, 3)
    found = torch.fft.rfft2((patches - patches.mean((2, 3), keepdim=True)) * windows)
    return (found.real.square() + found.imag.square() + _FLOOR**2).sqrt()
