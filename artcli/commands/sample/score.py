"""How near a model's pictures are to real ones, in numbers: KID, FID, precision and recall."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from artcli.commands.sample import examples
from artcli.console import counted
from artcli.errors import UsageError
from artcli.media import files
from artcli.nn import fidelity
from artcli.pretrained import inception
from artcli.training.data import order

if TYPE_CHECKING:
    from artcli.commands.sample.session import Session

LEAST = fidelity.NEIGHBOURS + 2  # pictures of each kind
USUAL = 2048  # features, and pictures below which the FID is of little worth
AT_ONCE = 16


def count(session: "Session") -> int:
    return len(session.request.seeds)


def make(session: "Session") -> None:
    request, sampler = session.request, session.sampler
    record, data = session.recipe(), _data(session)
    rows = order.spread(np.arange(len(data.images)), len(request.seeds))
    if min(len(rows), len(request.seeds)) < LEAST:
        counts = f"{len(rows)} real, {len(request.seeds)} generated"
        raise UsageError(f"--score needs {LEAST} pictures or more of each kind, not {counts}")
    net = inception.load(str(request.options.inception or inception.NAME), session.device)  # perhaps a download
    drawn = sampler.generate(request.seeds, session.cycled(len(request.seeds)), request.options.truncation)
    shown = session.watched(
        chain(drawn, (examples.picture(data, int(row)) for row in rows)), len(request.seeds) + len(rows)
    )
    found = torch.cat(list(_features(net, map(sampler.pixels, shown))))
    facts = figures(found[: len(request.seeds)], found[len(request.seeds) :]) | {"net": net.name}
    about = {"run": str(sampler.loaded.run), "data": str(request.options.score), "recipe": record}
    with files.atomic(request.out) as temporary:
        temporary.write_text(json.dumps(facts | about, indent=1) + "\n", encoding="utf-8")
    session.announce(request.out, **facts)
    _tell(session, facts)


def figures(drawn: torch.Tensor, real: torch.Tensor) -> dict[str, Any]:
    """Of features (N, D) and (M, D), and how many there are."""
    precision, recall = fidelity.precision_recall(drawn, real)
    scores = {
        "kid": fidelity.kid(drawn, real), "fid": fidelity.fid(drawn, real), "precision": precision, "recall": recall,
    }  # fmt: skip
    return {name: round(value, 6) for name, value in scores.items()} | {"generated": len(drawn), "real": len(real)}


def _tell(session: "Session", facts: dict[str, Any]) -> None:
    session.console.info(
        "sample: KID {kid:.5f}, FID {fid:.2f}, precision {precision:.3f}, recall {recall:.3f}".format(**facts)
        + f" by {facts['net']}"
    )
    if min(facts["generated"], facts["real"]) < USUAL:
        session.console.info(f"sample: below {USUAL} pictures the FID is too large; the KID is not")
    session.done(f"{counted(facts['generated'], 'picture')} beside {facts['real']} real ones")


def _data(session: "Session") -> Any:
    """The pictures, prepared as those that the model learned from."""
    from artcli.training import runs

    loaded, side = session.sampler.loaded, session.sampler.side
    preparation = {"color": "rgb"} | loaded.spec.data.preparation | {"size": side, "masks": None}
    told = replace(loaded.spec.data, path=str(session.request.options.score), preparation=preparation)
    return runs.dataset_of(replace(loaded, spec=replace(loaded.spec, data=told)))


def _features(net: inception.Inception, pictures: Iterable[np.ndarray]) -> Iterator[torch.Tensor]:
    rest = iter(pictures)
    while some := list(islice(rest, AT_ONCE)):
        yield net(torch.from_numpy(np.stack(some)).permute(0, 3, 1, 2))
