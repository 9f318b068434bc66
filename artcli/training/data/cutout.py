"""Cuts an object out of its background, given a rough box around it.

The idea is GrabCut's (Rother, Kolmogorov, Blake, "GrabCut: interactive foreground extraction using iterated graph
cuts", 2004): colours inside and outside are Gaussian mixtures, fitted anew after every labelling, and neighbours of
like colour want the same label.  Ours differs: instead of a minimum cut it takes a few mean-field steps, which need
no graph library and leave probabilities; the picture is shrunk to 160 pixels first.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage

from artcli.errors import UsageError
from artcli.training.data.items import Array

_SIDE = 160  # longer side while searching: half a second a picture
_ROUNDS = 5  # labellings
_COMPONENTS = 5  # Gaussians for the object and for the background, as in the paper
_EM_STEPS = 4
_SMOOTHING_STEPS = 8
_SMOOTHING = 2.5  # log odds that a neighbour of the same colour adds
_FLOOR = 1e-4  # added to every variance of colours in 0..1, about 2.5 levels of 255
_LARGEST_ODDS = 8.0
_RARE = 0.02  # of the pixels outside the box are taken to be unlike the others
_LEAST = 0.02  # of the box; less than this is no object


def find(rgb: Array, box: tuple[float, float, float, float]) -> Array:
    """(H, W, 3) uint8 to the mask of the object, (H, W) float32 in 0..1.

    box: left, top, right, bottom as parts of the picture; nothing outside it belongs to the object.
    Raises UsageError: nothing inside differs from what is outside.
    """
    height, width = rgb.shape[:2]
    scale = min(1.0, _SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = Image.fromarray(np.ascontiguousarray(rgb)).resize(size, Image.Resampling.BOX).convert("YCbCr")
    colors = np.asarray(small, dtype=np.float64) / 255
    inside = _box_mask(colors.shape[:2], box)
    object_ = _whole(_segment(colors, inside) > 0.5, inside)
    mask = Image.fromarray(object_.astype(np.float32))
    return np.asarray(mask.resize((width, height), Image.Resampling.BILINEAR))


def _box_mask(shape: tuple[int, ...], box: tuple[float, float, float, float]) -> Array:
    height, width = shape[:2]
    mask = np.zeros((height, width), bool)
    left, top, right, bottom = box
    mask[round(top * height) : round(bottom * height), round(left * width) : round(right * width)] = True
    if not mask.any() or mask.all():
        raise UsageError("the box leaves nothing outside to learn the background from")
    return mask


def _segment(colors: Array, inside: Array) -> Array:
    """The probability of each pixel to belong to the object, (H, W)."""
    pixels = colors.reshape(-1, 3)
    links = _links(colors)
    belongs = _smooth(_novelty(pixels, inside), links, inside)
    for _ in range(_ROUNDS):
        weight = belongs.ravel()
        if weight.sum() < _LEAST * inside.sum():
            break
        object_, rest = _fit(pixels, weight), _fit(pixels, 1 - weight)
        difference = (object_.log_density(pixels) - rest.log_density(pixels)).reshape(inside.shape)
        belongs = _smooth(difference.clip(-_LARGEST_ODDS, _LARGEST_ODDS), links, inside)
    return belongs


def _novelty(pixels: Array, inside: Array) -> Array:
    """How much less likely than usual each colour is outside the box, as log odds (H, W).

    GrabCut starts with everything in the box as the object; where most of the box is background, that start tells the
    two apart too badly to recover from.
    """
    outside = ~inside.ravel()
    density = _fit(pixels[outside], np.ones(outside.sum())).log_density(pixels)
    rare = np.quantile(density[outside], _RARE)
    return (rare - density).clip(-_LARGEST_ODDS, _LARGEST_ODDS).reshape(inside.shape)


# --- neighbours ----------------------------------------------------------------------------------------------------


def _links(colors: Array) -> tuple[Array, Array]:
    """How alike each pixel is to the one below (H-1, W) and to the right (H, W-1), 0..1."""
    down = ((colors[1:] - colors[:-1]) ** 2).sum(2)
    right = ((colors[:, 1:] - colors[:, :-1]) ** 2).sum(2)
    usual = max(2 * (down.sum() + right.sum()) / (down.size + right.size), 1e-8)
    return np.exp(-down / usual), np.exp(-right / usual)


def _smooth(odds: Array, links: tuple[Array, Array], inside: Array) -> Array:
    """Mean-field steps: every pixel adds to its own log odds what its four neighbours believe."""
    down, right = links
    belongs = _sigmoid(odds) * inside
    for _ in range(_SMOOTHING_STEPS):
        belief = 2 * belongs - 1
        push = np.zeros_like(odds)
        push[:-1] += down * belief[1:]
        push[1:] += down * belief[:-1]
        push[:, :-1] += right * belief[:, 1:]
        push[:, 1:] += right * belief[:, :-1]
        belongs = _sigmoid(odds + _SMOOTHING * push) * inside
    return belongs


def _sigmoid(odds: Array) -> Array:
    return 1 / (1 + np.exp(-odds))


def _whole(mask: Array, inside: Array) -> Array:
    """The largest piece and those at least a fifth as large, without holes.  Raises UsageError: hardly anything."""
    pieces, count = ndimage.label(mask)
    areas = np.bincount(pieces.ravel(), minlength=count + 1)
    areas[0] = 0
    kept = ndimage.binary_fill_holes(np.isin(pieces, np.flatnonzero(areas >= max(1, areas.max() / 5))))
    if kept.sum() < _LEAST * inside.sum():
        raise UsageError("nothing in the box stands out from what is around it")
    return kept


# --- colours -------------------------------------------------------------------------------------------------------


class _Mixture(NamedTuple):
    """Gaussians in colour space: share (K,), mean (K, 3), covariance (K, 3, 3)."""

    share: Array
    mean: Array
    covariance: Array

    def joint(self, pixels: Array) -> Array:
        """log of share times density, (N, K)."""
        inverse = np.linalg.inv(self.covariance)
        offset = pixels[:, None] - self.mean  # (N, K, 3)
        distance = np.einsum("nki,kij,nkj->nk", offset, inverse, offset, optimize=True)
        scale = np.log(self.share) - 0.5 * np.linalg.slogdet(2 * np.pi * self.covariance)[1]
        return scale - 0.5 * distance

    def log_density(self, pixels: Array) -> Array:
        return np.logaddexp.reduce(self.joint(pixels), axis=1)


def _fit(pixels: Array, weight: Array) -> _Mixture:
    """Expectation maximisation with pixels that count by `weight` (N,)."""
    belongs = _slices(pixels, weight)
    mixture = _maximise(pixels, weight, belongs)
    for _ in range(_EM_STEPS):
        joint = mixture.joint(pixels)
        belongs = np.exp(joint - np.logaddexp.reduce(joint, axis=1, keepdims=True))
        mixture = _maximise(pixels, weight, belongs)
    return mixture


def _slices(pixels: Array, weight: Array) -> Array:
    """A start without chance: equal slices along the direction in which the colours differ most, (N, K)."""
    mean = np.average(pixels, axis=0, weights=weight)
    centred = pixels - mean
    covariance = (centred * weight[:, None]).T @ centred / weight.sum()
    along = centred @ np.linalg.eigh(covariance)[1][:, -1]
    order = np.argsort(along, kind="stable")
    rank = np.empty(len(pixels))
    rank[order] = np.cumsum(weight[order]) / weight.sum()
    number = np.minimum((rank * _COMPONENTS).astype(int), _COMPONENTS - 1)
    return np.eye(_COMPONENTS)[number]


def _maximise(pixels: Array, weight: Array, belongs: Array) -> _Mixture:
    part = belongs * weight[:, None]  # (N, K)
    total = part.sum(0) + 1e-6
    mean = part.T @ pixels / total[:, None]
    offset = pixels[:, None] - mean
    covariance = np.einsum("nk,nki,nkj->kij", part, offset, offset, optimize=True) / total[:, None, None]
    return _Mixture(total / total.sum(), mean, covariance + _FLOOR * np.eye(3))
