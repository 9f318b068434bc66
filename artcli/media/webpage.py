"""What pages that need no network have in common."""

import hashlib
import json
from base64 import b64encode
from typing import Any


def for_script(value: Any) -> str:
    """JSON, in ASCII, that can stand in a script element: no name of a file can end that element."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def only(script: str) -> str:
    """What a content security policy calls this one script, so that a page runs no other."""
    return f"'sha256-{b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
