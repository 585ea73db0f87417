"""The numbers of the extension types; `native/codec/ext.rs` has those that native code handles.

They are part of the format: none is ever given another meaning. From `FIRST_CHANGEABLE` on are those of
values that a caller could change, from `FIRST_NAMED` on those of objects whose class the bytes name.
"""

from __future__ import annotations

DATETIME, DATE, TIME, TIMEDELTA, TIMEZONE, ZONE_INFO = 8, 9, 10, 11, 12, 13
DECIMAL, FRACTION, UUID, PATH, RANGE, ELLIPSIS, NUMPY_SCALAR = 14, 15, 16, 17, 18, 19, 20

FIRST_CHANGEABLE = 32
ORDERED_DICT, DEFAULT_DICT, DEQUE, COUNTER, NUMPY_ARRAY = 32, 33, 34, 35, 36

FIRST_NAMED = 64
DATACLASS, NAMED_TUPLE, ENUM, PYDANTIC, MSGSPEC, ATTRS, REGISTERED = 64, 65, 66, 67, 68, 69, 70

#: For messages.
KINDS = {
    DATACLASS: "dataclass",
    NAMED_TUPLE: "named tuple",
    ENUM: "enum",
    PYDANTIC: "pydantic model",
    MSGSPEC: "msgspec struct",
    ATTRS: "attrs class",
    REGISTERED: "class with functions of its own in register_type",
}
