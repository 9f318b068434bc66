"""GANs as plain PyTorch: straightforward layers and loops, as public implementations have them, beside which
bench/gan.py times ours.

The nets of `gan`, `dcgan` and `wgan-gp` are plain layers already, and are taken as they are.  `stylegan` gets the
layers of the formulas: zeros between pixels and one filter in two dimensions; a convolution in groups, with weights of
its own for every picture.  Every loop yields after a step.
"""

import copy
import math
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from artcli.models.stylegan import PATH_EVERY, R1_EVERY
from artcli.nn import stylegan

Steps = Iterator[None]

# Layers ---------------------------------------------------------------------------------------------------------------


def filtered(x: torch.Tensor, gain: float, left: int, right: int) -> torch.Tensor:
    taps = torch.tensor([1.0, 3, 3, 1])
    kernel = (taps[:, None] * taps / 64 * gain).expand(x.shape[1], 1, 4, 4)
    return F.conv2d(F.pad(x, (left, right, left, right)), kernel, groups=x.shape[1])


def doubled(x: torch.Tensor) -> torch.Tensor:
    wide = x.new_zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])
    wide[:, :, ::2, ::2] = x
    return filtered(wide, 4, 2, 1)


def halved(x: torch.Tensor) -> torch.Tensor:
    return filtered(x, 1, 1, 1)[:, :, ::2, ::2]


def in_groups(
    x: torch.Tensor, weight: torch.Tensor, style: torch.Tensor, *, demodulate: bool = True, doubles: bool = False
) -> torch.Tensor:
    own = weight * style[:, None, :, None, None]  # (B, O, I, k, k)
    if demodulate:
        own = own * (own.square().sum((2, 3, 4), keepdim=True) + 1e-8).rsqrt()
    count, side = len(x), x.shape[2]
    x = x.reshape(1, -1, side, side)
    if not doubles:
        padding = weight.shape[2] // 2
        return F.conv2d(x, own.flatten(0, 1), padding=padding, groups=count).unflatten(1, (count, -1))[0]
    wide = F.conv_transpose2d(x, own.transpose(1, 2).flatten(0, 1), stride=2, groups=count)
    return filtered(wide.unflatten(1, (count, -1))[0], 4, 1, 1)


class Styled(stylegan.Styled):
    def forward(self, x: torch.Tensor, w: torch.Tensor, noise: torch.Tensor | None) -> torch.Tensor:
        x = in_groups(x, self.weight, self.affine(w), doubles=self.doubles)
        noise = self.noise_const if noise is None else noise
        return stylegan.bent(x + noise * self.noise_strength + self.bias[:, None, None])


