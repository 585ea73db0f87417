"""Bytes that nobody made with `dumps`: they are refused, whatever they are, and cost no memory."""

import random
import struct
import tracemalloc

import codec_values as cv
import pytest
from helpers import program
from hypothesis import given, settings
from hypothesis import strategies as st

from zoocache import SerializationError
from zoocache.codec import dumps, loads

HEAD = b"\xc1\x5a\x01\x00\0\0\0\0"
HEAD_LZ4 = b"\xc1\x5a\x01\x01\0\0\0\0"
#: Random bytes are hardly ever ours; with a valid beginning they get further.
MANY = settings(max_examples=2_000, deadline=None, database=None)


def attempt(data, **options):
    """Decode, and let nothing but the one exception pass."""
    try:
        return loads(data, **options)
    except SerializationError as error:
        return error


def ext(code, content):
    return HEAD + b"\xc9" + struct.pack(">Ib", len(content), code) + content


def samples():
    random_bytes = random.Random(5)
    return [dumps(cv.value(cv.Source(random_bytes.randbytes(200)))) for _ in range(60)] + [
        dumps(make(1))
        for make in (cv.Plain, cv.Frozen, cv.Slotted, cv.Box, cv.Point, cv.Record, cv.Slots, cv.Open)
    ]


@MANY
@given(st.binary(max_size=200))
def test_any_bytes(data):
    for head in (b"", HEAD, HEAD_LZ4, HEAD_LZ4 + b"\x40\0\0\0"):
        attempt(head + data)
        attempt(head + data, types=[cv.Plain, cv.Person])


@MANY
@given(st.integers(0, 127), st.binary(max_size=60))
def test_any_content_of_any_extension_type(code, content):
    attempt(ext(code, content))
    # Parts that are well-formed values.
    for part in (b"\xc0", b"\x05", b"\xa1x", b"\x90", b"\x80", b"\xcb" + content[:8].ljust(8, b"\0")):
        for count in range(1, 11):
            attempt(ext(code, part * count))


def test_every_truncation():
    for data in samples():
        for length in range(min(len(data), 400)):
            assert isinstance(attempt(data[:length]), SerializationError)


def test_whatever_follows_is_refused():
    for data in samples():
        if not data[3] & 1:  # an LZ4 block
            assert isinstance(attempt(data + b"\xc0"), SerializationError)
    assert "2 bytes follow" in str(attempt(dumps(1) + b"\xc0\xc0"))


def test_changed_bytes():
    random_bytes = random.Random(6)
    for data in samples():
        for _ in range(150):
            changed = bytearray(data)
            for _ in range(random_bytes.randint(1, 3)):
                changed[random_bytes.randrange(len(changed))] = random_bytes.randrange(256)
            attempt(bytes(changed))


