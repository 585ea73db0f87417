"""Classes of the program: which kinds are stored without being registered, and how.

Objects are made again without running `__init__`, `__post_init__`, validators or converters: what was
stored had gone through them. An object that holds more than its class declares is refused, not cut down.
"""

from __future__ import annotations

import copyreg
import dataclasses
import enum
import sys
import types
from typing import TYPE_CHECKING, Any, NamedTuple

from zoocache import _codes
from zoocache._errors import Refused
from zoocache._keys import _attributes, _is_native

if TYPE_CHECKING:
    from collections.abc import Callable

new = object.__new__


class Shape(NamedTuple):
    """How objects of a class are taken apart and made again."""

    code: int
    #: The names of the parts, and whatever else of the class must be the same when an object is made again.
    fields: tuple[str | None, ...] = ()
    #: Returns the parts; `None` if those are the fields.
    take: Callable[[Any], tuple[Any, ...]] | None = None
    #: Refuses an object that has more than its fields.
    check: Callable[[Any], None] | None = None
    #: Makes an object of class and parts; `None` if those are its fields.
    make: Callable[[type, tuple[Any, ...]], Any] | None = None
    #: Whether `copy.deepcopy` does something else than copying the parts.
    own_copy: bool = False

    def parts(self, value: Any) -> tuple[Any, ...]:
        """Take an object apart.

        Raises:
            Refused: It has more than its parts.
        """
        if self.take is not None:
            return self.take(value)
        if self.check is not None:
            self.check(value)
        return tuple(getattr(value, field) for field in self.fields if field is not None)


def model_shape(cls: type) -> Shape | None:
    """How objects of pydantic, msgspec and attrs are taken apart; `None` for others.

    Raises:
        Refused: The class may hold what nobody sees.
    """
    return _pydantic(cls) or _msgspec(cls) or _attrs(cls)


def shape_of(cls: type) -> Shape | None:
    """How objects of a class are stored, or `None` if it is of no kind that is."""
    if issubclass(cls, enum.Enum):
        return Shape(_codes.ENUM, take=_take_member, make=_make_member)
    shape = model_shape(cls) or _dataclass(cls) or _named_tuple(cls)
    return shape and shape._replace(own_copy=_copies_itself(cls))


def _copies_itself(cls: type) -> bool:
    return cls in copyreg.dispatch_table or any(
        name in vars(base) and getattr(vars(base)[name], "__module__", None) not in _GENERATORS
        for base in cls.__mro__
        if base is not object and base.__module__.partition(".")[0] not in ("pydantic", "msgspec")
        for name in (_COPYING if issubclass(cls, tuple) else (*_COPYING, *_MAKING))
    )


#: What `copy.deepcopy` calls.
_COPYING = ("__deepcopy__", "__reduce__", "__reduce_ex__", "__getstate__", "__setstate__")
#: `object.__new__` makes an object; another may find one. A named tuple's takes what its class likes.
_MAKING = ("__new__", "__getnewargs__", "__getnewargs_ex__")
#: The modules of functions that classes are given, and that copy the fields as we do.
_GENERATORS = ("dataclasses", "attr._make")


# ---- Enums -------------------------------------------------------------------------------------


def _take_member(value: Any) -> tuple[Any, ...]:
    name = value._name_
    if name is not None and type(value)._member_map_.get(name) is value:
        return (name,)
    _check_flags(value._value_)
    return (value._value_,)  # a combination of flags


#: Python 3.10 makes a member of each bit, for good.
_MOST_FLAGS = 1000


def _check_flags(value: Any) -> None:
    if type(value) is int and value.bit_length() > _MOST_FLAGS:
        raise Refused(f"more than {_MOST_FLAGS} flags")


def _make_member(cls: Any, parts: tuple[Any, ...]) -> Any:
    (part,) = parts
    if type(part) is str:
        if part not in cls._member_map_:
            raise Refused(f"{cls.__qualname__} has no member {part[:100]!r}")
        return cls._member_map_[part]
    if type(part) is not int or not issubclass(cls, enum.Flag):
        raise Refused(f"not a member of {cls.__qualname__}")
    _check_flags(part)
    member = cls(part)
    if type(member) is not cls:
        raise Refused(f"{cls.__qualname__} does not have these flags")
    return member