class ToRGB(stylegan.ToRGB):
    def forward(self, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        return in_groups(x, self.weight, self.affine(w) * self.scale, demodulate=False) + self.bias[:, None, None]


class Block(stylegan.Block):
    def forward(self, x, colours, styles, noises):  # type: ignore[no-untyped-def]
        taken = iter(styles)
        if x is None:
            x = self.const.repeat(len(styles[0]), 1, 1, 1)
        else:
            x = self.conv0(x, next(taken), noises.pop(0) if noises else None)
        x = self.conv1(x, next(taken), noises.pop(0) if noises else None)
        drawn = self.torgb(x, next(taken))
        return x, drawn if colours is None else drawn + doubled(colours)


class Conv(stylegan.Conv):
    def forward(self, x: torch.Tensor, gain: float = 1.0) -> torch.Tensor:
        if self.halves:
            x = filtered(x, 1, 1 + self.padding, 1 + self.padding)
        stride, padding = (2, 0) if self.halves else (1, self.padding)
        x = F.conv2d(x, self.weight * self.scale, stride=stride, padding=padding)
        return x * gain if self.bias is None else stylegan.bent(x + self.bias[:, None, None], gain)


class Discriminator(stylegan.Discriminator):
    def forward(self, images, labels=None, facts=None):  # type: ignore[no-untyped-def]
        x = images
        for side in self.sides:
            x = getattr(self, f"b{side}")(x)
        return self.b4(x, labels, facts)


_PLAIN = {plain.__base__: plain for plain in (Styled, ToRGB, Block, Conv, Discriminator)}


def straightforward(net: nn.Module) -> Any:
    """A copy of a net of `artcli.nn.stylegan`, with the layers above in the place of ours."""
    net = copy.deepcopy(net)
    for module in net.modules():
        module.__class__ = _PLAIN.get(type(module), type(module))
    return net


# Loops ----------------------------------------------------------------------------------------------------------------


class Alternating:
    """Discriminator, then generator: `gan` and `dcgan`.  model: ours, whose nets it takes.  images: uint8."""

    betas = (0.5, 0.999)

    def __init__(self, model: Any, images: torch.Tensor):
        self.config, self.images, self.step = model.config, images, 0
        self.generator, self.discriminator = self.nets(model)
        self.to_draw, self.to_judge = (
            torch.optim.Adam(net.parameters(), model.config.lr, self.betas)
            for net in (self.generator, self.discriminator)
        )

    def nets(self, model: Any) -> tuple[Any, Any]:
        return copy.deepcopy(model.generator), copy.deepcopy(model.discriminator)

    def only(self, net: nn.Module) -> None:
        """Compute gradients of this net alone; `gan` and `dcgan` of both."""
        for each in (self.generator, self.discriminator):
            each.requires_grad_(each is net)

    def real(self) -> torch.Tensor:
        rows = torch.randint(len(self.images), (self.config.batch,))
        return self.images[rows].float() / 127.5 - 1

    def latents(self) -> torch.Tensor:
        return torch.randn(self.config.batch, self.config.latent)

    def run(self) -> Steps:
        while True:
            self.one()
            self.step += 1
            yield

    def one(self) -> None:
        drawn = self.generator(self.latents())
        self.to_judge.zero_grad()
        self.right(self.real(), 1.0).backward()
        self.right(drawn.detach(), 0.0).backward()
        self.to_judge.step()
        self.to_draw.zero_grad()
        self.right(drawn, 1.0).backward()
        self.to_draw.step()

    def right(self, images: torch.Tensor, wanted: float) -> torch.Tensor:
        judged = self.discriminator(images)
        return F.binary_cross_entropy_with_logits(judged, torch.full_like(judged, wanted))


class Wasserstein(Alternating):
    """`wgan-gp`."""

    betas = (0.0, 0.9)

    def one(self) -> None:
        self.only(self.discriminator)
        real, drawn = self.real(), self.generator(self.latents())
        self.to_judge.zero_grad()
        ahead = self.discriminator(real).mean() - self.discriminator(drawn).mean()
        (self.config.penalty * self.steep(real, drawn) - ahead).backward()
        self.to_judge.step()
        if (self.step + 1) % self.config.critic_steps == 0:
            self.only(self.generator)
            self.to_draw.zero_grad()
            (-self.discriminator(self.generator(self.latents())).mean()).backward()
            self.to_draw.step()

    def steep(self, real: torch.Tensor, drawn: torch.Tensor) -> torch.Tensor:
        between = torch.lerp(drawn, real, torch.rand(len(real), 1, 1, 1)).requires_grad_()
        (slope,) = torch.autograd.grad(self.discriminator(between).sum(), between, create_graph=True)
        return (slope.flatten(1).norm(dim=1) - 1).square().mean()


class Styles(Alternating):
    """`stylegan`: the regularisers in passes of their own, R1 every 16 steps, path lengths every 4 of half a batch."""

    betas = (0.0, 0.99)

    def __init__(self, model: Any, images: torch.Tensor):
        super().__init__(model, images)
        self.mean, self.average = torch.zeros(()), copy.deepcopy(self.generator).requires_grad_(False)

    def nets(self, model: Any) -> tuple[Any, Any]:
        return straightforward(model.generator), straightforward(model.discriminator)

    def draw(self, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Pictures, and their styles, mixed of two."""
        z = torch.randn(2, count, self.config.latent)
        layers = self.generator.styles
        first = torch.where(torch.rand(count) < self.config.mixing, torch.randint(1, layers, (count,)), layers)
        styles = stylegan.mixed(self.generator.mapping(z[0]), self.generator.mapping(z[1]), first, layers)
        synthesis = self.generator.synthesis
        return synthesis(styles, torch.randn(count, synthesis.noise_count)), styles

    def one(self) -> None:
        self.only(self.discriminator)
        real = self.real()
        judged = [self.discriminator(images) for images in (real, self.draw(len(real))[0])]
        self.learn(self.to_judge, F.softplus(-judged[0]).mean() + F.softplus(judged[1]).mean())
        if self.step % R1_EVERY == 0:
            real.requires_grad_()
            steep = stylegan.steepness(self.discriminator(real), real).mean()
            self.learn(self.to_judge, R1_EVERY * self.config.r1 / 2 * steep)
        self.only(self.generator)
        self.learn(self.to_draw, F.softplus(-self.discriminator(self.draw(len(real))[0])).mean())
        if self.step % PATH_EVERY == 0:
            self.learn(self.to_draw, PATH_EVERY * self.config.path * self.paths(len(real) // 2))
        for kept, now in zip(self.average.parameters(), self.generator.parameters(), strict=True):
            kept.mul_(self.config.ema).add_(now.detach(), alpha=1 - self.config.ema)

    def paths(self, count: int) -> torch.Tensor:
        drawn, styles = self.draw(count)
        change = torch.randn_like(drawn) / math.sqrt(drawn.shape[2] * drawn.shape[3])
        (slope,) = torch.autograd.grad((drawn * change).sum(), styles, create_graph=True)
        lengths = slope.square().sum(2).mean(1).sqrt()
        self.mean = self.mean.lerp(lengths.mean().detach(), 0.01)
        return (lengths - self.mean).square().mean()

    def learn(self, optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> None:
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


LOOPS = {"gan": Alternating, "dcgan": Alternating, "wgan-gp": Wasserstein, "stylegan": Styles}