def test_every_flipped_bit_is_noticed_with_a_secret():
    data = dumps({"a": [1, cv.Plain(2)]}, secret="secret")
    assert loads(data, secret=b"secret") == {"a": [1, cv.Plain(2)]}
    for position in range(len(data) * 8):
        changed = bytearray(data)
        changed[position // 8] ^= 1 << position % 8
        assert isinstance(attempt(bytes(changed), secret="secret"), SerializationError)


def test_a_wrong_or_missing_secret_says_no_more_than_that():
    value = {"password": "hunter2"}
    for made, used in (("one", "two"), ("one", None), (None, "one"), (b"one", "One"), ("one", b"one ")):
        with pytest.raises(SerializationError) as raised:
            loads(dumps(value, secret=made), secret=used)
        assert str(raised.value) == "authentication failed"
        assert raised.value.__cause__ is None
    assert loads(dumps(value, secret="one"), secret=b"one") == value


def test_a_secret_that_is_none():
    for secret, error in (("", ValueError), (b"", ValueError), (5, TypeError)):
        with pytest.raises(error, match="secret"):
            dumps(1, secret=secret)
        with pytest.raises(error, match="secret"):
            loads(dumps(1), secret=secret)


HUGE = {
    "list": HEAD + b"\xdd\xff\xff\xff\xff",
    "dict": HEAD + b"\xdf\xff\xff\xff\xff",
    "text": HEAD + b"\xdb\xff\xff\xff\xff",
    "bytes": HEAD + b"\xc6\xff\xff\xff\xff",
    "extension": HEAD + b"\xc9\xff\xff\xff\xff\x01",
    "lists that claim what is left": HEAD + b"".join(
        b"\xdd" + struct.pack(">I", 100_000 - 5 * level) for level in range(100)
    ) + b"\xc0" * 100,
    "lists that claim what is there": HEAD + b"".join(
        b"\xdd" + struct.pack(">I", 100_000) for _ in range(100)
    ) + b"\xc0" * 100_000,
    "LZ4": HEAD_LZ4 + b"\xff\xff\xff\xff" + b"\0" * 100,
    "LZ4 of an allowed size": HEAD_LZ4 + b"\0\0\0\x1f" + b"\0" * 100,
    "header": b"\xc1\x5a\x01\x00\xff\xff\xff\xff",
    "fields": HEAD + b"\xc7\x09\x40\xa1x\xdd\xff\xff\xff\xff" + b"\0" * 3,
}  # fmt: skip


@pytest.mark.parametrize("name", HUGE)
def test_huge_lengths_take_no_memory(name):
    data = HUGE[name]
    attempt(data)
    tracemalloc.start()
    try:
        assert isinstance(attempt(data), SerializationError)
        assert tracemalloc.get_traced_memory()[1] < 20 * len(data) + 100_000
    finally:
        tracemalloc.stop()


def test_huge_lengths_take_no_memory_of_the_process(tmp_path):
    """Native code allocates what tracemalloc does not see."""
    (tmp_path / "cases").write_text(repr(list(HUGE.values())))
    source = f"""
        import ast, resource, zoocache.codec as codec
        with open({str(tmp_path / "cases")!r}) as file:
            cases = ast.literal_eval(file.read())
        codec.loads(codec.dumps([1, (2,), ...]))
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (48 << 20),) * 2)
        for data in cases:
            try:
                codec.loads(data)
            except codec.SerializationError:
                print("refused")
    """
    assert program(source).split() == ["refused"] * len(HUGE)


def test_a_small_block_cannot_become_huge():
    long = dumps(bytes(100 << 20))
    assert len(long) > 100 << 20  # it would shrink to more than can be allowed
    assert len(dumps(bytes(1 << 19))) < 4000
    assert loads(long) == bytes(100 << 20)


def test_nested_lists_of_bytes():
    for levels in (127, 128, 129, 1000, 1_000_000):
        for opening in (b"\x91", b"\x81\xa1a", b"\x81\x91"):
            result = attempt(HEAD + opening * levels + b"\xc0")
            assert isinstance(result, SerializationError) or levels < 129


def test_what_is_said_about_other_bytes():
    for data, text in {
        b"": "not a value stored by zoocache",
        b"\x80\x04\x95": "not a value stored by zoocache",
        b"\xc1\x5a\x02\x00": "format that this version of zoocache does not read",
        HEAD: "the bytes end early",
        HEAD + b"\xc1": "damaged",
        HEAD + b"\x92\x01\x91": r"cannot decode $[1]: the bytes end early",
        HEAD + b"\x81\xa1a\xc1": "$['a']: the bytes are damaged",
        HEAD + b"\x82\x01\x01\x01\x02": "a key occurs twice",
        HEAD + b"\x81\x90\x01": "unhashable",
        ext(2, b"\x01\x01"): "a member occurs twice",
        ext(31, b""): "another version of zoocache",
        ext(14, b"\xa3abc"): "InvalidOperation",
    }.items():
        assert text in str(attempt(data)), data


def test_a_decoded_date_that_is_none():
    for parts in (
        b"\xc4\x04\x07\xd0\x01\xff",
        b"\x00\x01\x01",
        b"\xcd\x07\xd0\x0d\x01",
        b"\xa1x\x01\x01",
        b"\x01",
        b"",
        b"\x01" * 9,
    ):
        error = attempt(ext(9, parts))
        assert isinstance(error, SerializationError)
        assert isinstance(error.__cause__, (ValueError, TypeError))


def test_names_of_time_zones_lead_nowhere_else():
    for name in (
        "../../etc/passwd",
        "/etc/passwd",
        "a.b/c",
        "",
        "Europe/",
        "x" * 300,
        "No/Such",
        "\0",
        "tzdata",
    ):
        text = name.encode()
        error = attempt(ext(13, b"\xda" + struct.pack(">H", len(text)) + text))
        assert isinstance(error, SerializationError), name


def test_arrays_whose_shape_does_not_fit():
    for name, shape, raw in (
        ("<f8", [2], b"\0" * 8),
        ("<f8", [2**40], b""),
        ("<f8", [0, 2**62, 2**62], b""),
        ("<f8", [-1], b"\0" * 8),
        ("|O", [1], b"\0" * 8),
        ("|V8", [1], b"\0" * 8),
        ("<U999999999", [0], b""),
        ("f8,f8", [1], b"\0" * 16),
        ("<f8", [1] * 100, b"\0" * 8),
        ("<f8", 5, b""),
        ("os", [1], b""),
    ):
        parts = b"".join(dumps(part)[len(HEAD) :] for part in (name, shape, "C", raw))
        result = attempt(ext(36, parts))
        assert isinstance(result, SerializationError) or result.size == 0
