"""Which classes bytes may name: those that the program named itself, and no other."""

import collections
import dataclasses
import enum
import gc
import sys
import typing

import codec_values as cv
import pydantic
import pytest
from helpers import program

import zoocache
from zoocache import SerializationError, register_type
from zoocache._types import classes_of
from zoocache.codec import dumps, loads

#: A class as long as the real one, so that a name can be replaced inside the bytes.
PLAIN = b"codec_values:Plain"


def forged(name, value=None):
    """Bytes that name another class."""
    data = dumps(cv.Plain(1) if value is None else value)
    assert PLAIN in data
    name = name.encode()
    whole = data.index(PLAIN)
    length = data[8 + 1]
    changed = bytearray(data)
    changed[whole - 1 : whole + len(PLAIN)] = bytes([0xA0 | len(name)]) + name
    changed[9] = length - len(PLAIN) + len(name)
    return bytes(changed)


def make_class(fields=("a",), name="Local"):
    cls = dataclasses.make_dataclass(name, fields)
    cls.__module__ = "somewhere"
    return cls


def test_a_forged_name_is_used_as_it_stands():
    """The forgery itself is right, or the tests below would prove nothing."""
    assert loads(forged("codec_values:Plain")) == cv.Plain(1)
    with pytest.raises(SerializationError, match=r"class 'os:system' is not known here; name it in types="):
        loads(forged("os:system"))


@pytest.mark.parametrize(
    "name",
    ["os:system", "builtins:eval", "builtins:object", "subprocess:Popen", "zoocache:reset", "", ":", "a:b:c",
     "decimal:Decimal", "codec_values:Slots", "collections:OrderedDict", "pickle:loads"],
)  # fmt: skip
def test_names_of_other_things_are_refused(name):
    dumps(cv.Slots(1))
    with pytest.raises(SerializationError):
        loads(forged(name))


def test_a_module_that_bytes_name_is_not_imported(tmp_path):
    (tmp_path / "planted.py").write_text("print('imported')\nclass Plain:\n    print('made')\n")
    data = [forged("planted:Plain"), forged("planted:x"), dumps(cv.Color.RED), dumps(cv.Record(1))]
    source = f"""
        import sys
        sys.path[:0] = [{str(tmp_path)!r}, {str(cv.__file__.rpartition("/")[0])!r}]
        import zoocache.codec as codec
        for data in {data!r}:
            try:
                print(codec.loads(data))
            except codec.SerializationError:
                print("refused")
        print([name for name in ("planted", "codec_values", "msgspec") if name in sys.modules])
    """
    assert program(source).split("\n")[:-1] == ["refused"] * 4 + ["[]"]


def test_numpy_is_not_imported_by_bytes():
    import numpy as np  # noqa: PLC0415

    source = f"""
        import sys, zoocache.codec as codec
        for data in {[dumps(np.arange(3)), dumps(np.int8(3)), dumps(np.str_("x"))]!r}:
            try:
                codec.loads(data)
            except codec.SerializationError as error:
                print("import numpy first" in str(error), "numpy" in sys.modules)
        import numpy
        print(codec.loads(data))
    """
    assert program(source).split("\n")[:-1] == ["True False"] * 3 + ["x"]


def test_only_a_class_of_the_right_kind_is_made():
    values = [cv.Plain(1), cv.Color.RED, cv.Point(1), cv.Address(street=1), cv.Record(1), cv.Slots(1)]
    for value in values:
        dumps(value)
    for value in values:
        data = dumps(value)
        for code in range(64, 71):
            changed = bytearray(data)
            assert changed[8] == 0xC7
            if code == changed[10]:
                continue
            changed[10] = code
            with pytest.raises(SerializationError, match="was stored as"):
                loads(bytes(changed))
    with pytest.raises(SerializationError, match="was stored as a dataclass, and is none here"):
        loads(forged("codec_values:Color"))


def stored_elsewhere(fields=("a",), **values):
    """Bytes of a class that this process no longer has."""
    cls = make_class(fields)
    data = dumps(cls(**values))
    del cls
    gc.collect()
    return data


