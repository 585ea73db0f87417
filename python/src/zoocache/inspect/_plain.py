"""Stored values as plain data, whatever program stored them.

The bytes are MessagePack with the extension types of `zoocache._codes`. Nothing is imported, no class is
looked up and nothing of a value is called: an object is shown by the name that the bytes give its class, and
by its fields.
"""
# ruff: noqa: PLR2004 - the numbers are the format's

from __future__ import annotations

import struct
from typing import Any

from zoocache import _codes
from zoocache._errors import SerializationError

#: Deeper values are cut off; the codec writes none.
_DEEPEST = 128
#: Native code's own extension types.
_ABSENT, _TUPLE, _SET, _FROZENSET, _BYTEARRAY, _COMPLEX, _BIG_INT, _SURROGATES = range(8)
_COLLECTIONS = {_TUPLE: "tuple", _SET: "set", _FROZENSET: "frozenset"}
#: Types of the standard library, by their number.
_NAMES = {
    number: name.lower().replace("_", "")
    for name, number in vars(_codes).items()
    if name.isupper() and isinstance(number, int) and not name.startswith("FIRST_")
}
#: Of these the first part is the whole content.
_SIMPLE = {_codes.DECIMAL, _codes.ZONE_INFO, _codes.ORDERED_DICT, _codes.COUNTER, _codes.DEQUE}
_FIXED = {
    0xCA: ">f", 0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q",
    0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q",
}  # fmt: skip
_CONSTANTS = {
    0xC0: None, 0xC2: False, 0xC3: True,
    **{number & 0xFF: number for number in range(-0x20, 0x80)},
}  # fmt: skip
_WIDTHS = (">B", ">H", ">I")


def plain(data: bytes) -> Any:
    """Read an encoded value.

    Raises:
        SerializationError: The bytes are damaged, or of another version.
    """
    reader = _Reader(data)
    try:
        value = reader.value(0)
    except (struct.error, IndexError, UnicodeDecodeError, ValueError) as error:
        raise SerializationError("the bytes are damaged, or of another version of zoocache") from error
    if reader.at != len(data):
        raise SerializationError("the bytes are damaged: more follows the value")
    return value


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data, self.at, self._end = data, 0, len(data)
        #: The classes named so far: name and fields.
        self._classes: list[tuple[str, list[Any]]] = []

    def value(self, depth: int) -> Any:
        if depth > _DEEPEST:
            raise ValueError("nested too deeply")
        marker = self._take(1)[0]
        if marker in _CONSTANTS:
            return _CONSTANTS[marker]
        if marker in _FIXED:
            return self._number(_FIXED[marker])
        return self._short(marker, depth) if marker < 0xC0 else self._long(marker, depth)

    def _short(self, marker: int, depth: int) -> Any:
        if marker < 0x90:
            return self._dict(marker & 0xF, depth)
        return self._list(marker & 0xF, depth) if marker < 0xA0 else self._text(marker & 0x1F)

    def _long(self, marker: int, depth: int) -> Any:
        if 0xD9 <= marker <= 0xDB:
            return self._text(self._number(_WIDTHS[marker - 0xD9]))
        if 0xC4 <= marker <= 0xC6:
            return _binary("bytes", self._take(self._number(_WIDTHS[marker - 0xC4])))
        if marker in {0xDC, 0xDD}:
            return self._list(self._number(_WIDTHS[marker - 0xDB]), depth)
        if marker in {0xDE, 0xDF}:
            return self._dict(self._number(_WIDTHS[marker - 0xDD]), depth)
        if 0xC7 <= marker <= 0xC9:
            return self._extension(self._number(_WIDTHS[marker - 0xC7]), depth)
        raise ValueError("no value begins so")

    def _take(self, count: int) -> bytes:
        end = self.at + count
        if end > self._end:
            raise IndexError("the bytes end early")
        self.at, taken = end, self._data[self.at : end]
        return taken

    def _number(self, kind: str) -> Any:
        return struct.unpack(kind, self._take(struct.calcsize(kind)))[0]

    def _text(self, length: int) -> str:
        return self._take(length).decode()

    def _list(self, count: int, depth: int) -> list[Any]:
        return [self.value(depth + 1) for _ in range(self._checked(count))]

    def _dict(self, count: int, depth: int) -> dict[str, Any]:
        items = [(self.value(depth + 1), self.value(depth + 1)) for _ in range(self._checked(count))]
        if all(isinstance(key, str) for key, _ in items):
            return dict(items)
        # JSON knows texts as keys only, and `1` is not `"1"`.
        return {"$type": "dict", "items": [[key, value] for key, value in items]}

    def _checked(self, count: int) -> int:
        if count > self._end - self.at:
            raise IndexError("more items than there are bytes")
        return count

    def _extension(self, length: int, depth: int) -> Any:
        code = self._number(">b")
        if code in {_BYTEARRAY, _COMPLEX, _BIG_INT, _SURROGATES, _ABSENT}:
            return _flat(code, self._take(length))
        end = self.at + length
        if end > self._end:
            raise IndexError("the bytes end early")
        outer, self._end = self._end, end
        made = self._object(code, depth) if code >= _codes.FIRST_NAMED else self._described(code, depth)
        self._end = outer
        return made

    def _rest(self, depth: int) -> list[Any]:
        parts = []
        while self.at < self._end:
            parts.append(self.value(depth + 1))
        return parts

    def _described(self, code: int, depth: int) -> Any:
        parts = self._rest(depth)
        if code in _COLLECTIONS:
            return {"$type": _COLLECTIONS[code], "items": parts}
        name = _NAMES.get(code, f"type {code}")
        if code in _SIMPLE and parts:
            return {"$type": name, "value": parts[0]}
        if code == _codes.UUID and parts:
            return {"$type": name, "value": _hex(parts[0])}
        if code == _codes.PATH and len(parts) > 1:
            return {"$type": name, "value": parts[1]}
        return {"$type": name, "parts": parts}

    def _object(self, code: int, depth: int) -> Any:
        first = self.value(depth)
        if isinstance(first, str):
            fields = self.value(depth)
            if not isinstance(fields, list):
                raise ValueError("no fields")  # noqa: TRY004 - of damaged bytes
            self._classes.append((first, fields))
            number = len(self._classes) - 1
        else:
            number = first
        name, fields = self._classes[number]
        parts = self._rest(depth)
        shown: dict[str, Any] = {"$type": name}
        if code == _codes.ENUM or len(fields) != len(parts):
            return {**shown, "value": parts[0] if len(parts) == 1 else parts}
        shown.update(
            (str(field), part) for field, part in zip(fields, parts, strict=True) if part is not _GONE
        )
        return shown


class _Gone:
    """In place of a field that the object does not have."""


_GONE = _Gone()


def _flat(code: int, content: bytes) -> Any:
    if code == _ABSENT:
        return _GONE
    if code == _BYTEARRAY:
        return _binary("bytearray", content)
    if code == _COMPLEX:
        real, imaginary = struct.unpack(">dd", content)
        return {"$type": "complex", "parts": [real, imaginary]}
    if code == _BIG_INT:
        # Decimal text of huge numbers takes time in the square of their length.
        return {"$type": "int", "hex": hex(int.from_bytes(content, "little", signed=True))}
    return content.decode("utf-8", "backslashreplace")


def _binary(name: str, content: bytes) -> dict[str, Any]:
    return {"$type": name, "hex": content.hex()}


def _hex(part: Any) -> Any:
    return part["hex"] if isinstance(part, dict) and "hex" in part else part
