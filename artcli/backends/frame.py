"""What every iterative backend yields."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import torch


class Frame(NamedTuple):
    """The work after a step.

    step: steps done, 1..total.  image: (3, H, W) in 0..1, detached, on any device; rendered when called, as not every
    step is shown.  metrics: numbers for people.  state: what `resume` of the backend needs to go on from here.
    draft: only something to look at while the next step is in work; it counts as no step and is in no film.
    """

    step: int
    total: int
    image: "Callable[[], torch.Tensor]"
    metrics: Mapping[str, float]
    state: Callable[[], dict[str, Any]]
    draft: bool = False