def test_a_class_that_this_process_has_not_seen():
    data = stored_elsewhere(a=5)
    with pytest.raises(SerializationError, match="class 'somewhere:Local' is not known here"):
        loads(data)
    cls = make_class()
    assert loads(data, types=[cls]) == cls(5)
    assert loads(data, types=[list[cls | None]]) == cls(5)
    with pytest.raises(SerializationError, match="not known"):
        loads(data)
    dumps(cls(1))
    assert loads(data) == cls(5)


def test_two_classes_of_one_name():
    first, second = make_class(), make_class()
    data, _ = dumps(first(1)), dumps(second(1))
    with pytest.raises(SerializationError, match="'somewhere:Local' is the name of more than one class"):
        loads(data)
    with pytest.raises(SerializationError, match="more than one class"):
        loads(data, types=[first, second])
    assert type(loads(data, types=[second])) is second
    register_type(second)
    assert type(loads(data)) is second
    assert type(loads(data, types=[first])) is first
    register_type(first)  # defined anew
    assert type(loads(data)) is first


def test_a_class_with_other_fields_than_then():
    data = stored_elsewhere(("a", "b"), a=1, b=2)
    for fields in (("a",), ("b", "a"), ("a", "b", "c")):
        with pytest.raises(SerializationError, match="'somewhere:Local' has other fields"):
            loads(data, types=[make_class(fields)])

    class Level(enum.Enum):
        LOW = 1
        HIGH = 2

    data = dumps(Level.HIGH)

    class Less(enum.Enum):
        LOW = 1

    Less.__qualname__ = Level.__qualname__
    with pytest.raises(SerializationError, match="no member 'HIGH'"):
        loads(data, types=[Less])


def test_classes_are_not_kept_alive_by_what_was_stored():
    import weakref  # noqa: PLC0415

    cls = make_class(name="Mortal")
    loads(dumps(cls(1)))
    reference = weakref.ref(cls)
    del cls
    gc.collect()
    assert reference() is None


class Money:
    def __init__(self, cents):
        self.cents = cents

    def __eq__(self, other):
        return type(other) is Money and self.cents == other.cents

    __hash__ = None


@pytest.fixture
def money():
    register_type(Money, encode=lambda value: {"cents": value.cents}, decode=lambda parts: Money(**parts))


def test_a_registered_class(money):
    value = {"prices": [Money(1), Money([2])], "x": cv.Plain(Money(3))}
    assert loads(dumps(value)) == value
    assert loads(dumps(value, secret="s"), secret="s") == value

    class Dear(Money):
        pass

    with pytest.raises(
        SerializationError, match=r"Dear; teach it with zoocache.register_type\(.*Dear, encode="
    ):
        dumps(Dear(1))


def test_register_type_as_a_decorator():
    @register_type
    @dataclasses.dataclass
    class Decorated:
        a: int

    assert loads(dumps(Decorated(1))) == Decorated(1)


def test_a_registered_name_outlives_a_move():
    class Old:
        pass

    register_type(Old, lambda _: 5, lambda _: Old(), name="test.Thing")
    data = dumps(Old())
    assert b"test.Thing" in data
    assert b"Old" not in data

    class New:
        pass

    with pytest.raises(ValueError, match=r"the name 'test.Thing' is registered for .*Old"):
        register_type(New, lambda _: 5, lambda _: New(), name="test.Thing")
    register_type(Old, name="test.Other", encode=lambda _: 5, decode=lambda _: Old())
    register_type(New, lambda _: 5, lambda _: New(), name="test.Thing")
    assert type(loads(data)) is New


def test_functions_that_fail(money):
    data = dumps([Money(1)])

    def fail(_):
        raise KeyError("mine")

    register_type(Money, encode=fail, decode=fail)
    with pytest.raises(SerializationError, match=r"cannot decode \$\[0\]: KeyError: 'mine'") as raised:
        loads(data)
    assert isinstance(raised.value.__cause__, KeyError)
    with pytest.raises(SerializationError, match=r"cannot encode \$\['a'\]: KeyError: 'mine'") as raised:
        dumps({"a": Money(1)})
    assert isinstance(raised.value.__cause__, KeyError)
    register_type(Money, encode=lambda _: 1, decode=lambda _: 5)
    with pytest.raises(SerializationError, match="decode function of Money returned a int"):
        loads(data)
    register_type(Money, encode=lambda value: [value], decode=fail)
    with pytest.raises(SerializationError, match="refers to itself"):
        dumps(Money(1))

    def interrupt(_):
        raise KeyboardInterrupt

    register_type(Money, encode=interrupt, decode=interrupt)
    with pytest.raises(KeyboardInterrupt):
        loads(data)
    with pytest.raises(KeyboardInterrupt):
        dumps(Money(1))


