"""What an interrupted run leaves beside its output, and what has to be the same for it to go on."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from artcli import state
from artcli.errors import UsageError


class Unfinished:
    """folder: where it waits.  what: everything that shapes the result, by names that a refusal can list."""

    def __init__(self, folder: Path, what: Mapping[str, Any]) -> None:
        self.folder, self.key = folder, json.dumps(what, sort_keys=True)

    def save(self, **content: Any) -> None:
        self.folder.mkdir(exist_ok=True)
        state.save(self.folder / state.NAME, {"key": self.key, **content})

    def load(self) -> Mapping[str, Any] | None:
        """What was saved; None when nothing waits.

        Raises UsageError when another run does, WeightsError when what it left is damaged.
        """
        path = self.folder / state.NAME
        if not path.is_file():
            return None
        saved = state.load(path)
        before, now = json.loads(saved["key"]), json.loads(self.key)
        if changed := [name for name in now if before.get(name) != now[name]]:
            raise UsageError(
                f"{self.folder} holds a run with other {', '.join(changed)}; run the same command again, or --force to "
                "start over"
            )
        return saved


def fingerprint(file: Path | None) -> str | None:
    """Of a file's content; None without one, and for standard input, which cannot be read twice."""
    from artcli.fetch import sha256_of  # which imports all that speaks HTTPS

    return None if file is None or str(file) == "-" else sha256_of(file)
