"""NumPy's arrays and scalars, when the program has loaded NumPy: their raw bytes, never pickle."""

from __future__ import annotations

import math
import re
import sys
from typing import TYPE_CHECKING, Any

from zoocache import _codes
from zoocache._errors import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

#: Types of plain data: a byte order, one letter, a size; dates have a unit. No objects, no structures.
_DTYPE = re.compile(r"[<>|=][?bhilqpBHILQPefdgFDGcSUMmu]\d{0,10}(\[\d{0,10}[A-Za-zμ]{1,7}\])?", re.ASCII)

#: More than NumPy allows; without a bound the product of hostile sizes takes long.
_MOST_DIMENSIONS = 64
_LONGEST = 2**63


def take_of(cls: type) -> tuple[int, Callable[[Any], tuple[Any, ...]]] | None:
    """How to take objects of the class apart, if it is one of NumPy's."""
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return None
    if cls is getattr(numpy, "ndarray", None):
        return _codes.NUMPY_ARRAY, _take_array
    generic = getattr(numpy, "generic", None)
    if isinstance(generic, type) and issubclass(cls, generic) and cls.__module__ == "numpy":
        return _codes.NUMPY_SCALAR, _take_scalar
    return None


def _name(dtype: Any) -> str:
    """Name the type of an array's items so that the very same type is found again."""
    numpy = sys.modules["numpy"]
    name: str = dtype.str
    if dtype.names is None and dtype.subdtype is None and dtype.kind in "?biufcSUMm":
        if numpy.dtype(name).char != dtype.char:  # such as `longlong`, where `long` has the same size
            name = f"{name[0]}{dtype.char}"
        if _DTYPE.fullmatch(name) and numpy.dtype(name) == dtype and dtype.itemsize:
            return name
    raise Refused(f"a NumPy dtype {dtype!r}; only plain numbers, texts, bytes and dates are stored")


def _dtype(name: Any) -> Any:
    numpy = sys.modules.get("numpy")
    if numpy is None:
        raise Refused("it is a NumPy value, and NumPy is not loaded; import numpy first")
    if type(name) is not str or not _DTYPE.fullmatch(name):
        raise Refused("not a NumPy dtype")
    dtype = numpy.dtype(name)
    # NumPy makes room for texts of no length, as many as a shape says and no byte has to stand for.
    if dtype.hasobject or not dtype.itemsize:
        raise Refused("not a NumPy dtype of plain data")
    return dtype


def _take_array(value: Any) -> tuple[Any, ...]:
    flags = value.flags
    order = "F" if flags.f_contiguous and not flags.c_contiguous else "C"
    return _name(value.dtype), list(value.shape), order, value.tobytes(order)


def make_array(name: Any, shape: Any, order: Any, raw: Any) -> Any:
    """Make an array of what `_take_array` returned."""
    dtype = _dtype(name)
    if (
        order not in ("C", "F")
        or type(shape) is not list
        or type(raw) is not bytes
        or len(shape) > _MOST_DIMENSIONS
        or any(type(size) is not int or not 0 <= size < _LONGEST for size in shape)
        or math.prod(shape) * dtype.itemsize != len(raw)
    ):
        raise Refused("a NumPy array whose shape does not fit its bytes")
    numpy = sys.modules["numpy"]
    if dtype.kind == "U" and raw and numpy.frombuffer(raw, f"{name[0]}u4").max() > sys.maxunicode:
        raise Refused("a NumPy array of texts with characters that there are none")
    # The array over the bytes cannot be written to; the copy can.
    return numpy.ndarray(tuple(shape), dtype, raw, order=order).copy(order)


def _take_scalar(value: Any) -> tuple[Any, ...]:
    cls = type(value)
    if issubclass(cls, bytes):  # an array would drop zeros at the end
        return "S", bytes.__getitem__(value, slice(None))
    if issubclass(cls, str):
        return "U", str.__getitem__(value, slice(None))
    return _name(value.dtype), value.tobytes()


def make_scalar(name: Any, raw: Any) -> Any:
    """Make a scalar of what `_take_scalar` returned."""
    if name in ("S", "U"):
        numpy = sys.modules[_dtype("|b1") and "numpy"]
        wanted = bytes if name == "S" else str
        if type(raw) is not wanted:
            raise Refused("not a NumPy scalar")
        return (numpy.bytes_ if name == "S" else numpy.str_)(raw)
    dtype = _dtype(name)
    if type(raw) is not bytes or len(raw) != dtype.itemsize or not raw:
        raise Refused("not a NumPy scalar")
    return sys.modules["numpy"].frombuffer(raw, dtype)[0]
