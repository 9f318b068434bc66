"""Many pictures at once on a few threads, their results in order and never many of them in memory."""

from __future__ import annotations

import os
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from PIL import Image

from artcli.errors import UsageError
from artcli.media import decode

Task = TypeVar("Task")
Result = TypeVar("Result")
PicturesDone = Callable[[int, int], None]  # (pictures so far, pictures in all)

_MOST_THREADS = 16
_LARGE = 16_000_000  # pixels; as floats with a copy, such a picture takes 400 MB
_one_large = threading.Lock()


def in_order(function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
    """The results of `function`, in the order of `tasks`.

    Pillow decodes outside Python's lock, so threads are enough.  What was not yet begun is dropped when the consumer
    stops, as it does on Ctrl-C.
    """
    threads = min(_MOST_THREADS, os.cpu_count() or 1)
    waiting: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")
    # The decoder silences Pillow's warnings for a moment.  Threads that do so at once restore each other's filters,
    # so the true ones are put back here.
    with warnings.catch_warnings():
        try:
            for task in tasks:
                waiting.append(pool.submit(function, task))
                if len(waiting) >= 4 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def room_for(data: bytes) -> Iterator[Image.Image]:
    """Hold back while another large picture is decoded: sixteen at once would not fit into the memory.

    Yields the image, of which only the header is read.

    Raises UsageError when the bytes are no picture, as decoding them would.
    """
    image = decode.open_image(data)
    if image.width * image.height < _LARGE:
        yield image
        return
    with _one_large:
        yield image


def reason(error: Exception) -> str:
    """Why a picture was left out, without its name, which stands beside it."""
    if isinstance(error, MemoryError):
        return "does not fit into the memory"
    assert isinstance(error, UsageError)
    return str(error).removeprefix(f"{decode.label(b'')} ").rstrip(".")
