"""A recipe as text.

One text for every format: JSON in plain ASCII (other characters as \\uXXXX), because EXIF, MP4 and GIF disagree about
encodings and only ASCII comes back from all of them.  It holds no date: equal work gives equal bytes.
"""

import json
import os
from typing import Any

from artcli.errors import ArtgenError

Recipe = dict[str, Any]

KEY = "artgen"  # the PNG keyword, and the one key of the JSON, which tells a recipe from any other description
MAX_TEXT = 16_000  # characters: below the 64 kB of EXIF and the 32 kB of a Windows command line, which ffmpeg needs


def to_text(recipe: Recipe) -> str:
    """The recipe as one line of ASCII.  Values: what JSON holds, and paths.  Call it before compute, to fail early.

    Raises ArtgenError above MAX_TEXT characters.
    """
    text = json.dumps({KEY: recipe}, sort_keys=True, separators=(",", ":"), allow_nan=False, default=os.fspath)
    if len(text) > MAX_TEXT:
        raise ArtgenError(
            f"the record of this run has {len(text)} characters, more than the {MAX_TEXT} that a file can carry: "
            "use --no-metadata."
        )
    return text


def from_text(text: str) -> Recipe | None:
    """The recipe in a text, or None when the text is something else."""
    try:
        recipe = json.loads(text)[KEY]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return recipe if isinstance(recipe, dict) else None
