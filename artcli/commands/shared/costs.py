"""What the bundled models cost, measured once: dry runs tell from it what a call would take, without importing torch.

`python bench/costs.py` measures the table again, and prints how far it is from what calls take.
"""

import json
import os
import platform
import re
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

from artcli import device, weights
from artcli.errors import ArtgenError
from artcli.media import files


class Cost(NamedTuple):
    """Processor seconds of one unit on the machine of SPEED, by one thread: with bfloat16 units, and without."""

    fast: float
    plain: float


SPEED = 95.0  # of a core of the machine that the table was measured on, as `speed` has it
TABLE = {
    "adain": Cost(4.2e-6, 4e-6),  # a pixel
    "clip-mini": Cost(2.9e-3, 4.4e-3),  # a crop, there and back
    "diffusion-mini": Cost(0.25, 0.44),  # a picture, all steps of the solver
    "fft": Cost(4e-7, 6e-7),  # a pixel of a step of dream
    "monet-mini": Cost(1.5e-6, 2.6e-6),  # a pixel
    "painter": Cost(2.3e-3, 3.4e-3),  # a patch, with drawing its strokes
    "sketch": Cost(0.021, 0.032),  # of a prior that CLIP leads, a step of one candidate
    "upscaler": Cost(9.5e-6, 1.6e-5),  # a pixel that becomes four
    "vgg-slim": Cost(2.8e-6, 4.3e-6),  # a pixel of a step of stylize
    "vqgan-mini": Cost(5.4e-6, 1e-5),  # a pixel of a step of dream
    "vqgan-mini once": Cost(7e-6, 1.15e-5),  # a pixel, to codes and back
}
# GB at the peak of a run with a tiny picture, and as many more for each million pixels in work at once.
MEMORY = {
    "cyclegan": (0.6, 0.0), "dream": (1.05, 2.0), "fast": (0.58, 0.9), "paint": (0.6, 0.0), "sample": (0.9, 0.0),
    "stylize": (0.58, 1.75),
}  # fmt: skip
_HEARD = 62  # pieces of a text that clip-mini takes in
_SERIAL = 0.3  # of the work: what further threads do not shorten
_SIDE, _TIMES, _ROUNDS = 64, 100, 7  # of the matrix product, small enough for one thread


def hears(texts: Iterable[str]) -> bool:
    """Whether clip-mini surely hears all of these: letters that it knows are a piece each at most."""
    return all(text.isascii() and len(text) <= _HEARD for text in texts)


def known(names: Iterable[str], place: str, folders: Sequence[Path]) -> bool:
    """Whether the table holds for these weights on this device: bundled ones, whole, and the processor.

    place: as `--device` has it.  folders: where weights are looked for first.  Raises WeightsError: damaged ones.
    """
    return device.is_processor(place) and all(_is_ours(name, folders) for name in names)


def _is_ours(name: str, folders: Sequence[Path]) -> bool:
    weight = weights.table().get(name) if name in TABLE else None
    found = weights.locate(weight, folders) if weight is not None else None
    if weight is None or found is None or found.label != "bundled":
        return False
    weights.check(weight, found)
    return True


def seconds(what: str, amount: float) -> float:
    """How long so many units take here, on the clock.  what: a key of TABLE."""
    cost, threads = TABLE[what], device.threads()
    shortened = _SERIAL + (1 - _SERIAL) / threads
    return amount * (cost.fast if has_bfloat16() else cost.plain) * shortened * SPEED / speed()


def memory(verb: str, pixels: int = 0) -> float:
    """GB.  verb: a key of MEMORY.  pixels: that are in work at once."""
    least, more = MEMORY[verb]
    return least + more * pixels / 1e6


@cache
def speed() -> float:
    """Of a core of this machine, in billions of operations a second: timed once, and remembered in the cache folder."""
    path, machine = weights.cache_dir() / "speed.json", _machine()
    remembered = _remembered(path)
    if machine not in remembered:
        remembered[machine] = _time_product()
        with suppress(OSError, ArtgenError):  # where nothing can be remembered, it is timed again
            path.parent.mkdir(parents=True, exist_ok=True)
            with files.atomic(path) as temporary:
                temporary.write_text(json.dumps(remembered), encoding="utf-8")
    return remembered[machine]


def _remembered(path: Path) -> dict[str, float]:
    """By machine, as far as the file is whole."""
    try:
        return {str(name): float(value) for name, value in json.loads(path.read_bytes()).items() if value > 0}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _machine() -> str:
    """Which a cache folder may be shared by several of."""
    named = re.search(r"model name\s*: (.*)", _processor_facts())
    return f"{named[1] if named else platform.processor()}, {platform.machine()}, {os.cpu_count()} cores"


def _time_product() -> float:
    """By the thread's own clock, so that what else the machine does hardly counts."""
    import numpy as np

    one = np.ones((_SIDE, _SIDE), np.float32)
    found = []
    for _ in range(_ROUNDS):
        started = time.thread_time()
        for _ in range(_TIMES):
            one @ one
        found.append(time.thread_time() - started)
    return 2 * _SIDE**3 * _TIMES / max(min(found), 1e-6) / 1e9


def has_bfloat16() -> bool:
    """As `device.fast_dtype` asks torch for it."""
    return not {"avx512_bf16", "amx_tile"}.isdisjoint(_processor_facts().split())


@cache
def _processor_facts() -> str:
    """What Linux says of the first core; nothing elsewhere."""
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split("\n\n")[0]
    except OSError:
        return ""
