"""Finishers: what finished pictures pass through, one after another, before they are written."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from artcli.commands.shared import afterwards, enlarge
from artcli.commands.shared.finisher import Finished, Finisher
from artcli.device import is_out_of_memory
from artcli.errors import ArtgenError

if TYPE_CHECKING:
    import numpy as np
    import torch


@dataclass(frozen=True)
class Chain:
    """Without finishers pictures stay as they are."""

    finishers: Sequence[Finisher] = ()

    @property
    def note(self) -> str:
        return "".join(each.note for each in self.finishers)

    @property
    def weights(self) -> dict[str, str]:
        return {name: value for each in self.finishers for name, value in each.weights.items()}

    def __call__(self, pixels: "np.ndarray") -> "np.ndarray":
        for each in self.finishers:
            pixels = each(pixels).pixels
        return pixels

    def size(self, width: int, height: int) -> tuple[int, int]:
        for each in self.finishers:
            width, height = each.size(width, height)
        return width, height

    def check(self, path: Path, width: int, height: int) -> None:
        """Call it before any compute.  Raises UsageError: what becomes of this size is too large for the file."""
        from artcli.media import images

        for each in self.finishers:
            each.check(path, width, height)
            width, height = each.size(width, height)
        images.check_side(max(width, height), images.FORMATS.get(path.suffix.lower(), "PNG"))

    def seconds(self, width: int, height: int) -> float:
        total = 0.0
        for each in self.finishers:
            total += each.seconds(width, height)
            width, height = each.size(width, height)
        return total

    def save(
        self,
        path: Path,
        pixels: "np.ndarray",
        *,
        alpha: "np.ndarray | None",
        recipe: Mapping[str, Any] | None,
        photo: bytes | None = None,
    ) -> Finished:
        """Finish a picture and its alpha, and write it as `images.save` does.  What was written.

        Where a finisher fails, what it was given is written.  Raises ArtgenError then: not enough memory.
        """
        from artcli.media import images

        failure: BaseException | None = None
        made = Finished(pixels)
        for each in self.finishers:
            try:
                made = each(made.pixels)
            except BaseException as error:  # also a second Ctrl-C: hours may be in this picture
                failure = error
                break
        height, width = made.pixels.shape[:2]
        if alpha is not None and alpha.shape != (height, width):
            alpha = images.resize(alpha, (width, height))
        images.save(path, made.pixels, alpha=alpha, recipe=None if recipe is None else dict(recipe), photo=photo)
        if failure is None:
            return made
        if is_out_of_memory(failure):
            raise ArtgenError(f"out of memory: {path} was written without {each.option}") from failure
        raise failure


class Wanted(NamedTuple):
    """What is asked for.  style: the picture whose style is taken on.  paint: with brush strokes.

    enlarged_first: before the style is taken on, which makes its strokes finer.
    """

    enlargement: enlarge.Enlargement = enlarge.AS_IS
    style: Path | None = None
    paint: bool = False
    enlarged_first: bool = False


def foreseen(wanted: Wanted) -> Chain:
    """What `load` gives, but for dry runs: it only tells what finishing costs, and no net is loaded.

    Raises UsageError: the style's picture cannot be read.
    """
    return _chained(
        wanted,
        afterwards.foresee_styling,
        lambda enlargement: enlarge.Enlarger(enlargement.factor),
        afterwards.Brushwork,
    )


def load(
    wanted: Wanted,
    device: "torch.device",
    *,
    weights_dirs: Sequence[Path] = (),
    offline: bool = False,
) -> Chain:
    """What is asked for, in the order in which it is done: a style and more pixels, then strokes that fill these.

    Raises as `enlarge.load`, `afterwards.load_styling` and `afterwards.load_brushwork` do.
    """
    where: dict[str, Any] = {"weights_dirs": weights_dirs, "offline": offline}
    return _chained(
        wanted,
        lambda style: afterwards.load_styling(style, device, **where),
        lambda enlargement: enlarge.load(enlargement, device, **where),
        lambda: afterwards.load_brushwork(device, **where),
    )


def _chained(
    wanted: Wanted,
    styling: Callable[[Path], Finisher],
    enlarging: Callable[[enlarge.Enlargement], Finisher],
    painting: Callable[[], Finisher],
) -> Chain:
    """What is asked for, each made by the function that is given for it, in the order in which it is done."""
    made: list[Finisher] = []
    if wanted.style is not None:
        made.append(styling(wanted.style))
    if wanted.enlargement.factor != 1:
        made.append(enlarging(wanted.enlargement))
    if wanted.enlarged_first:
        made.reverse()
    if wanted.paint:
        made.append(painting())
    return Chain(made)