# ---- Dataclasses and attrs classes: their fields --------------------------------------------------


def _dataclass(cls: type) -> Shape | None:
    if not dataclasses.is_dataclass(cls):
        return None
    return _record(cls, _codes.DATACLASS, tuple(field.name for field in dataclasses.fields(cls)))


def _attrs(cls: Any) -> Shape | None:
    if "attr" not in sys.modules or not isinstance(getattr(cls, "__attrs_attrs__", None), tuple):
        return None
    shape = _record(cls, _codes.ATTRS, tuple(field.name for field in cls.__attrs_attrs__))
    if not _remembers_hash(cls):
        return shape
    return shape._replace(take=_take_fields(cls.__attrs_attrs__, shape.check), make=_make_hashed)


#: What attrs keeps beside the fields: a hash, which is another one in another process.
_HASH = "_attrs_cached_hash"


def _record(cls: type, code: int, fields: tuple[str, ...]) -> Shape:
    if _is_native(cls, known=()):
        raise Refused("its class derives from one that may hold what nobody sees")
    for field in fields:
        found = next((vars(base)[field] for base in cls.__mro__ if field in vars(base)), None)
        if hasattr(type(found), "__set__") and type(found) is not types.MemberDescriptorType:
            raise Refused(f"its field {field} is a {type(found).__qualname__}")
    names, known = set(fields), {*fields, _HASH}

    def check(value: Any) -> None:
        if getattr(value, "__dict__", {}).keys() == names and not has_slots:
            return
        more = set(_attributes(value, known=())) - known
        if more:
            raise Refused(f"it has attributes beside its fields: {', '.join(sorted(more))}")

    has_slots = any(
        type(found) is types.MemberDescriptorType and name not in known
        for base in cls.__mro__
        for name, found in vars(base).items()
    )
    if not has_slots and cls.__dictoffset__ == 0:
        return Shape(code, fields)
    return Shape(code, fields, check=check)


def _remembers_hash(cls: type) -> bool:
    return _HASH in getattr(getattr(cls.__hash__, "__code__", None), "co_names", ())


def _take_fields(
    fields: tuple[Any, ...], check: Callable[[Any], None] | None
) -> Callable[[Any], tuple[Any, ...]]:
    def take(value: Any) -> tuple[Any, ...]:
        if check is not None:
            check(value)
        return tuple(object.__getattribute__(value, field.name) for field in fields)

    return take


def _make_hashed(cls: Any, parts: tuple[Any, ...]) -> Any:
    """Make an object that remembers its hash, which it must compute anew."""
    fields = cls.__attrs_attrs__
    if len(parts) != len(fields):
        raise Refused(f"{len(parts)} values for the {len(fields)} fields of {cls.__qualname__}")
    value = object.__new__(cls)
    for field, part in zip(fields, parts, strict=True):
        object.__setattr__(value, field.name, part)
    object.__setattr__(value, _HASH, None)
    return value


# ---- Named tuples ----------------------------------------------------------------------------------


def _named_tuple(cls: Any) -> Shape | None:
    fields = getattr(cls, "_fields", None)
    if not issubclass(cls, tuple) or type(fields) is not tuple or not all(type(f) is str for f in fields):
        return None
    if _is_native(cls, known=(tuple,)):
        raise Refused("its class derives from one that may hold what nobody sees")

    def take(value: Any) -> tuple[Any, ...]:
        items = tuple.__getitem__(value, slice(None))
        if getattr(value, "__dict__", None) or len(items) != len(fields):
            raise Refused("it has more than its fields")
        return items

    return Shape(_codes.NAMED_TUPLE, fields, take, make=_make_named_tuple(len(fields)))


def _make_named_tuple(count: int) -> Callable[[type, tuple[Any, ...]], Any]:
    def make(cls: Any, parts: tuple[Any, ...]) -> Any:
        if len(parts) != count:
            raise Refused(f"{len(parts)} items for the {count} fields of {cls.__qualname__}")
        return tuple.__new__(cls, parts)

    return make


