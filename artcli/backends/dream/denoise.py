"""Pictures by Stable Diffusion (Rombach et al., 2022): diffusers' nets and solvers, in a loop of our own.

Its forms - from noise, over a photograph, within a mask - draw their random numbers in the order in which diffusers'
pipelines do: the same seed, settings and float32 give the same picture as these.
"""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F

from artcli.backends.dream import rivals
from artcli.backends.dream.canvas import Canvas, resize
from artcli.backends.dream.prior import found, views
from artcli.backends.dream.prompts import Prompt
from artcli.backends.dream.settings import Denoising
from artcli.backends.frame import Frame
from artcli.device import is_out_of_memory
from artcli.errors import ArtgenError
from artcli.pretrained.clip import Clip
from artcli.pretrained.pipelines import Pipeline

LATEST = 0.15  # of the noise's time, which runs down to 0: after it, CLIP could only add grain


class Guide:
    """A CLIP that leads towards the words ("CLIP guided diffusion", Crowson, 2021)."""

    def __init__(self, clip: Clip, words: Sequence[Prompt], seed: int):
        embeddings = clip.encode_text([prompt.text for prompt in words])
        self.clip, self.rng = clip, torch.Generator().manual_seed(seed)
        self.targets = list(zip(embeddings, [prompt.weight for prompt in words], strict=True))
        self.rivals = rivals.embed(clip, embeddings)

    def score(self, picture: torch.Tensor) -> torch.Tensor:
        """How well it finds the words in a picture (1, 3, h, w) in 0..1, in views that shift from call to call."""
        scores = [found(self.clip, self.targets, view, self.rivals) for view in views(picture, self.rng)]
        return torch.cat(scores).mean()


@torch.no_grad()
def denoise(
    model: Pipeline,
    words: Sequence[Prompt],
    how: Denoising,
    size: tuple[int, int],
    *,
    seed: int = 0,
    canvas: Canvas | None = None,
    clip: Clip | None = None,
    state: Mapping[str, Any] | None = None,
) -> Iterator[Frame]:
    """Draw what the words say; yields a Frame after every step of the solver, of `how.taken`.

    words: several join as predictions, each by its weight (Liu et al., 2022, "Compositional Visual Generation").
    size: (width, height).  canvas: a photograph of this size, drawn anew by `how.strength`, only within its mask.
    clip: leads by `how.clip_guidance`.  A Frame shows the picture that the net expects, the last one what was drawn.
    The same arguments give the same bytes, also when `state`, of an earlier Frame, lets a run go on.
    Raises ArtgenError: memory runs out, or the numbers are no longer finite.
    """
    with _memory():
        artist = _Artist(model, words, how, size, seed, canvas, clip)
        if state is not None:
            artist.load(state)
    done = 0 if state is None else state["step"]
    while done < how.taken:
        with _memory():
            metrics = artist.advance()
        step = artist.evaluated * how.taken // len(artist.times)  # some solvers ask the net more often than they step
        if step > done:
            done = step
            shown = artist.latents if done == how.taken else artist.expected
            yield Frame(done, how.taken, partial(artist.picture, shown), metrics, partial(artist.state, done))


