"""HTML that is escaped by construction: only `tag` makes markup, and any other text is escaped on its way in."""

import re
from html import escape

CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


EMPTY = {"img", "input", "meta", "link"}  # SVG's elements have to be closed


def tag(name: str, /, *children: str | None, **attributes: str | float | bool | None) -> Markup:
    """`<name attribute="value">children</name>`.

    Attributes that are None or False are left out, True stands alone; `class_` is class, and `aria_label` aria-label.
    """
    opening = f"<{name}{_attributes(attributes)}>"
    return Markup(opening if name in EMPTY else f"{opening}{join(children)}</{name}>")


def join(children: tuple[str | None, ...] | list[str | None] | list[Markup]) -> Markup:
    """One after the other, each escaped unless it is markup; None is nothing."""
    return Markup("".join(_text(child) for child in children if child is not None))


def _text(child: str) -> str:
    return child if isinstance(child, Markup) else escape(_clean(child))


def _attributes(attributes: dict[str, str | float | bool | None]) -> str:
    parts = []
    for name, value in attributes.items():
        if value is None or value is False:
            continue
        name = name.rstrip("_").replace("_", "-")
        parts.append(f" {name}" if value is True else f' {name}="{escape(_clean(str(value)))}"')
    return "".join(parts)


def _clean(text: str) -> str:
    """File names may hold lone surrogates and control characters, which no page can."""
    return CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)
