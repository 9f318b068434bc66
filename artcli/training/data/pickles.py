"""Reads the pickles of CIFAR-10 without running anything: no class and no function of a file is ever looked up.

A pickle is a program that may call whatever it names.  Here every name it may say leads to a stand-in of this file
that only remembers what it was given; any other name is an error.  Not even numpy's own functions are called.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
from collections.abc import Callable
from typing import Any

import numpy as np

from artcli.errors import UsageError
from artcli.training.data.items import Array


class Pixels:
    """Stands in for numpy.ndarray: remembers the state that a pickled array carries."""

    def __init__(self) -> None:
        self.shape: tuple[int, ...] = ()
        self.data: bytes = b""
        self.rows_first = True

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, columns_first, data = state
        self._take(shape, kind, not columns_first, data)

    def _take(self, shape: Any, kind: Any, rows_first: bool, data: Any) -> None:
        if not isinstance(kind, _Kind) or kind.name not in ("u1", "|u1", "uint8"):
            raise pickle.UnpicklingError("it holds an array of something else than bytes")
        data = data.encode("latin1") if isinstance(data, str) else bytes(data)
        if not all(isinstance(side, int) and side >= 0 for side in shape) or math.prod(shape) != len(data):
            raise pickle.UnpicklingError("an array does not have as many values as it says")
        self.shape, self.data, self.rows_first = tuple(shape), data, rows_first

    def array(self) -> Array:
        """The values as uint8."""
        flat = np.frombuffer(self.data, np.uint8)
        return flat.reshape(self.shape, order="C" if self.rows_first else "F")


class _Kind:
    """Stands in for numpy.dtype."""

    def __init__(self, name: object = "", *_: object) -> None:
        self.name = text(name)

    def __setstate__(self, state: object) -> None:
        pass  # byte order and alignment, which single bytes do not have


def _reconstruct(*_: object) -> Pixels:
    return Pixels()


def _from_buffer(data: Any, kind: Any, shape: Any, order: Any) -> Pixels:
    pixels = Pixels()
    pixels._take(shape, kind, order != "F", data)
    return pixels


def _encode(latin1: str, _: object = "latin1") -> bytes:
    return latin1.encode("latin1")  # how protocol 2 writes bytes


class _StandIn:
    """What a name in the file leads to: can be called, but not changed, as a pickle may change what it is given."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[..., object]):
        self._make = make

    def __call__(self, *args: object) -> object:
        return self._make(*args)

    def __setstate__(self, state: object) -> None:
        raise pickle.UnpicklingError("it wants to change a function")


_STAND_INS = {
    ("numpy", "ndarray"): _StandIn(Pixels),
    ("numpy", "dtype"): _StandIn(_Kind),
    ("_codecs", "encode"): _StandIn(_encode),
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _StandIn(_reconstruct) for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _StandIn(_from_buffer) for core in ("core", "_core")},
}


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _STAND_INS[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it wants to run {module}.{name}, which is not done") from None


def load(data: bytes, name: str) -> dict[str, Any]:
    """The pickled dictionary with text keys; arrays are `Pixels`.  Raises UsageError: damaged, or something else."""
    try:
        _check_numbers(data)
        content = _Reader(io.BytesIO(data), encoding="bytes").load()
        if not isinstance(content, dict):
            raise pickle.UnpicklingError(f"it holds a {type(content).__name__}")
        return {text(key): value for key, value in content.items()}
    except Exception as error:  # a damaged pickle raises anything: EOFError, KeyError, TypeError, ...
        raise UsageError(f"{name} is no batch of CIFAR-10 ({error}): download it again.") from error


def _check_numbers(data: bytes) -> None:
    """Raises UnpicklingError: it numbers a value higher than it can have values, for which memory would be taken."""
    for code, number, _ in pickletools.genops(data):
        if code.name in ("PUT", "BINPUT", "LONG_BINPUT") and number > len(data):  # type: ignore[operator]
            raise pickle.UnpicklingError(f"it numbers a value {number}")


def text(value: object) -> str:
    """What Python 2 wrote as a string arrives as bytes."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