class _Artist:
    """What a run carries from step to step.

    times: of the solver, at which the net is asked; evaluated: of them.  latents: (1, C, h, w) in float32.  expected:
    those of the finished picture, as the net sees it now.  photo: what was there, which comes back after every step
    where the mask, (1, 1, h, w), is 0.
    """

    def __init__(
        self,
        model: Pipeline,
        words: Sequence[Prompt],
        how: Denoising,
        size: tuple[int, int],
        seed: int,
        canvas: Canvas | None,
        clip: Clip | None,
    ):
        self.model, self.how, self.size, self.canvas = model, how, size, canvas
        self.net, self.device = model.pipe.unet, model.device
        self.dtype = next(self.net.parameters()).dtype
        self.rng = torch.Generator().manual_seed(seed)
        self.guide = None if clip is None or not how.clip_guidance else Guide(clip, words, seed)
        self.weights = [prompt.weight for prompt in words]
        self.drawn = _drawn_size(model, size, masked=canvas is not None and canvas.mask is not None)
        self.told = self._tell([prompt.text for prompt in words])
        self.evaluated = 0
        self._set_solver()
        self._begin()

    # before the first step --------------------------------------------------------------------------------------------

    def _tell(self, texts: list[str]) -> dict[str, Any]:
        """What the net hears: with guidance, the negative text in front of the others."""
        pipe, guided = self.model.pipe, self.how.guidance > 1
        negative = [self.how.negative] * len(texts) if self.how.negative else None
        embeddings = pipe.encode_prompt(
            prompt=texts, device=self.device, num_images_per_prompt=1, do_classifier_free_guidance=guided,
            negative_prompt=negative,
        )  # fmt: skip
        said = [torch.cat((away[:1], towards)) if guided else towards for towards, away in _pairs(embeddings)]
        told: dict[str, Any] = {"encoder_hidden_states": said[0].to(self.dtype)}
        if self.model.large:
            width, height = self.drawn
            sizes = torch.tensor([[height, width, 0, 0, height, width]], dtype=torch.float32, device=self.device)
            pooled = said[1].to(self.dtype)
            told["added_cond_kwargs"] = {"text_embeds": pooled, "time_ids": sizes.repeat(len(pooled), 1)}
        return told

    def _set_solver(self) -> None:
        kept = self.model.pipe.scheduler  # which other pictures use, too
        self.solver = type(kept).from_config(kept.config)
        self.solver.set_timesteps(self.how.steps, device=self.device)
        behind = (self.how.steps - self.how.taken) * self.solver.order
        self.times = self.solver.timesteps[behind:]
        if behind and hasattr(self.solver, "set_begin_index"):
            self.solver.set_begin_index(behind)
        takes = inspect.signature(self.solver.step).parameters
        self.randomly = {"generator": self.rng} if "generator" in takes else {}
        self.share = self.solver.alphas_cumprod.double().cpu()  # of the picture in noisy latents, by time

    def _begin(self) -> None:
        width, height = (side // self.model.factor for side in self.drawn)
        shape = (1, self.model.pipe.vae.config.latent_channels, height, width)
        self.photo: torch.Tensor | None = None
        self.mask: torch.Tensor | None = None
        self.beside: list[torch.Tensor] = []  # what the net takes with the latents
        if self.canvas is None:
            self.noise = self._normal(shape)
            self.latents = self.noise * self.solver.init_noise_sigma
            return
        photo, mask = self._canvas()
        if mask is None or self.how.strength < 1 or not self.model.inside:
            self.photo = self._encode(photo)
        self.noise = self._normal(shape)
        if self.photo is not None and (mask is None or self.how.strength < 1):
            self.latents = self.solver.add_noise(self.photo, self.noise, self.times[:1])
        else:
            self.latents = self.noise * self.solver.init_noise_sigma
        if mask is not None:
            self.mask = F.adaptive_max_pool2d(mask, (height, width))
            self.beside = [self.mask, self._encode(photo * (1 - mask))] if self.model.inside else []

    def _canvas(self) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The photograph, (1, 3, h, w) in -1..1, and its mask, (1, 1, h, w) of 0 and 1, as large as what is drawn."""
        assert self.canvas is not None
        width, height = self.drawn
        photo, mask = self.canvas.photo[None].to(self.device), self.canvas.mask
        if mask is None:
            right, below = width - photo.shape[3], height - photo.shape[2]
            return F.pad(photo, (0, right, 0, below), mode="replicate") * 2 - 1, None
        soft = resize(mask[None].to(self.device), height, width)
        return resize(photo, height, width) * 2 - 1, (soft >= 0.5 * soft.max()).float()

    def _normal(self, shape: tuple[int, ...]) -> torch.Tensor:
        return torch.randn(shape, generator=self.rng).to(self.device)

    def _encode(self, picture: torch.Tensor) -> torch.Tensor:
        vae = self.model.pipe.vae
        return vae.encode(picture).latent_dist.sample(self.rng) * vae.config.scaling_factor  # type: ignore[no-any-return]

    # a step -----------------------------------------------------------------------------------------------------------

    def advance(self) -> dict[str, float]:
        """Ask the net once, and let the solver go on."""
        time, metrics = self.times[self.evaluated], dict[str, float]()
        noisy = self.solver.scale_model_input(self.latents, time)
        said = self._ask(noisy, time)
        self.expected = self._expected(noisy, said, time)
        if self.guide is not None and float(time) > LATEST * len(self.share):
            self.expected, metrics["loss"] = self._led(self.expected)
            said = self._said(noisy, self.expected, time)
        if not torch.isfinite(said).all():
            raise ArtgenError(f"the net's numbers are not finite at step {self.evaluated + 1}; try a lower --guidance")
        self.latents = self.solver.step(said, time, self.latents, **self.randomly, return_dict=False)[0]
        self.evaluated += 1
        self._keep()
        return metrics

    def _ask(self, noisy: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        """The net's answer with guidance: away from the negative text, towards the others."""
        told = self.told["encoder_hidden_states"]
        given = torch.cat([noisy, *self.beside], 1).expand(len(told), -1, -1, -1)
        answers = self.net(given.to(self.dtype), time, **self.told, return_dict=False)[0].float()
        if self.how.guidance <= 1:
            return answers  # type: ignore[no-any-return]
        away, *towards = answers.split(1)
        steps = [weight * (answer - away) for weight, answer in zip(self.weights, towards, strict=True)]
        return away + self.how.guidance * torch.stack(steps).sum(0)  # type: ignore[no-any-return]

    def _keep(self) -> None:
        """Outside the mask, the photograph with as much noise as belongs to the time."""
        photo = self.photo
        if photo is None or self.mask is None or self.model.inside:
            return
        if self.evaluated < len(self.times):
            photo = self.solver.add_noise(photo, self.noise, self.times[self.evaluated : self.evaluated + 1])
        self.latents = torch.lerp(photo, self.latents, self.mask)

    def _shares(self, time: torch.Tensor) -> tuple[float, float]:
        """How much of the picture and of the noise is in latents as the net takes them; their squares add up to 1."""
        below, part = divmod(float(time), 1)
        picture = float(self.share[int(below)])
        if part:  # Karras' times lie between the training's
            picture *= (float(self.share[int(below) + 1]) / picture) ** part
        return picture**0.5, (1 - picture) ** 0.5

    def _expected(self, noisy: torch.Tensor, said: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        """Latents of the finished picture by what the net says."""
        picture, noise = self._shares(time)
        kind = self.solver.config.prediction_type
        if kind == "sample":
            return said
        return picture * noisy - noise * said if kind == "v_prediction" else (noisy - noise * said) / picture

    def _said(self, noisy: torch.Tensor, expected: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        """What the net would say if it expected this; the inverse of `_expected`."""
        picture, noise = self._shares(time)
        kind = self.solver.config.prediction_type
        if kind == "sample":
            return expected
        return (picture * noisy - expected if kind == "v_prediction" else noisy - picture * expected) / noise

    def _led(self, expected: torch.Tensor) -> tuple[torch.Tensor, float]:
        """The latents moved to where CLIP finds the words better ("Universal Guidance", Bansal et al., 2023)."""
        assert self.guide is not None
        seen = expected.detach().requires_grad_()
        with torch.enable_grad():
            score = self.guide.score(self._decode(seen))
            way = torch.autograd.grad(score, seen)[0]
        return expected + self.how.clip_guidance * way / way.square().mean().sqrt().clamp_min(1e-12), -score.item()

    # what is shown ----------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def picture(self, latents: torch.Tensor) -> torch.Tensor:
        """(3, H, W) in 0..1, of the size that was asked for."""
        with _memory():
            drawn = self._decode(latents)
        width, height = self.size
        if self.canvas is None or self.canvas.mask is None:
            return drawn[0, :, :height, :width]
        return self.canvas.compose(resize(drawn, height, width))[0]

    def _decode(self, latents: torch.Tensor) -> torch.Tensor:
        """(1, 3, h, w) in 0..1."""
        vae = self.model.pipe.vae
        return (vae.decode(latents / vae.config.scaling_factor, return_dict=False)[0] / 2 + 0.5).clamp(0, 1)  # type: ignore[no-any-return]

    # going on later ---------------------------------------------------------------------------------------------------

    def state(self, step: int) -> dict[str, Any]:
        """Everything that the next step depends on, besides the arguments of `denoise`."""
        return {
            "step": step,
            "evaluated": self.evaluated,
            "latents": self.latents.clone(),
            "drawn": self.rng.get_state(),
            "looked": None if self.guide is None else self.guide.rng.get_state(),
            "solver": {name: value for name, value in vars(self.solver).items() if _is_plain(value)},
        }

    def load(self, state: Mapping[str, Any]) -> None:
        self.evaluated, self.latents = state["evaluated"], state["latents"].to(self.device)
        self.rng.set_state(state["drawn"])
        if self.guide is not None:
            self.guide.rng.set_state(state["looked"])
        for name, value in state["solver"].items():
            now = getattr(self.solver, name, None)
            place = now.device if isinstance(now, torch.Tensor) else self.device
            setattr(self.solver, name, _placed(value, place))


def _drawn_size(model: Pipeline, size: tuple[int, int], masked: bool) -> tuple[int, int]:
    """(width, height) of what is drawn: the picture's, in whole latents.

    What is within a mask is drawn as large as pictures were in training: a small window of a photo would be too small
    for the model, one of a large photo too large.
    """
    scale = model.side / (size[0] * size[1]) ** 0.5 if masked else 1.0
    width, height = (max(1, -(-round(side * scale) // model.factor)) * model.factor for side in size)
    return width, height


def _pairs(embeddings: Sequence[Any]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Each of a pipeline's embeddings, with its negative one behind it."""
    return zip(embeddings[::2], embeddings[1::2], strict=True)


def _is_plain(value: Any) -> bool:
    """Whether a saved state can hold it; of a solver, all that steps change is such."""
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return isinstance(value, torch.Tensor) or type(value) in (int, float, bool, str, type(None))


def _placed(value: Any, device: torch.device) -> Any:
    if isinstance(value, list | tuple):
        return type(value)(_placed(each, device) for each in value)
    return value.to(device) if isinstance(value, torch.Tensor) else value


@contextmanager
def _memory() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if is_out_of_memory(error):
            raise ArtgenError("out of memory; try a smaller --size") from error
        raise
