"""artgen: neural art from the command line, and from Python: artcli.dream("red car", out="car.png")."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from artcli.api import Frame, Frames, Made, cyclegan, dream, paint, sample, stylize, train

__version__ = "0.1.0"
__all__ = ["Frame", "Frames", "Made", "cyclegan", "dream", "paint", "sample", "stylize", "train"]


def __getattr__(name: str) -> Any:
    """The verbs and what they give, imported when they are asked for: `import artcli` alone stays light."""
    if name not in __all__:
        raise AttributeError(f"module 'artcli' has no attribute '{name}'")
    return getattr(import_module("artcli.api"), name)  # below the whole package, which imports this file
