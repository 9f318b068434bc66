"""A trained model as `artgen sample` sees it: asked in batches of bounded size, refusing what it cannot do."""

import functools
import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from artcli.commands.sample import given, kept, steer
from artcli.commands.sample.options import ALL
from artcli.commands.shared.finish import Chain
from artcli.device import is_out_of_memory
from artcli.errors import ArtgenError, Interrupted, UsageError, did_you_mean
from artcli.media import images
from artcli.training.data.augment import to_rgb

if TYPE_CHECKING:
    from artcli.commands.shared.loop import Stop
    from artcli.training.runs import Loaded

# What a way of sampling needs of the model, and how the user asks for it.
ABILITIES: dict[str, tuple[tuple[str, ...], str]] = {
    "samples": (("generate",), "random samples"),
    "reconstruct": (("reconstruct",), "--reconstruct"),
    "complete": (("complete", "reconstruct"), "--complete"),
    "interpolate": (("latents", "decode", "blend"), "--interpolate"),
    "--between": (("encode", "decode", "blend"), "--between"),
    "walk": (("latents", "decode"), "--walk"),
    "sweep": (("latents", "decode"), "--sweep"),
    "mix": (("latents", "decode", "mix"), "--mix"),
    "neighbours": (("generate",), "--neighbours"),
    "compare": ((), "--compare"),
    "project": (("drawn", "latents", "decode", "blend"), "--project"),
    "rate": (("generate",), "--rate"),
    "score": (("generate",), "--score"),
}
# Sixteen pictures of 128 x 128 at once: enough to keep a processor busy, little beside the memory of any machine.
MOST_AT_ONCE, PIXELS_AT_ONCE = 16, 2**18
FIRST_STAGES = ("vqgan", "vqvae", "vqvae2")  # whose codes artgen train prior learns
TRANSLATORS = ("cyclegan", "pix2pix")  # which artgen cyclegan applies
FOR_MOMENTS = 2**22  # numbers drawn to learn how latents are distributed


