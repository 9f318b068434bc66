"""The optimisation loop of dream: draw, crop, compare with the prompts, step (Crowson et al., 2022)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from artcli.backends.dream import fft, rivals
from artcli.backends.dream.canvas import Canvas
from artcli.backends.dream.codes import CodeImage
from artcli.backends.dream.cutouts import Cutouts
from artcli.backends.dream.losses import SOFTNESS, prompt_loss
from artcli.backends.dream.settings import Settings
from artcli.backends.dream.sketch import Sketch
from artcli.backends.dream.steer import Target
from artcli.backends.dream.story import Story
from artcli.backends.frame import Frame
from artcli.device import is_out_of_memory
from artcli.errors import ArtgenError
from artcli.nn.adam import Adam
from artcli.nn.vqgan import VQGAN
from artcli.pretrained.clip import Clip

Drawer = fft.FFTImage | CodeImage | Sketch
FALL = 0.4  # part of the run in which the learning rate falls to zero


def dream(
    targets: Sequence[Target] | Story,
    clip: Clip,
    settings: Settings,
    *,
    seed: int = 0,
    canvas: Canvas | None = None,
    vqgan: VQGAN | None = None,
    state: Mapping[str, Any] | None = None,
) -> Iterator[Frame]:
    """Draw what the targets say; yields a Frame after every step.

    vqgan: what draws; None draws a Fourier image.
    All randomness of step k comes from (seed, k): the same arguments give the same bytes, also when `state`, taken
    from an earlier Frame, lets the run go on where another stopped.
    Raises ArtgenError when the loss is not finite, or memory runs out even for a single crop at a time.
    """
    artist = _Artist(targets, clip, settings, seed, canvas, vqgan)
    if state is not None:
        artist.load(state)
    for step in range(artist.step, settings.steps):
        loss = artist.advance(step)
        metrics = {"loss": loss, "similarity": artist.similarity}
        yield Frame(step + 1, settings.steps, artist.picture, metrics, artist.state)


class _Artist:
    """What a run carries from step to step."""

    def __init__(
        self,
        targets: Sequence[Target] | Story,
        clip: Clip,
        settings: Settings,
        seed: int,
        canvas: Canvas | None = None,
        vqgan: VQGAN | None = None,
    ):
        self.story = targets if isinstance(targets, Story) else Story([targets])
        self.targets = self.story.at(0.0)
        self.clip, self.settings, self.seed, self.canvas = clip, settings, seed, canvas
        self.step, self.similarity, self.chunk = 0, 0.0, settings.chunk
        # A grid of codes that starts small has no room for what is in a photograph.
        coarse = vqgan is None or canvas is None or canvas.sketch is not None
        self.starts_small = settings.starts_small and coarse
        self.drawer = self._drawer(vqgan)
        self.rivals = rivals.embed(clip, self.story.embeddings()) if settings.loss == "contrast" else None
        self.cutouts = Cutouts(settings.cutouts, clip.side, settings.cut_power, settings.augment)
        self._begin_stage()

    def _drawer(self, vqgan: VQGAN | None) -> Drawer:
        rng, settings = _rng(self.seed, -1), self.settings
        drawer: Drawer
        if vqgan is not None and settings.start in ("prior", "sketch") and self.starts_small:
            drawer = Sketch(vqgan, settings.height, settings.width, rng, settings.tileable)
        elif vqgan is None:
            drawer = fft.FFTImage(settings.height, settings.width, rng, self.clip.device)
        else:
            drawer = CodeImage(vqgan, *self._size(0), rng, settings.start, settings.tileable)
        if self.canvas is not None:
            _start(drawer, self.canvas, self._size(0))
        return drawer

    def _begin_stage(self) -> None:
        """A new optimizer and a new running mean, for the parameters as they are now."""
        self.optimizer = _optimizer(self.settings, self.drawer)
        self.rates = [group["lr"] for group in self.optimizer.param_groups]
        self.average, self.averaged = [torch.zeros_like(p) for p in self.drawer.parameters()], 0

    def advance(self, step: int) -> float:
        """One optimizer step; the loss."""
        self._set_pace(step)
        self.optimizer.zero_grad()
        image = self.drawer.draw(*self._size(step))
        if self.canvas is not None:
            image = self.canvas.compose(image)
        self.seen = image.detach()
        loss, gradient = self._look(image, _rng(self.seed, step))
        if not torch.isfinite(gradient).all():
            raise ArtgenError(f"the gradient is not finite at step {step + 1}; try a lower --lr")
        loss += self._pull_to_init(image, gradient)
        image.backward(gradient)
        self.optimizer.step()
        self.drawer.settle()
        for mean, now in zip(self.average, self.drawer.parameters(), strict=True):
            mean.lerp_(now.detach(), 1 - self.settings.ema)
        self.averaged += 1
        self.step = step + 1
        return loss

    def _set_pace(self, step: int) -> None:
        """The words of this step; forget the small picture's gradients when it grows; slow down towards the end.

        The frequencies that only the large picture has know no gradients yet; with the running averages of the small
        one their first steps would be an order of magnitude too long, and stay behind as speckle.
        """
        self.targets = self.story.at(step / self.settings.steps)
        if step and self._size(step) != self._size(step - 1):
            self.drawer.grow(*self._size(step))
            self._begin_stage()
        left = (self.settings.steps - step) / self.settings.steps * len(self.story)
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * min(1.0, left / FALL)

    def _size(self, step: int) -> tuple[int, int]:
        """Small in the first part of the first scene: there CLIP sees the whole subject, and a step costs less."""
        height, width = self.settings.height, self.settings.width
        small = self.settings.low_res
        if not self.starts_small or step >= self.settings.steps * self.settings.small_part / len(self.story):
            return height, width
        factor = small / min(height, width)
        return max(2, round(height * factor)), max(2, round(width * factor))

    def _look(self, image: torch.Tensor, rng: torch.Generator) -> tuple[float, torch.Tensor]:
        """Loss of the prompts and its gradient to the picture, with the crops in chunks that fit into memory."""
        seen = image.detach().requires_grad_()
        drawn = rng.get_state()
        while True:
            try:
                return self._look_in_chunks(seen, rng.set_state(drawn))
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                if self.chunk <= 1:
                    raise ArtgenError("out of memory with one crop at a time; try a smaller --size") from error
                self.chunk = max(1, min(self.chunk, self.settings.cutouts) // 2)

    def _look_in_chunks(self, seen: torch.Tensor, rng: torch.Generator) -> tuple[float, torch.Tensor]:
        crops = self.cutouts(self._turned(seen, rng), rng)
        if len(crops) <= self.chunk:
            loss = self._loss(crops)
            return loss.item(), torch.autograd.grad(loss, seen)[0]
        detached = crops.detach().requires_grad_()
        total = 0.0
        for part in detached.split(self.chunk):
            loss = self._loss(part) * (len(part) / len(crops))
            loss.backward()
            total += loss.item()
        return total, torch.autograd.grad(crops, seen, detached.grad)[0]

    def _turned(self, seen: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        """A tileable picture wraps around: beyond each edge comes the opposite one."""
        if not self.settings.tileable:
            return seen
        shifts = [int(torch.randint(side, (), generator=rng)) for side in seen.shape[2:]]
        return seen.roll(shifts, (2, 3))

    def _loss(self, crops: torch.Tensor) -> torch.Tensor:
        features = self.clip.encode_image(crops)
        unit = torch.nn.functional.normalize(features.detach(), dim=1)
        self.similarity = (unit @ self.targets[0][1]).mean().item()
        losses = [
            prompt_loss(features, target, prompt, self.settings.loss, self.rivals, self.clip.scale * SOFTNESS)
            for prompt, target in self.targets
        ]
        return torch.stack(losses).sum()

    def _pull_to_init(self, image: torch.Tensor, gradient: torch.Tensor) -> float:
        """Adds the gradient of weight / 2 * mean squared distance to what is pulled to; returns its loss."""
        loss = 0.0
        for weight, wanted in self._pulls():
            away = image.detach() - fft.resize(wanted[None].to(image.device), *image.shape[-2:])
            gradient += weight * away / away.numel()
            loss += weight / 2 * away.square().mean().item()
        return loss

    def _pulls(self) -> list[tuple[float, torch.Tensor]]:
        """Weights and pictures, (3, H, W): the sketch of this scene, and where it melts that of the next."""
        canvas, settings = self.canvas, self.settings
        if canvas is None or not settings.init_weight:
            return []
        if not canvas.later:
            return [(settings.init_weight * settings.init_decay**self.step, canvas.begun)]
        scene, turned = self.story.place(self.step / settings.steps)
        since = self.step - scene * settings.steps / len(self.story)
        sketches, weight = (canvas.begun, *canvas.later), settings.init_weight
        pulls = [(weight * settings.init_decay**since * (1 - turned), sketches[scene])]
        return [*pulls, (weight * turned, sketches[scene + 1])] if turned else pulls

    @torch.no_grad()
    def picture(self) -> torch.Tensor:
        """(3, H, W) in 0..1 at full size: drawn from the running mean of the parameters.

        Where drawing is most of a step's work, only the last picture is; before it, what the step has seen.
        """
        if self.drawer.costly and self.step < self.settings.steps:
            return fft.resize(self.seen, self.settings.height, self.settings.width)[0]
        parameters = self.drawer.parameters()
        kept = [p.clone() for p in parameters]
        correction = 1 - self.settings.ema**self.averaged
        for parameter, mean in zip(parameters, self.average, strict=True):
            parameter.copy_(mean / correction)
        image = self.drawer.draw(*self._size(self.step - 1))
        for parameter, value in zip(parameters, kept, strict=True):
            parameter.copy_(value)
        image = fft.resize(image, self.settings.height, self.settings.width)
        if self.step == self.settings.steps:
            image = self.drawer.calm(image, self.settings.shifts)
        return (image if self.canvas is None else self.canvas.compose(image))[0]

    def state(self) -> dict[str, Any]:
        """Everything that the next step depends on, besides the arguments of `dream`."""
        return {
            "step": self.step,
            "chunk": self.chunk,
            "parameters": [p.detach().clone() for p in self.drawer.parameters()],
            "average": [a.clone() for a in self.average],
            "averaged": self.averaged,
            "optimizer": self.optimizer.state_dict(),
        }

    @torch.no_grad()
    def load(self, state: Mapping[str, Any]) -> None:
        self.step, self.chunk = state["step"], state["chunk"]
        self.drawer.grow(*self._size(max(0, self.step - 1)))
        self._begin_stage()
        self.averaged = state["averaged"]
        for here, saved in zip(self.drawer.parameters(), state["parameters"], strict=True):
            here.copy_(saved)
        for mean, saved in zip(self.average, state["average"], strict=True):
            mean.copy_(saved)
        self.optimizer.load_state_dict(state["optimizer"])


@torch.no_grad()
def _start(drawer: Drawer, canvas: Canvas, size: tuple[int, int]) -> None:
    """Blend the photograph into the canvas, in the drawer's own parameters."""
    codes = isinstance(drawer, CodeImage)  # which start at the size of the first stage, a spectrum at the full one
    drawer.start_from(fft.resize(canvas.begun[None], *size)[0] if codes else canvas.begun)
    if canvas.before is None or isinstance(drawer, Sketch):
        return
    photo = [latent.clone() for latent in drawer.latents()]
    drawer.start_from(canvas.before)
    for latent, other in zip(drawer.latents(), photo, strict=True):
        latent.lerp_(other, 1 - canvas.steady)


def _rng(seed: int, step: int) -> torch.Generator:
    return torch.Generator().manual_seed((seed * 1_000_003 + step + 1) % 2**63)


def _optimizer(settings: Settings, drawer: Drawer) -> Adam:
    rate = drawer.rate if settings.lr is None else settings.lr
    return Adam(drawer.parameters(), settings.optimizer, lr=rate, betas=drawer.betas)