def test_what_register_type_refuses():
    for cls in (int, dict, list, type(None), collections.OrderedDict, type(cv.np.int8(1)), cv.np.ndarray):
        with pytest.raises(ValueError, match="needs no register_type"):
            register_type(cls)
    for thing in (5, "Money", list[int], None):
        with pytest.raises(TypeError, match="takes a class"):
            register_type(thing)
    with pytest.raises(ValueError, match="together"):
        register_type(Money, encode=str)
    with pytest.raises(ValueError, match="needs encode and decode"):
        register_type(type("Nothing", (), {}))
    assert zoocache.register_type is register_type


def test_functions_for_a_class_that_needs_none():
    @dataclasses.dataclass
    class Odd:
        a: object

    before = dumps(Odd(1))
    register_type(Odd, encode=lambda value: value.a, decode=Odd)
    assert loads(dumps(Odd(2))) == Odd(2)
    with pytest.raises(SerializationError, match="was stored as a dataclass"):
        loads(before)


@dataclasses.dataclass
class Node:
    next: "Node | None"
    color: "typing.Annotated[cv.Color, 1]"
    unknown: "Missing"  # noqa: F821


class Catalog(typing.TypedDict):
    points: list[cv.Point]


Number = typing.NewType("Number", cv.Size)
Some = typing.TypeVar("Some", bound=cv.Slots)


class Page(pydantic.BaseModel, typing.Generic[cv.T]):
    items: list[cv.T]


@dataclasses.dataclass
class Linked:
    next: "Linked | None"
    person: cv.Person


def test_the_classes_that_an_annotation_names():
    def found(*annotations):
        return set(classes_of(*annotations))

    assert found(None, int, "Unknown", typing.Any, 5, ...) == set()
    assert found(list[cv.Plain] | None) == {cv.Plain}
    assert found(typing.Optional[cv.Color]) >= {cv.Color}  # noqa: UP045
    assert found(dict[str, tuple[cv.Color, ...]]) >= {cv.Color}
    assert found(typing.Annotated[cv.Color, cv.Size]) == {cv.Color}
    assert found(Linked) >= {Linked, cv.Person, cv.Address}
    assert Node in found(Node)
    assert found(Catalog) >= {cv.Point}
    assert found(Number, Some) >= {cv.Size, cv.Slots}
    assert found(typing.Literal[cv.Color.RED]) >= {cv.Color}
    assert found(cv.Box[cv.Color]) >= {cv.Box, cv.Color}
    assert found(Page[cv.Color]) >= {Page[cv.Color], cv.Color}
    assert found(typing.Callable[[cv.Color], cv.Size]) >= {cv.Color, cv.Size}
    assert found(collections.abc.Sequence[cv.Color]) >= {cv.Color}
    assert found(cv.Slots, cv.Record, cv.Point) >= {cv.Slots, cv.Record, cv.Point}
    if sys.version_info >= (3, 12):
        names = {"cv": cv}
        exec("type Alias = list[cv.Color]", names)  # noqa: S102 - syntax of 3.12
        assert found(names["Alias"]) >= {cv.Color}


def test_an_annotation_lets_a_fresh_process_decode():
    data = dumps(cv.Person(name="x", address=cv.Address(street=cv.Color.RED), extra=1))
    source = f"""
        import sys
        sys.path.insert(0, {str(cv.__file__.rpartition("/")[0])!r})
        import codec_values as cv, zoocache.codec as codec
        for types in ([], [cv.Person], [cv.Person, cv.Color]):
            try:
                print(codec.loads({data!r}, types=types).address)
            except codec.SerializationError as error:
                print("class" in str(error) and "not known" in str(error))
    """
    lines = program(source).split("\n")
    assert lines[:2] == ["True", "True"]
    assert lines[2].startswith("street=<Color.RED")
