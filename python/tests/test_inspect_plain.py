"""Stored values as plain data: whatever is stored can be shown, and no bytes do harm."""

import contextlib
import datetime as dt
import decimal
import json
import math
import pathlib
import sys
import uuid

import codec_values as cv
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoocache import Cache, SerializationError
from zoocache._native import encode_value
from zoocache.inspect import inspect
from zoocache.inspect._plain import plain

pytestmark = pytest.mark.memory_only("it needs no storage")


def shown(value):
    cache = Cache()
    cache.set("key", value)
    with inspect(cache) as inspector:
        found = inspector.value("key")
    assert found.bytes is not None, "it has no bytes"
    return found.value


@given(data=st.binary(min_size=1, max_size=300))
def test_everything_that_is_stored_can_be_shown_as_json(data):
    value = cv.value(cv.Source(data))
    try:
        encode_value(value, None)
    except SerializationError:
        return
    text = json.dumps(shown(value), allow_nan=False)
    assert json.loads(text) == shown(value)


@given(
    value=st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**63), 2**64 - 1)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=30,
    )
)
def test_what_json_knows_is_shown_as_it_is(value):
    assert shown(value) == value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ((1, "a"), {"$type": "tuple", "items": [1, "a"]}),
        ({3}, {"$type": "set", "items": [3]}),
        ({1: "a"}, {"$type": "dict", "items": [[1, "a"]]}),
        (b"\x01\xff", {"$type": "bytes", "hex": "01ff"}),
        (bytearray(b"a"), {"$type": "bytearray", "hex": "61"}),
        (2**70, {"$type": "int", "hex": hex(2**70)}),
        (-(2**70), {"$type": "int", "hex": hex(-(2**70))}),
        (1 + 2j, {"$type": "complex", "parts": [1.0, 2.0]}),
        (math.inf, {"$type": "float", "value": "inf"}),
        (decimal.Decimal("1.50"), {"$type": "decimal", "value": "1.50"}),
        (uuid.UUID(int=1), {"$type": "uuid", "value": "0" * 31 + "1"}),
        (pathlib.PurePosixPath("/a"), {"$type": "path", "value": "/a"}),
        (dt.date(2024, 2, 29), {"$type": "date", "parts": [2024, 2, 29]}),
        (cv.Color.RED, {"$type": "codec_values:Color", "value": "RED"}),
        (cv.Plain(1), {"$type": "codec_values:Plain", "a": 1, "b": None}),
    ],
)
def test_other_types_are_named(value, expected):
    assert shown(value) == expected


@given(data=st.binary(max_size=200))
def test_damaged_bytes_are_refused(data):
    before = set(sys.modules)
    with contextlib.suppress(SerializationError):
        json.dumps(plain(data))
    assert set(sys.modules) == before


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\x91" * 100_000 + b"\xc0",
        b"\xc7\xff\x40",
        b"\xa1\xff",
        b"\xc0\xc0",
        b"\xc7\x01\x40\x05",
    ],
)
def test_what_is_no_value_is_refused(data):
    with pytest.raises(SerializationError):
        plain(data)
