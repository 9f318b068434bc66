"""What `--keep` says: which part of a picture a completion starts from.  Imports no torch."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from artcli.errors import UsageError

EDGES = ("top", "bottom", "left", "right")
USUAL = "top:1/8"
_WAYS = f"say an edge and a part, such as {USUAL}, or name a picture that is white where to keep"


@dataclass(frozen=True)
class Keep:
    """A part from an edge on, or a mask."""

    edge: str = ""
    part: Fraction = Fraction(0)
    mask: Path | None = None

    def places(self, rows: int, columns: int) -> list[tuple[int, int]]:
        """Rows and columns of the kept codes: the first ones from the edge on, at least one, and never all."""
        order = [(row, column) for row in range(rows) for column in range(columns)]
        if self.edge in ("left", "right"):
            order.sort(key=lambda place: place[1])
        if self.edge in ("bottom", "right"):
            order.reverse()
        return order[: min(len(order) - 1, max(1, round(self.part * len(order))))]


def read(text: str) -> Keep:
    """`top:1/8`, `left:0.5`, `bottom:25%`, or the name of a mask.  Raises UsageError."""
    edge, colon, amount = text.partition(":")
    if colon and edge in EDGES:
        return Keep(edge, _part(text, amount))
    if Path(text).is_file():
        return Keep(mask=Path(text))
    try:
        nothing = float(text) == 0
    except ValueError:
        nothing = False
    if nothing:
        raise UsageError(f"--keep {text} keeps nothing, and there is nothing to complete: {_WAYS}")
    raise UsageError(f"--keep '{text}' is neither a part nor a file: {_WAYS}")


def _part(text: str, amount: str) -> Fraction:
    try:
        part = Fraction(amount.removesuffix("%")) / (100 if amount.endswith("%") else 1)
    except (ValueError, ZeroDivisionError):
        raise UsageError(f"--keep '{text}': {amount or 'nothing'} is no part of a picture; {_WAYS}") from None
    if not 0 < part < 1:
        what = (
            "nothing, and there is nothing to complete" if part <= 0 else "all, and there is nothing left to complete"
        )
        raise UsageError(f"--keep {text} keeps {what}: {_WAYS}")
    return part
