"""Expected failures: one clear line for the user and an exit code each.  Anything else is a bug, with its traceback."""


class ArtgenError(Exception):
    """The work failed; the message says what, what exists and what to do.  Exit code 1."""

    exit_code = 1


class UsageError(ArtgenError):
    """The request cannot be carried out as written.  Exit code 2."""

    exit_code = 2


class WeightsError(ArtgenError):
    """Weights are missing, corrupt or of another kind.  Exit code 3."""

    exit_code = 3


class Interrupted(ArtgenError):
    """Ctrl-C or SIGTERM; what there was has been saved.  Exit code 130."""

    exit_code = 130


def did_you_mean(word: str, known: list[str] | tuple[str, ...]) -> str:
    """` Did you mean 'x'?` or an empty string: the tail of an error line."""
    import difflib

    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f" Did you mean '{close[0]}'?" if close else ""
