"""WGAN-GP ("Improved Training of Wasserstein GANs", Gulrajani et al., 2017): DCGAN's nets, another loss.

A critic instead of the discriminator: its judgements are not right or wrong, but as far apart as its slope of about 1
between real and drawn pictures allows.  So it can be ahead without leaving the generator with nothing to learn from.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from artcli.models import dcgan
from artcli.nn.penalty import gradient_penalty
from artcli.training.contract import Batch


@dataclass(frozen=True)
class Config(dcgan.Config):
    """64 px on two CPU cores.

    penalty: weight of the gradient penalty.  critic_steps: of the critic for each of the generator.
    size to lr: see dcgan and Settings.
    """

    penalty: float = 10.0
    critic_steps: int = 2


PRESETS = {
    "light": Config(),
    "paper": Config(width=64, discriminator_width=64, diffaugment="", critic_steps=5, lr=1e-4),
}


class Model(dcgan.Model):
    """See Adversarial."""

    norm = "layer"  # the penalty is of each picture alone
    betas = (0.0, 0.9)
    judge = "critic"
    layout = torch.contiguous_format  # in which a step with the penalty is faster

    def __init__(self, config: Config, classes: int = 0, facts: int = 0):
        super().__init__(config, classes, facts)
        self.step = 0

    def begin(self, step: int) -> None:
        self.step = step

    def worst_step(self, total: int) -> int:
        return min(total, self.config.critic_steps) - 1

    def train_step(self, batch: Batch) -> Iterator[tuple[str, torch.Tensor]]:
        real, known = self._given(batch)
        with torch.no_grad():
            drawn = self._draw(batch.normal(self.config.latent), known)
        real, drawn = (self._changed(x, batch) for x in (real, drawn))
        ahead = self._judged(real, known).mean() - self._judged(drawn, known).mean()
        steep = gradient_penalty(lambda x: self._judged(x, known), real, drawn, batch.uniform(1, 1, 1))
        self._last = {"distance": float(ahead.detach()), "steepness": float(steep.detach())}
        yield self.judge, self.config.penalty * steep - ahead
        if (self.step + 1) % self.config.critic_steps == 0:
            with self._frozen():
                drawn = self._changed(self._draw(batch.normal(self.config.latent), known), batch)
                loss = -self._judged(drawn, known).mean()
            yield "generator", loss

    @property
    def metrics(self) -> dict[str, float]:
        """Of the last step: distance, how far apart real and drawn pictures are judged, and the gradient penalty."""
        return self._last
