"""Which function is this, in every process: what keys begin with where processes share entries.

Within a process `_identity` counts functions of the same name. Other processes may count in another order, so
a counted name says nothing there. A function that is alone with its name keeps it. Others are told apart by
what they do: their code, and the values that they captured. What cannot be told apart in this way, such as a
closure over a connection, or a function typed at a prompt, gets a name that is this process's own: it is
cached, and no other process sees its entries. A `namespace` says that functions of that name are the same
everywhere.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import sys
import types
from typing import Any

from zoocache._log import logger

#: This process, and those that are forked from it: they have the functions that are made before.
_TOKEN = secrets.token_hex(8)
#: Values that say everything about themselves.
_PLAIN = (type(None), type(...), bool, int, float, complex, str, bytes)
#: What the module is called that a program was started with, in a process that was spawned from it, too.
_MAIN = ("__main__", "__mp_main__")
#: How deep functions are looked at that functions captured.
_DEEPEST = 20


def shared_name(function: Any, name: str, identity: str) -> str | None:
    """Name a function for all processes; `None` if its identity does.

    Args:
        function: The function to be cached.
        name: Its escaped name, with its version.
        identity: What `_identity` made of it, without a namespace.
    """
    module, place = getattr(function, "__module__", None), ""
    if not _is_of_module(function, module):
        return _own(identity)
    if module in _MAIN:
        main = _main(sys.modules.get(module))
        if main is None:
            return _own(identity)
        place = f"{main}:"
    if identity == name and not _is_local(function):
        return f"{place}{name}" if place else None
    described = _described(function, 0)
    if described is None:
        return _own(identity)
    digest = hashlib.blake2b(described.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    return f"{place}{name}#{digest}"


def warn_of(name: str, shared: str | None) -> None:
    """Say in the log that a function's entries are this process's own, if they are."""
    if shared is not None and _TOKEN in shared:
        logger.warning(
            "%s: its results are not shared with other processes, which cannot tell it from other functions "
            "of that name (it captures an object, or has no file); if it means the same everywhere, give it "
            'namespace="..."',
            name,
        )


def _own(identity: str) -> str:
    # A letter first: no digest, and no number of `_identity`, looks like it. Children of a fork make
    # functions of their own, so their process takes part.
    return f"{identity}#p{os.getpid()}.{_TOKEN}"


def _main(module: types.ModuleType | None) -> str | None:
    """Name the module that a program was started with."""
    spec = getattr(module, "__spec__", None)
    # Of a folder or a zip file that is run, this says nothing.
    if spec is not None and spec.name not in _MAIN:
        return f"={spec.name}"
    file = getattr(module, "__file__", None)
    return None if file is None else _escaped(os.path.realpath(file))


def _is_of_module(function: Any, module: str | None) -> bool:
    """Whether a function's globals are those of its module, and not of an `exec`."""
    own = getattr(function, "__globals__", None)
    names = getattr(sys.modules.get(module or ""), "__dict__", {})
    if own is None or own is names:
        return True
    # The main module of a spawned process has a copy of its globals.
    file = own.get("__file__")
    return own.get("__name__") == module and file is not None and file == names.get("__file__")


def _escaped(text: str) -> str:
    for char in "%~@#:":
        text = text.replace(char, f"%{ord(char):X}")
    return text


def _is_local(function: Any) -> bool:
    """Whether other functions may have the same name with the same right."""
    if not isinstance(function, types.FunctionType):
        return True
    name = function.__qualname__
    return "<" in name or bool(_captured_names(function))


def _captured_names(function: types.FunctionType) -> list[str]:
    # The class that a method is defined in: `super()` captures it.
    return [name for name in function.__code__.co_freevars if name != "__class__"]


def _described(value: Any, depth: int) -> str | None:
    """Describe a value so that values with one description do the same; `None` if that cannot be."""
    if depth > _DEEPEST:
        return None
    if type(value) in _PLAIN:
        return repr(value)
    for kind, describe in _KINDS.items():
        if isinstance(value, kind):
            described: str | None = describe(value, depth + 1)
            return described
    return None


def _described_class(cls: type, _depth: int) -> str | None:
    is_local = "<" in cls.__qualname__ or cls.__module__ in _MAIN
    return None if is_local else f"class {cls.__module__}.{cls.__qualname__}"


def _described_items(items: tuple[Any, ...] | frozenset[Any], depth: int) -> str | None:
    if type(items) not in (tuple, frozenset):
        return None
    parts = [_described(item, depth) for item in items]
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    return f"{type(items).__name__}({', '.join(known if type(items) is tuple else sorted(known))})"


def _described_function(function: types.FunctionType, depth: int) -> str | None:
    parts = [_described_code(function.__code__, depth + 1)]
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
        if name == "__class__":
            if "<" in function.__qualname__:  # of a class that others may have the name of
                return None
            continue
        try:
            captured = cell.cell_contents
        except ValueError:  # not assigned yet
            return None
        parts.append(None if captured is function else _described(captured, depth))
    defaults = (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values())
    parts.extend(_described(default, depth) for default in defaults)
    if None in parts:
        return None
    return f"def {function.__module__}.{function.__qualname__}({', '.join(filter(None, parts))})"


def _described_code(code: types.CodeType, depth: int) -> str | None:
    constants = [_described(constant, depth) for constant in code.co_consts]
    if None in constants:
        return None
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
    return f"{code.co_name} {code.co_code.hex()} {names} {counts} {constants}"


_KINDS: dict[Any, Any] = {
    types.FunctionType: _described_function,
    types.CodeType: _described_code,
    types.ModuleType: lambda module, _depth: f"module {module.__name__}",
    type: _described_class,
    (tuple, frozenset): _described_items,
}
