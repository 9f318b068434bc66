"""One page about a training run: `write(run)` makes RUN/report.html.

The page needs no network and no library: pictures are inside it, curves are inline SVG, and without JavaScript only the
slider and the read-out under the pointer are missing.
"""

from pathlib import Path

from artcli.errors import UsageError
from artcli.media import files
from artcli.training.report.folder import read
from artcli.training.report.page import render

NAME = "report.html"


def write(run: Path) -> Path:
    """Write the report of a run folder, finished or not, in place of the one before; return its path.

    What is missing or damaged in the folder is left out, and named on the page.  The page takes at most about 5 MB.
    Raises UsageError when there is no such folder, ArtgenError when the page cannot be written.
    """
    if files.kind(run) != "folder":
        raise UsageError(f"there is no run folder {run}")
    text = render(read(run))
    path = run / NAME
    with files.atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
    return path