# ---- pydantic --------------------------------------------------------------------------------------


def _pydantic(cls: Any) -> Shape | None:
    base = getattr(sys.modules.get("pydantic"), "BaseModel", None)
    if not isinstance(base, type) or not issubclass(cls, base):
        return None
    fields = tuple(cls.__pydantic_fields__)
    # What else a model has follows the names of the parts, so that a change of it is noticed, too.
    more = (*cls.__private_attributes__, *(["extra"] if cls.model_config.get("extra") == "allow" else ()))
    declared = (*fields, *_UNNAMED, *more) if more else fields
    return Shape(_codes.PYDANTIC, declared, _take_model(fields), make=_make_model)


#: The parts of a model that are no fields.
_UNNAMED = (None, None, None, None)


def _take_model(fields: tuple[str, ...]) -> Callable[[Any], tuple[Any, ...]]:
    known = set(fields)

    def take(value: Any) -> tuple[Any, ...]:
        own = value.__dict__
        absent = None
        if own.keys() != known:
            absent = known - own.keys()
            more = set(_attributes(value, known=_slotted(type(value)))) - known
            if more:
                raise Refused(f"it has attributes beside its fields: {', '.join(sorted(more))}")
        return (
            *map(own.get, fields),
            absent,
            value.__pydantic_fields_set__,
            value.__pydantic_extra__,
            value.__pydantic_private__,
        )

    return take


def _slotted(cls: type) -> set[type]:
    """Those of a model's classes that are pydantic's, whose slots are known."""
    return {base for base in cls.__mro__ if base.__module__.partition(".")[0] == "pydantic"}


_SET, _DICT = (set, type(None)), (dict, type(None))


def _make_model(cls: Any, parts: tuple[Any, ...]) -> Any:
    fields = tuple(cls.__pydantic_fields__)
    if len(parts) != len(fields) + len(_UNNAMED):
        raise Refused(f"{len(parts)} parts for the {len(fields)} fields of {cls.__qualname__}")
    absent, given, extra, private = parts[-4:]
    if type(given) is not set or type(absent) not in _SET or type(extra) not in _DICT:
        raise Refused(f"not a {cls.__qualname__}")
    if type(private) not in _DICT or not set(private or ()) <= cls.__private_attributes__.keys():
        raise Refused(f"not the private attributes of {cls.__qualname__}; the class may have changed")
    own = dict(zip(fields, parts, strict=False))
    for field in absent or ():
        own.pop(field, None)
    model = object.__new__(cls)
    object.__setattr__(model, "__dict__", own)
    object.__setattr__(model, "__pydantic_fields_set__", given)
    object.__setattr__(model, "__pydantic_extra__", extra)
    object.__setattr__(model, "__pydantic_private__", private)
    return model


# ---- msgspec ---------------------------------------------------------------------------------------


def _msgspec(cls: Any) -> Shape | None:
    base = getattr(sys.modules.get("msgspec"), "Struct", None)
    if not isinstance(base, type) or not issubclass(cls, base):
        return None
    fields = tuple(cls.__struct_fields__)

    def take(value: Any) -> tuple[Any, ...]:
        if getattr(value, "__dict__", None):
            raise Refused(f"it has attributes beside its fields: {', '.join(sorted(value.__dict__))}")
        return tuple(getattr(value, field) for field in fields)

    return Shape(_codes.MSGSPEC, fields, take, make=_make_struct)


def _make_struct(cls: Any, parts: tuple[Any, ...]) -> Any:
    """Structs can be made by calling their class only. What `__post_init__` changes is set right again."""
    fields = cls.__struct_fields__
    if len(parts) != len(fields):
        raise Refused(f"{len(parts)} values for the {len(fields)} fields of {cls.__qualname__}")
    struct = cls(**dict(zip(fields, parts, strict=True)))
    if hasattr(cls, "__post_init__"):
        for field, part in zip(fields, parts, strict=True):
            sys.modules["msgspec"].structs.force_setattr(struct, field, part)
    return struct
