"""A page on which a person scores real and generated pictures without knowing which is which."""

import base64
import html
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from artcli.commands.sample import examples
from artcli.errors import UsageError
from artcli.media import files, images, recipe_text, webpage

if TYPE_CHECKING:
    from artcli.commands.sample.session import Session

TEMPLATE = Path(__file__).with_name("rate.html")
MOST = 500  # of each kind; nobody scores more
SMALLEST_SHOWN, LARGEST_SHOWN = 256, 512  # pixels on the screen; small pictures are enlarged, real ones just as well


def count(session: "Session") -> int:
    return len(session.request.seeds)


def make(session: "Session") -> None:
    from artcli.training import runs

    request, sampler = session.request, session.sampler
    if len(request.seeds) > MOST:
        raise UsageError(f"--rate with {len(request.seeds)} generated and as many real pictures: {MOST} is the most")
    recipe = session.recipe()
    data = runs.dataset_of(sampler.loaded)
    rng = np.random.default_rng(request.seeds[0])
    rows = examples.draw(data, len(request.seeds), rng)
    _warn(session, data, rows)
    entries = [_entry(session, "real", str(data.names[row]), examples.picture(data, row)) for row in rows]
    entries += _generated(session)
    real = len(rows)
    shuffled = [entries[place] for place in rng.permutation(len(entries))]
    with files.atomic(request.out) as temporary:
        temporary.write_text(page(shuffled, _about(session), recipe, sampler.size[0]), encoding="utf-8")
    session.announce(request.out, real=real, generated=len(entries) - real, seeds=list(request.seeds))
    session.done(f"a page of {real} real and {len(entries) - real} generated pictures")


def page(entries: list[dict[str, str]], about: dict[str, Any], recipe: dict[str, Any] | None, side: int) -> str:
    """The page as text.  entries: kind ("real" or "generated"), source and image (a data URI), in the order shown."""
    shown = side * max(1, -(-SMALLEST_SHOWN // side)) if side < SMALLEST_SHOWN else min(side, LARGEST_SHOWN)
    filled = {
        "TITLE": html.escape(f"Rate the pictures of {about['model']}"),
        "RECIPE": "" if recipe is None else html.escape(recipe_text.to_text(recipe), quote=True),
        "SHOWN": str(shown),
        "DATA": webpage.for_script({"about": about, "pictures": entries}),
    }
    return re.sub("@(TITLE|RECIPE|SHOWN|DATA)@", lambda place: filled[place[1]], TEMPLATE.read_text(encoding="utf-8"))


def _about(session: "Session") -> dict[str, Any]:
    loaded = session.sampler.loaded
    return {"model": loaded.name, "run": str(loaded.run), "step": loaded.step, "weights": loaded.fingerprint}


def _warn(session: "Session", data: Any, rows: list[int]) -> None:
    wanted, unseen = len(session.request.seeds), examples.held_out(data, rows)
    if len(rows) < wanted:
        session.console.warn(f"there are only {len(rows)} real pictures beside {wanted} generated ones")
    if unseen < len(rows):
        session.console.info(f"sample: the model was trained on {len(rows) - unseen} of the {len(rows)} real pictures")


def _generated(session: "Session") -> list[dict[str, str]]:
    seeds = session.request.seeds
    pictures = session.sampler.generate(seeds, session.cycled(len(seeds)), session.request.options.truncation)
    watched = session.watched(pictures, len(seeds))
    return [_entry(session, "generated", f"seed {s}", p) for s, p in zip(seeds, watched, strict=True)]


def _entry(session: "Session", kind: str, source: str, picture: Any) -> dict[str, str]:
    # Both kinds through the same size and encoder: nothing but the picture may tell them apart.
    png = images.encode(session.sampler.pixels(picture), "PNG")
    return {"kind": kind, "source": source, "image": "data:image/png;base64," + base64.b64encode(png).decode()}
