"""The optimisation loop of stylize: from coarse to fine, towards the style's statistics (Gatys et al., 2016)."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F

from artcli.backends.frame import Frame
from artcli.backends.stylize import colour, objective
from artcli.backends.stylize.moments import Moments, mix
from artcli.backends.stylize.objective import Objective, Region
from artcli.backends.stylize.schedule import Stage, fit
from artcli.backends.stylize.settings import Settings
from artcli.backends.stylize.styles import Styles, measure, resize
from artcli.device import is_out_of_memory
from artcli.errors import ArtgenError
from artcli.nn.adam import Adam
from artcli.nn.features import FeatureNet

_LONGEST = 0.02  # step of L-BFGS, root of the mean square over the picture, in 0..1 of colours
_TRIAL = 6  # steps that trying a scale takes about as long as: styles and content are measured too
_ROUGH = 256  # pixels
_WORTH_TIMING = 0.03  # of the time there is: larger scales are estimated by their pixels


def stylize(
    photo: torch.Tensor,
    styles: Styles,
    settings: Settings,
    stages: Sequence[Stage],
    *,
    masks: Sequence[torch.Tensor] = (),
    seed: int = 0,
    state: Mapping[str, Any] | None = None,
) -> Iterator[Frame]:
    """Paint the photo (3, H, W) in the styles; yields a Frame after every step, of the size of the scale in work.

    masks: (1, H, W) in 0..1, one for each style, where it goes; a single one for all styles; or none.
    state: of an earlier Frame, lets the run go on where another stopped, to the same bytes.
    Raises ArtgenError when the loss is not finite, or memory runs out.
    """
    painter = _Painter(photo, styles, settings, stages, masks, seed)
    painter.start() if state is None else painter.load(state)
    total = sum(stage.steps for stage in stages)
    try:
        while painter.step < total:
            metrics = painter.advance()
            yield Frame(painter.step, total, painter.picture, metrics, painter.state)
    except Exception as error:
        if is_out_of_memory(error):
            raise ArtgenError("out of memory; try a smaller --size or a smaller --tile") from error
        raise


def seconds_per_step(
    photo: torch.Tensor,
    styles: Styles,
    settings: Settings,
    stages: Sequence[Stage],
    limit: float,
    budget: float = math.inf,
) -> list[float]:
    """Of each scale, as far as trying does not itself use up the time limit; beyond that by the number of pixels.

    budget: seconds for trying, where a rough answer is enough: then the first scale is tried on fewer pixels too.
    """
    found: list[float] = []
    began = time.monotonic()
    for number, stage in enumerate(stages):
        guess = found[-1] * (stage.side / stages[number - 1].side) ** 2 if found else 0.0
        if guess > limit * _WORTH_TIMING or time.monotonic() - began + _TRIAL * guess > budget:
            found.append(guess)
            continue
        side = min(stage.side, _ROUGH) if not found and budget < math.inf else stage.side
        found.append(_seconds_of_a_step(photo, styles, settings, side) * (stage.side / side) ** 2)
    return found


def _seconds_of_a_step(photo: torch.Tensor, styles: Styles, settings: Settings, side: int) -> float:
    trial = _Painter(photo, styles, settings, [Stage(side, 2)], (), 0)
    trial.start()
    trial.advance()
    started = time.monotonic()
    trial.advance()
    return time.monotonic() - started


class _Painter:
    """What a run carries from step to step."""

    def __init__(
        self,
        photo: torch.Tensor,
        styles: Styles,
        settings: Settings,
        stages: Sequence[Stage],
        masks: Sequence[torch.Tensor],
        seed: int,
    ):
        self.net: FeatureNet = styles.net
        device = self.net.mean.device
        # Contiguous: otherwise the fused optimizer pairs pixels with the gradients of other pixels.
        self.photo, self.masks = photo[None].to(device).contiguous(), [mask[None].to(device) for mask in masks]
        self.styles, self.settings, self.stages, self.seed = styles, settings, stages, seed
        self.weights = objective.Weights.of(settings, self.net)
        self.step, self.stage = 0, 0
        self.by_lbfgs = settings.optimizer == "lbfgs"

    # scales ---------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        self.image = self._first(self._size)
        self._begin()

    @property
    def _size(self) -> tuple[int, int]:
        return fit(tuple(self.photo.shape[-2:]), self.stages[self.stage].side)  # type: ignore[arg-type]

    def _begin(self) -> None:
        """A new objective, optimizer and running mean, for the picture at its present size."""
        photo = resize(self.photo, self._size)
        self.objective = Objective(self.net, self.settings, self.weights, photo, self._regions(photo))
        self.optimizer = self._new_optimizer()
        self.average, self.averaged = torch.zeros_like(self.image), 0
        self.good = self.image.detach()

    def _first(self, size: tuple[int, int]) -> torch.Tensor:
        rng = torch.Generator().manual_seed(self.seed)
        how = self.settings.init
        if how == "content":
            return resize(self.photo, size).clone()
        if how == "style":
            first = self.styles.styles[0]
            drawn = colour.noise_like(first.picture, size, rng, first.mask)
        else:
            drawn = torch.rand(3, *size, generator=rng)
            drawn = drawn if how == "noise" else 0.5 + (drawn - 0.5) / 128  # plain grey would have no gradient
        return drawn[None].to(self.photo).contiguous()

    def _regions(self, photo: torch.Tensor) -> list[Region]:
        """One for each mask when there are several, with the style that goes there; otherwise one for all styles."""
        known, weights = self.styles.at(self.stages[self.stage].side), self.styles.weights
        masks = [resize(mask, self._size) for mask in self.masks]
        if len(masks) > 1:
            return [
                Region(self._softened(wanted, photo, mask), mask, weight)
                for wanted, mask, weight in zip(known, masks, weights, strict=True)
            ]
        mixed = {tap: mix([style[tap] for style in known], weights) for tap in known[0]}
        mask = masks[0] if masks else None
        return [Region(self._softened(mixed, photo, mask), mask)]

    def _softened(
        self, wanted: dict[str, Moments], photo: torch.Tensor, mask: torch.Tensor | None
    ) -> dict[str, Moments]:
        """Between the photo's own statistics and the style's, by the strength."""
        strength = self.settings.strength
        if strength == 1:
            return wanted
        own = measure(photo, self.net, self.settings, mask)
        return {tap: mix([own[tap], wanted[tap]], [1 - strength, strength]) for tap in wanted}

    def _grow(self) -> None:
        """Resize the running mean and Adam's moments to the next scale."""
        before = self.optimizer.state.get(self.image, {})
        self.stage += 1
        self.image = resize(self.picture()[None], self._size)
        self._begin()
        if "exp_avg" not in before:
            return
        self.optimizer.state[self.image] = {
            "step": before["step"],
            "exp_avg": F.interpolate(before["exp_avg"], self._size, mode="bicubic", align_corners=False),
            "exp_avg_sq": F.interpolate(
                before["exp_avg_sq"], self._size, mode="bilinear", align_corners=False
            ).clamp_min(0),
        }

    def _new_optimizer(self) -> Adam | torch.optim.LBFGS:
        if self.by_lbfgs:
            # One evaluation a step; the gradients of means are far below the default tolerances.
            return torch.optim.LBFGS(
                [self.image], lr=self.settings.lr, max_iter=1, tolerance_grad=0, tolerance_change=0
            )
        # A pixel's part in a mean shrinks with the picture: the usual eps would stop large ones.
        # Fused, it needs no copies of a picture that may be large.
        fused = self.image.device.type in ("cpu", "cuda")
        return Adam([self.image], lr=self._rate, betas=self.settings.betas, eps=1e-14, fused=fused)

    @property
    def _rate(self) -> float:
        """Of Adam, at this step; it also takes over from L-BFGS, whose rates are no lengths."""
        settings = self.settings
        if settings.optimizer == "lbfgs":
            return Settings.lr
        done = (self.step - sum(stage.steps for stage in self.stages[: self.stage])) / self.stages[self.stage].steps
        return settings.lr if done < settings.late else settings.late_lr

    # steps ----------------------------------------------------------------------------------------------------------

    def advance(self) -> dict[str, float]:
        """One optimizer step; the terms of the loss before it."""
        if self.step == sum(stage.steps for stage in self.stages[: self.stage + 1]):
            self._grow()
        terms, gradient = self._judge()
        if not self.by_lbfgs:
            self.optimizer.param_groups[0]["lr"] = self._rate
        self.good = self.image.detach().clone() if self.by_lbfgs else self.good
        self.image.grad = gradient
        loss = float(sum(terms.values()))
        self.optimizer.step(lambda: loss)
        if self.by_lbfgs:
            self._shorten()
        self.image.grad = None  # frees memory: a large picture leaves no room for a second gradient
        with torch.no_grad():
            self.image.clamp_(0, 1)
        self.average.lerp_(self.image.detach(), 1 - self.settings.ema)
        self.averaged += 1
        self.step += 1
        return {"loss": loss, **{name: float(term) for name, term in terms.items()}}

    @torch.no_grad()
    def _shorten(self) -> None:
        """Shorten a step of L-BFGS that is too long, also in its history.

        With a history of one step it can leap a hundred times too far, into saturated noise that it never leaves.
        """
        known = self.optimizer.state[self.image]
        if "d" not in known:  # without a gradient there is no step
            return
        made = known["t"] * known["d"].view_as(self.image)
        length = made.square().mean().sqrt().item()
        if length > _LONGEST:
            known["t"] *= _LONGEST / length
            self.image.copy_(self.good + made * (_LONGEST / length))

    def _judge(self) -> tuple[objective.Terms, torch.Tensor]:
        """The terms and their gradient.  Where L-BFGS leaps to NaN, Adam takes over from the picture before."""
        terms, gradient = self.objective.gradient(self.image)
        if _finite(terms, gradient):
            return terms, gradient
        if self.by_lbfgs:
            self.by_lbfgs = False
            self.image = self.good.clone()
            self.optimizer = self._new_optimizer()
            terms, gradient = self.objective.gradient(self.image)
        if not _finite(terms, gradient):
            advice = "a lower --lr" if self.step else "another style or --net"  # no rate has had a part in the first
            raise ArtgenError(f"the loss is not finite at step {self.step + 1}; try {advice}")
        return terms, gradient

    def picture(self) -> torch.Tensor:
        """(3, h, w) in 0..1: the running mean of the steps of this scale."""
        decay = self.settings.ema
        return (self.average[0] / (1 - decay**self.averaged)).clamp_(0, 1)

    # resuming -------------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        return {
            "step": self.step, "stage": self.stage, "by_lbfgs": self.by_lbfgs, "image": self.image.detach(),
            "good": self.good, "average": self.average, "averaged": self.averaged,
            "optimizer": self.optimizer.state_dict(),
        }  # fmt: skip

    def load(self, state: Mapping[str, Any]) -> None:
        self.step, self.stage, self.by_lbfgs = state["step"], state["stage"], state["by_lbfgs"]
        self.image = state["image"].to(self.photo.device).clone()
        self._begin()
        self.optimizer.load_state_dict(state["optimizer"])
        self.good, self.average = (state[name].to(self.photo.device).clone() for name in ("good", "average"))
        self.averaged = state["averaged"]


def _finite(terms: objective.Terms, gradient: torch.Tensor) -> bool:
    return all(bool(number.isfinite()) for number in (*terms.values(), *gradient.aminmax()))
