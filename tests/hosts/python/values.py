"""Between values as the vectors write them and as wasmtime-py takes and gives them, by their types.

| WIT      | vectors                              | wasmtime-py                               |
|----------|--------------------------------------|-------------------------------------------|
| u64      | number, or text of a larger one      | int                                       |
| list<u8> | hexadecimal text                     | bytes                                     |
| record   | object                               | `Record`, attributes by the names in WIT  |
| variant  | "case" or {"case": payload}          | `Variant`, or the payload, see `_case_of` |
| result   | {"ok": ...} or {"err": ...}          | the same                                  |
| option   | the value or null                    | the value or None                         |
| resource | "@name"                              | `ResourceAny`                             |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from wasmtime.component import (
    U64,
    BorrowType,
    ListType,
    OptionType,
    OwnType,
    Record,
    RecordType,
    ResultType,
    Variant,
    VariantType,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from wasmtime.component import ResourceAny, ValType

#: The highest number that is exact in every reader of JSON.
EXACT = 2**53 - 1

Cases: TypeAlias = "Sequence[tuple[str, ValType | None]]"


@dataclass(frozen=True)
class Conversion:
    """Converts; `resource` finds what a name stands for, and `name_of` names what a call returned."""

    resource: Callable[[str], ResourceAny]
    name_of: Callable[[ResourceAny], str]

    def lower(self, kind: ValType, json: Any) -> Any:
        """Make an argument of JSON."""
        if isinstance(kind, U64):
            return int(json)
        if isinstance(kind, OptionType):
            return None if json is None else self.lower(kind.payload, json)
        if isinstance(kind, ListType):
            element = kind.element
            return bytes.fromhex(json) if is_bytes(kind) else [self.lower(element, item) for item in json]
        if isinstance(kind, RecordType):
            return self._record(kind, json)
        if isinstance(kind, (OwnType, BorrowType)):
            return self.resource(json)
        return json

    def _record(self, kind: RecordType, json: dict[str, Any]) -> Record:
        record, fields = Record(), dict(kind.fields)
        if fields.keys() != json.keys():
            raise ValueError(f"fields are {list(fields)}, not {list(json)}")
        for name, of in fields.items():
            setattr(record, name, self.lower(of, json[name]))
        return record

    def lift(self, kind: ValType | None, value: Any) -> Any:
        """Make JSON of a result."""
        lifted = value
        if isinstance(kind, U64):
            lifted = value if value <= EXACT else str(value)
        elif isinstance(kind, OptionType):
            lifted = None if value is None else self.lift(kind.payload, value)
        elif isinstance(kind, ListType):
            element = kind.element
            lifted = value.hex() if is_bytes(kind) else [self.lift(element, item) for item in value]
        elif isinstance(kind, RecordType):
            lifted = {name: self.lift(of, getattr(value, name)) for name, of in kind.fields}
        elif isinstance(kind, VariantType):
            lifted = self._lift_case(kind.cases, value)
        elif isinstance(kind, ResultType):
            lifted = self._lift_case([("ok", kind.ok), ("err", kind.err)], value)
        elif isinstance(kind, OwnType):
            lifted = self.name_of(value)
        return lifted

    def _lift_case(self, cases: Cases, value: Any) -> Any:
        name, kind, payload = _case_of(cases, value)
        return name if kind is None else {name: self.lift(kind, payload)}


def _case_of(cases: Cases, value: Any) -> tuple[str, ValType | None, Any]:
    """Find the case of a variant: wasmtime-py only names it where the payload's class does not say it."""
    kinds = dict(cases)
    if isinstance(value, Variant) and value.tag in kinds:
        return value.tag, kinds[value.tag], value.payload
    for name, kind in cases:
        classes: set[type] = set()
        if kind is not None:
            kind.add_classes(classes)
        if (value is None and kind is None) or isinstance(value, tuple(classes)):
            return name, kind, value
    raise ValueError(f"{value!r} is none of {list(kinds)}")


def is_bytes(kind: ListType) -> bool:
    """Tell a list of bytes from another one."""
    classes: set[type] = set()
    kind.add_classes(classes)
    return bytes in classes
