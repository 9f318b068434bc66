"""`artgen train --check`: say what is in the data, and train nothing."""

from artcli.commands.train.request import Request
from artcli.console import Console


def check(request: Request, console: Console) -> None:
    """A few lines, or one JSON object, for each folder."""
    from artcli.training.data import check as data

    for folder in request.folders:
        found = data.check(folder, about=request.table)
        for line in found.lines():
            console.info(line)
        if console.json_lines:
            console.result([], **found.as_dict())
