"""A picture as a grid of features that a VQGAN draws ("VQGAN-CLIP", Crowson et al., 2022, section 3)."""

import torch
import torch.nn.functional as F

from artcli.device import fast_dtype
from artcli.nn.vqgan import VQGAN, PlainDecoder

_FRUGAL = 384 * 384  # pixels from which on activations are computed twice rather than kept


class _StraightThrough(torch.autograd.Function):
    """Forward the codes' vectors, backward their gradient to the features that they stand for."""

    @staticmethod
    def forward(ctx, vectors, features):  # type: ignore[override]
        return vectors

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[override]
        return None, gradient


class _Clamp(torch.autograd.Function):
    """Clamp to 0..1; outside, a gradient passes only where a step along it leads back into the range."""

    @staticmethod
    def forward(ctx, x):  # type: ignore[override]
        ctx.save_for_backward(x)
        return x.clamp(0, 1)

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[override]
        (x,) = ctx.saved_tensors
        return gradient * (gradient * (x - x.clamp(0, 1)) >= 0)


class CodeImage:
    """The drawer: `features` (1, W, height / factor, width / factor) are what the optimizer moves.

    Every draw takes the nearest code for each place and lets the decoder turn them into a picture.
    """

    rate = 0.1  # learning rate that suits it
    costly = True  # compared with looking at the picture
    betas = (0.9, 0.999)

    def __init__(
        self, model: VQGAN, height: int, width: int, rng: torch.Generator, start: str = "codes", tileable: bool = False
    ):
        """height, width: pixels; multiples of the factor where it is to be tileable.

        start: `codes`, a random one at each place; `range`, anything between the smallest and the largest vectors;
        `noise` or `gradient`, a picture of that kind, for which the encoder is needed.
        """
        self.model = model
        vectors = model.quantize.vectors.detach()
        self.low, self.high = (bound[None, :, None, None] for bound in (vectors.amin(0), vectors.amax(0)))
        self.tileable = tileable
        _wrap(model, tileable)
        if start in PICTURES:
            self.start_from(PICTURES[start](height, width, rng))
        elif start == "range":
            part = torch.rand((1, vectors.shape[1], *self._grid(height, width)), generator=rng).to(vectors.device)
            self.features = torch.lerp(self.low, self.high, part).requires_grad_()
        else:
            codes = torch.randint(len(vectors), (1, *self._grid(height, width)), generator=rng)
            self.features = model.quantize.look_up(codes.to(vectors.device)).contiguous().requires_grad_()

    def _grid(self, height: int, width: int) -> tuple[int, int]:
        """Places that cover a picture; what they draw beyond it is cut off."""
        return -(-height // self.model.sizes.factor), -(-width // self.model.sizes.factor)

    @torch.no_grad()
    def start_from(self, image: torch.Tensor) -> None:
        """Take a picture (3, H, W) in 0..1 as the start, at its size; needs the encoder."""
        beyond = [-side % self.model.sizes.factor for side in image.shape[1:]]
        whole = F.pad(image[None].to(self.low.device), (0, beyond[1], 0, beyond[0]), mode="replicate")
        self.features = self._encoded(whole).float().contiguous().requires_grad_()

    def _encoded(self, images: torch.Tensor) -> torch.Tensor:
        found = self.model.encode(images)
        if hasattr(self.model.quantize, "proj"):  # its features are logits of the codes, not vectors near them
            found = self.model.quantize.look_up(self.model.quantize.choose(found))
        return found

    @torch.no_grad()
    def grow(self, height: int, width: int) -> None:
        """Resize the codes."""
        grown = F.interpolate(self.features, self._grid(height, width), mode="bicubic", align_corners=False)
        self.features = grown.clamp(self.low, self.high).requires_grad_()

    def draw(self, height: int, width: int) -> torch.Tensor:
        """(1, 3, height, width) in 0..1, at the size that it has grown to."""
        book = self.model.quantize
        vectors = book.look_up(book.nearest(self.features.detach()))
        self.model.decoder.frugal = height * width >= _FRUGAL
        drawn = self._decoded(_StraightThrough.apply(vectors, self.features))
        return _Clamp.apply(drawn[..., :height, :width])

    def _decoded(self, vectors: torch.Tensor) -> torch.Tensor:
        dtype = fast_dtype(self.features.device)
        with torch.autocast(self.features.device.type, dtype, enabled=dtype != torch.float32):
            return self.model.decode(vectors)

    @torch.no_grad()
    def calm(self, image: torch.Tensor, shifts: int) -> torch.Tensor:
        """A picture (1, 3, H, W) in 0..1 without the check and the stripes that a small decoder weaves into it.

        They stand on the grid of codes: with the grid elsewhere they are elsewhere, and the mean of several such
        pictures has none ("Translation-Invariant De-Noising", Coifman and Donoho, 1995).  What the encoder finds is not
        rounded to codes again, so that what is drawn stays; it gets softer.  shifts: how many pictures, 1 for the
        picture as it is.  Without an encoder it stays so, too.
        """
        if shifts == 1 or not hasattr(self.model, "encoder"):
            return image
        mean, factor = torch.zeros_like(image), self.model.sizes.factor
        for number in range(shifts):
            left, top = (factor * each // shifts for each in (number, -number % shifts))
            mean += self._redrawn(image, left, top) / shifts
        return mean.clamp(0, 1)

    def _redrawn(self, image: torch.Tensor, left: int, top: int) -> torch.Tensor:
        """Encoded and decoded, with the grid of codes this many pixels further to the left and up."""
        factor, (height, width) = self.model.sizes.factor, image.shape[2:]
        left, top = factor + left, factor + top
        margins = left, -(left + width) % factor + factor, top, -(top + height) % factor + factor
        wraps = self.tileable and min(height, width) >= max(margins)
        whole = F.pad(image, margins, mode="circular" if wraps else "replicate")
        return self._decoded(self._encoded(whole).float())[..., top : top + height, left : left + width]

    @torch.no_grad()
    def settle(self) -> None:
        """After a step: no feature beyond the codes' own range."""
        self.features.clamp_(self.low, self.high)

    def parameters(self) -> list[torch.Tensor]:
        return [self.features]

    def latents(self) -> list[torch.Tensor]:
        """All that the picture is drawn from."""
        return self.parameters()


def _noise(height: int, width: int, rng: torch.Generator) -> torch.Tensor:
    """Independent noise for every pixel and channel, (3, height, width)."""
    return torch.rand((3, height, width), generator=rng)


def _gradient(height: int, width: int, rng: torch.Generator) -> torch.Tensor:
    """Four random colours in the corners, and what lies between, (3, height, width)."""
    corners = torch.rand((1, 3, 2, 2), generator=rng)
    return F.interpolate(corners, (height, width), mode="bilinear", align_corners=True)[0]


PICTURES = {"noise": _noise, "gradient": _gradient}


def _wrap(model: VQGAN, tileable: bool) -> None:
    """Let the decoder's convolutions see the opposite edge beyond each edge, or nothing."""
    if isinstance(model.decoder, PlainDecoder):
        model.decoder.wraps = tileable
        return
    for layer in model.decoder.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.padding_mode = "circular" if tileable else "zeros"
