"""A grey picture inside a text file, as a data: address of a PNG."""

from __future__ import annotations

import base64
import binascii
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from artcli.errors import UsageError
from artcli.media import images

Array = np.ndarray[Any, Any]

_START = "data:image/png;base64,"


def to_text(grey: Array) -> str:
    """grey: (H, W) in 0..1, kept with 8 bits."""
    out = BytesIO()
    Image.fromarray((np.clip(grey, 0, 1) * 255 + 0.5).astype(np.uint8)).save(out, "PNG")
    return _START + base64.b64encode(out.getvalue()).decode("ascii")


def from_text(text: Any, source: Path) -> Array:
    """(H, W) float32 in 0..1.  Raises UsageError, naming the source, when the text holds no such picture."""
    try:
        if not isinstance(text, str) or not text.startswith(_START):
            raise ValueError
        return images.load(base64.b64decode(text.removeprefix(_START), validate=True)).rgb[..., 0]
    except (ValueError, binascii.Error, UsageError) as error:
        raise UsageError(f"{source} holds a picture (alpha or brush) that cannot be read") from error