class Sampler:
    """A loaded model.  Pictures are (C, H, W) float in 0..1 on the CPU, one at a time; latents (N, D) float.

    drawn: (width, height) before pictures are enlarged; the model's own to begin with.  told: the class that the
    decoder and the encoder are told, or else what makes latents; None for an unknown one.
    """

    def __init__(self, loaded: "Loaded", device: torch.device, stop: "Stop", finish: Chain = Chain()):
        self.loaded, self.device, self.stop, self.finish = loaded, device, stop, finish
        self.model: Any = loaded.model
        if not any(needs and self.can(ability) for ability, (needs, _) in ABILITIES.items()):
            way = f"artgen cyclegan PICTURES --model {loaded.run}" if loaded.name in TRANSLATORS else ""
            raise UsageError(
                f"{self.title} is no model that draws: "
                f"{f'it translates pictures, by {way}' if way else 'there is nothing to sample from it'}."
            )
        self.side = int(loaded.config.size)
        self.preparation = given.preparation_of(loaded)
        self.drawn = (self.side, self.side)
        self.told: str | None = None
        self.offset: torch.Tensor | float = 0.0  # of all latents
        self.steering: dict[str, torch.Tensor] = {}  # facts (F,), by what they are of; "" for all pictures
        self.told_in_words = bool(getattr(loaded.config, "texts", 0)) and self.can("samples")
        self.prompts: Sequence[str] = ()
        self.at_once = max(1, min(MOST_AT_ONCE, PIXELS_AT_ONCE // self.side**2))

    @property
    def title(self) -> str:
        return f"{self.loaded.name} of {self.loaded.run}"

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of what `pixels` gives."""
        return self.finish.size(*self.drawn)

    # what it can do ---------------------------------------------------------------------------------------------

    def can(self, ability: str) -> bool:
        return all(callable(getattr(self.model, name, None)) for name in ABILITIES[ability][0])

    def require(self, ability: str) -> None:
        """Raises UsageError, with what the model can do, when it cannot do this."""
        if ability == "--between" and self.can("project"):  # pictures become latents by a search
            return
        if not self.can(ability):
            there = ", ".join(asked for name, (needs, asked) in ABILITIES.items() if needs and self.can(name))
            raise UsageError(
                f"{self.title} cannot do {ABILITIES[ability][1]}; it can do: {there or 'nothing of the sort'}."
                f"{self._second_stage(ability)}"
            )
        if "generate" in ABILITIES[ability][0] and hasattr(self.model, "unready") and (why := self.model.unready()):
            line = self.loaded.spec.command or "artgen train with its settings"
            raise UsageError(f"{self.title} {why}; go on with: {line}")

    def _second_stage(self, ability: str) -> str:
        """What makes a model of codes draw."""
        if self.loaded.name not in FIRST_STAGES or ability not in (
            "samples",
            "complete",
            "neighbours",
            "rate",
            "score",
        ):
            return ""
        data = "" if self.loaded.spec.data.path else " DATA"
        return f" Its second stage can, which this trains: artgen train prior {self.loaded.run}{data}"

    def takes(self, parameter: str, *methods: str) -> bool:
        """Whether these of its methods have the parameter: a model without truncation does not offer it."""
        return all(parameter in inspect.signature(getattr(self.model, name)).parameters for name in methods)

    def require_truncation(self) -> None:
        there = [name for name in ("generate", "latents") if callable(getattr(self.model, name, None))]
        if not there or not self.takes("truncation", *there):
            raise UsageError(f"{self.title} knows no truncation: leave --truncation out.")

    def choose_codes(self, **how: float | None) -> None:
        """How codes are drawn, where anything is asked for.  Raises UsageError: the model draws none so."""
        asked = {name: value for name, value in how.items() if value is not None}
        there: Any = getattr(self.model, "drawing", None)
        if unknown := [name for name in asked if not hasattr(there, name)]:
            raise UsageError(f"{self.title} knows no --{unknown[0].replace('_', '-')}: leave it out.")
        if asked:
            self.model.drawing = replace(there, **asked)

    def draw_at(self, size: tuple[int, int]) -> None:
        """(width, height) of what is drawn: a model that can draws it itself, others are scaled."""
        if hasattr(self.model, "of_size"):
            self.model.of_size(*size)
            self._share(math.prod(self.model.grid) * self.model.first.factor**2)

    def work_at(self, side: int) -> None:
        """Take pictures of this side."""
        self._share(side**2)

    def _share(self, pixels: int) -> None:
        self.at_once = max(1, min(MOST_AT_ONCE, PIXELS_AT_ONCE // pixels))

    def tell(self, prompts: Sequence[str], guidance: float | None, negative: Sequence[str]) -> None:
        """What is drawn, in words.  Raises UsageError: they are missing, empty, or mean nothing to the model."""
        if not self.told_in_words:
            if prompts or negative or guidance is not None:
                raise UsageError(f"{self.title} is told nothing in words: leave --prompt, --negative, --guidance out.")
            return
        if not prompts:
            raise UsageError(f"{self.title} draws what words say: give --prompt TEXT.")
        if not all(text.strip() for text in (*prompts, *negative)):
            raise UsageError('a prompt is empty; say what to draw, such as --prompt "a red car"')
        self.prompts = prompts
        how = {"negative": tuple(negative)} | ({} if guidance is None else {"guidance": guidance})
        self.model.drawing = replace(self.model.drawing, **how)

    def unheard(self) -> list[str]:
        """Lines about what its text tower does not hear of the words."""
        texts = [*self.prompts, *self.model.drawing.negative] if self.told_in_words else []
        return [note for text in dict.fromkeys(texts) for note in self.model.tower.clip.unheard(text)]

    def steer(self, wanted: Mapping[str, Sequence[str]]) -> list[str]:
        """What pictures are to be by columns and colours, see `steer`; warnings.  Raises UsageError: it knows none."""
        if not wanted:
            return []
        known = self.loaded.spec.data.columns
        if not known:
            asked = ", ".join("--color" if name == steer.COLOR else f"--where {name}" for name in wanted)
            raise UsageError(f"{self.title} was told nothing of its pictures but the class: leave {asked} out.")
        found = steer.steering(known, wanted)
        self.steering = {name: torch.tensor(inputs, device=self.device) for name, inputs in found.inputs.items()}
        return found.warnings

    def move(self, directions: Sequence[tuple[Path, float]]) -> list[str]:
        """Move all latents along the directions of files, by so many deviations; warnings.

        Raises UsageError: a file is none of a direction among such latents.
        """
        if not directions:
            return []
        numbers, warnings = self.latents([0]).shape[1], []
        for path, amount in directions:
            found = kept.read(path, numbers, "direction", 1, "--sweep N --direction-out FILE")
            tensors = found.tensors
            self.offset = self.offset + (amount * tensors["deviation"] * tensors["direction"]).to(self.device)
            if found.about.get("weights") != self.loaded.fingerprint:
                warnings.append(f"{path} is a direction of other weights: it may mean something else in these")
        plain = self.model.latents

        @functools.wraps(plain)
        def moved(*seeds: Any, **how: Any) -> torch.Tensor:
            return plain(*seeds, **how) + self.offset

        self.model.latents = moved  # which `generate` decodes, too
        return warnings

    def about(self) -> dict[str, str]:
        """Which model a file belongs to."""
        return {"model": self.loaded.name, "weights": self.loaded.fingerprint}

    def class_names(self, wanted: Sequence[str]) -> list[str]:
        """The classes that `--class` names, each once.  Raises UsageError: unknown, or a model without classes."""
        if self.told_in_words and not wanted:
            return list(self.prompts)
        if not wanted and "" not in self.steering:
            return list(self.steering)
        known = self.loaded.classes if getattr(self.model, "classes", 0) else []
        if wanted and not known:
            raise UsageError(f"{self.title} was not trained to tell classes apart: leave --class out.")
        for name in wanted:
            if name not in known and name != ALL:
                shown = ", ".join(known[:12]) + (f" and {len(known) - 12} more" if len(known) > 12 else "")
                raise UsageError(
                    f"--class '{name}' is not known; there are: {shown}, {ALL}.{did_you_mean(name, [*known, ALL])}"
                )
        every = [name for choice in wanted for name in (known if choice == ALL else [choice])]
        return list(dict.fromkeys(every))

    # asking it --------------------------------------------------------------------------------------------------

    def generate(
        self, seeds: Sequence[int], classes: Sequence[str | None] = (), truncation: float | None = None
    ) -> Iterator[torch.Tensor]:
        """A picture per seed.  classes: as many names as seeds, or none."""
        chosen = self._told(len(seeds), classes)
        cut = {} if truncation is None else {"truncation": truncation}
        return self._in_batches(
            len(seeds), lambda rows: self.model.generate([seeds[row] for row in rows], **chosen(rows), **cut)
        )

    def complete(
        self, pictures: torch.Tensor, keep: torch.Tensor, seeds: Sequence[int], classes: Sequence[str | None] = ()
    ) -> Iterator[torch.Tensor]:
        """(N, C, H, W), float in 0..1 or uint8, each with a seed; their codes stay where keep (h, w) is true."""
        chosen = self._told(len(seeds), classes)

        def call(rows: list[int]) -> torch.Tensor:
            return self.model.complete(self._input(pictures[rows]), keep, [seeds[row] for row in rows], **chosen(rows))

        return self._in_batches(len(seeds), call)

    def _told(self, count: int, classes: Sequence[str | None]) -> Callable[[list[int]], dict[str, Any]]:
        """What the model is told of each picture, in words or as a class, by their numbers."""
        named = [name for name in classes if name is not None]
        if self.told_in_words:
            words = named or [self.prompts[place % len(self.prompts)] for place in range(count)]
            return lambda rows: {"prompts": [words[row] for row in rows]}
        if named and named[0] in self.steering:
            return lambda rows: {"facts": torch.stack([self.steering[named[row]] for row in rows])}
        labels = [self.loaded.classes.index(name) for name in named]
        if not labels:
            return lambda rows: self._steered(len(rows))
        return lambda rows: {
            "labels": torch.tensor([labels[row] for row in rows], device=self.device), **self._steered(len(rows))
        }  # fmt: skip

    def _steered(self, count: int) -> dict[str, torch.Tensor]:
        """The facts of all pictures, where there are such."""
        return {"facts": self.steering[""].expand(count, -1)} if "" in self.steering else {}

    def latents(self, seeds: Sequence[int], truncation: float | None = None) -> torch.Tensor:
        """Random latents, (N, D); of a model that is told in words, with the prompts in turn."""
        cut: dict[str, Any] = {} if truncation is None else {"truncation": truncation}
        if self.told_in_words:
            cut["prompts"] = [self.prompts[place % len(self.prompts)] for place in range(len(seeds))]
        with torch.inference_mode():
            return self.model.latents(list(seeds), **cut, **self._of_each(len(seeds), "latents"))

    def decode(self, total: int, latents: Callable[[int], torch.Tensor]) -> Iterator[torch.Tensor]:
        """Pictures of `total` latents; latents(i) gives the i-th, (D,)."""

        def call(rows: list[int]) -> torch.Tensor:
            return self.model.decode(torch.stack([latents(row) for row in rows]), **self._of_each(len(rows), "decode"))

        return self._in_batches(total, call)

    def with_gradient(self, latents: torch.Tensor) -> torch.Tensor:
        """Latents (N, D) to pictures (N, C, H, W) in 0..1 on the device, with a gradient."""
        return self.model.drawn(latents, **self._of_each(len(latents), "drawn"))

    def encode(self, pictures: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W), float in 0..1 or uint8, to latents (N, D)."""

        def call(rows: list[int]) -> torch.Tensor:
            return self.model.encode(self._input(pictures[rows]), **self._of_each(len(rows), "encode"))

        return torch.stack(list(self._in_batches(len(pictures), call)))

    def reconstruct(self, pictures: torch.Tensor) -> Iterator[torch.Tensor]:
        """(N, C, H, W), float in 0..1 or uint8, each through the model and back."""
        return self._in_batches(len(pictures), lambda rows: self.model.reconstruct(self._input(pictures[rows])))

    def moments(self, truncation: float | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and standard deviation of the random latents, (D,) each, from many draws: models say neither."""
        first = self.latents([0], truncation)
        count = max(16, min(1024, FOR_MOMENTS // first.shape[1]))
        drawn = self.latents(range(count), truncation)
        return drawn.mean(0), drawn.std(0)

    def axis(self, number: int) -> tuple[torch.Tensor, torch.Tensor] | None:
        """The direction (D,) in which latents vary most, the next one, and so on, and their deviation along it; None
        where the model knows no directions."""
        return self.model.axis(number, **self._of_each(1, "axis")) if hasattr(self.model, "axis") else None

    def _of_each(self, count: int, method: str) -> dict[str, torch.Tensor]:
        """The class and the facts of all pictures, as far as the method takes them."""
        of_all = self._steered(count) if self.takes("facts", method) else {}
        if self.told is None or not self.takes("labels", method):
            return of_all
        return {"labels": torch.full((count,), self.loaded.classes.index(self.told), device=self.device), **of_all}

    def _input(self, pictures: torch.Tensor) -> torch.Tensor:
        pictures = pictures.to(self.device)
        return pictures.float() / 255 if pictures.dtype == torch.uint8 else pictures

    def _in_batches(self, total: int, call: Callable[[list[int]], torch.Tensor]) -> Iterator[torch.Tensor]:
        """Rows 0..total of what `call` makes of row numbers, one by one.

        Every batch has the same size, the last one filled up with its last row: the rounding of a convolution depends
        on the size of the batch, and a picture must not depend on how many others were asked for.
        """
        start = 0
        while start < total:
            if self.stop.requested:
                raise Interrupted(f"interrupted after {start} of {total} pictures")
            rows = [min(row, total - 1) for row in range(start, start + self.at_once)]
            try:
                with torch.inference_mode():
                    made = call(rows).float().cpu()
            except (RuntimeError, MemoryError) as error:
                self._ask_for_less(error)
                continue
            yield from made[: total - start]
            start += len(rows)

    def _ask_for_less(self, error: Exception) -> None:
        if not is_out_of_memory(error):
            raise error
        if self.at_once == 1:
            raise ArtgenError(f"out of memory with one picture of {self.side} pixels at a time; try --device cpu.")
        self.at_once //= 2

    # showing ----------------------------------------------------------------------------------------------------

    def shown(self, picture: torch.Tensor) -> torch.Tensor:
        """(C, H, W) as (3, H', W') of the size `drawn`, for films."""
        colours = to_rgb(picture, self.preparation.color)
        same = (colours.shape[2], colours.shape[1]) == self.drawn
        return colours if same else images.resize(colours.clamp(0, 1), self.drawn)

    def pixels(self, picture: torch.Tensor) -> np.ndarray:
        """(C, H, W) in 0..1 or uint8 as (H', W', 3) uint8, enlarged: a picture of a sheet or of its own."""
        shown = self.shown(picture / 255 if picture.dtype == torch.uint8 else picture)
        return self.finish(images.from_tensor(shown))
