"""Segmentation masks in a folder: the picture `cats/7.jpg` has the mask `cats/7.png` or `7.png`."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from artcli.errors import UsageError
from artcli.media import files, images
from artcli.training.data.items import Array
from artcli.training.data.walk import Found, walk

_ASPECT_TOLERANCE = 0.02  # a mask may be smaller than its picture, but not of another shape


class Masks:
    """The masks below a folder.  Raises UsageError: there is no such folder, or no picture in it."""

    def __init__(self, folder: Path):
        if files.kind(folder) != "folder":
            raise UsageError(f"there is no folder of masks {folder}.")
        self.folder = folder
        found = [file for file in walk(folder)[0] if file.is_picture]
        if not found:
            raise UsageError(f"no mask in {folder}: name a folder of black and white pictures.")
        self.stamps = [(file.name, *file.stamp) for file in found]
        self._by_path = {str(PurePosixPath(file.name).with_suffix("")): file for file in found}
        self._by_stem: dict[str, Found] = {}
        for file in found:
            self._by_stem.setdefault(PurePosixPath(file.name).stem, file)

    def of(self, name: str, shape: tuple[int, int]) -> Array:
        """The mask of the picture `name`, as float32 in 0..1 of its shape (H, W); 1 is the object.

        Raises UsageError: there is none, it cannot be read, or it has another shape.
        """
        key = PurePosixPath(name).with_suffix("")
        file = self._by_path.get(str(key)) or self._by_stem.get(key.name)
        if file is None:
            raise UsageError(f"has no mask {key.name}.* in {self.folder}")
        picture = images.load(file.path)
        values = images.as_mask(picture) if picture.alpha is None else picture.alpha
        return _fit(values, shape, file.name)


def _fit(values: Array, shape: tuple[int, int], name: str) -> Array:
    if values.shape == shape:
        return values
    (height, width), (tall, wide) = shape, values.shape
    if abs(wide * height - width * tall) > _ASPECT_TOLERANCE * wide * height:
        raise UsageError(f"is {width}x{height}, but its mask {name} {wide}x{tall}")
    mask = Image.fromarray(np.ascontiguousarray(values, np.float32))
    return np.asarray(mask.resize((width, height), Image.Resampling.BILINEAR))
