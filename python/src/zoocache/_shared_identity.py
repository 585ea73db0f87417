"""Which function is this, in every process: what keys begin with where processes share entries.

Within a process `_identity` counts functions of the same name. Other processes may count in another order, so
a counted name says nothing there. A function of a module that is the first of its name keeps it. Others are
told apart by what they do: their code, and what they captured. What cannot be told apart in this way, such as
a closure over a connection, or a function typed at a prompt, gets a name that is this process's own: it is
cached, and no other process sees its entries. A `namespace` says that functions of that name are the same
everywhere.

Invariant of the descriptions: values with the same description do the same, in whichever process. What could
break that has none.
"""

from __future__ import annotations

import hashlib
import os
import sys
import types
import weakref
from typing import Any

#: This process, and those that are forked from it, which have the functions that were made before.
_token = os.urandom(8).hex()
#: Begins what follows the name of a function that no other process has. No digest, and no number of
#: `_identity`, begins so.
OWN = "#p"
#: Values that say everything about themselves.
_PLAIN = (type(None), type(...), bool, int, float, complex, str, bytes)
#: What the module is called that a program was started with, in a process that was spawned from it, too.
MAIN = ("__main__", "__mp_main__")
#: The first class of each description.
_classes: dict[str, weakref.ref[type]] = {}
#: How deep functions are looked at that functions captured.
_DEEPEST = 20


def shared_name(function: Any, name: str, identity: str) -> str | None:
    """Name a function for all processes; `None` if its identity does.

    Args:
        function: The function to be cached.
        name: Its escaped name, with its version.
        identity: What `_identity` made of it, without a namespace.
    """
    home = _home(function)
    if home is None:
        return _own(identity)
    module, place = home
    if identity == name and not _is_one_of_many(function, module):
        return f"{place}:{name}" if place else None
    described = _described(function, 0)
    if described is None:
        return _own(identity)
    digest = hashlib.blake2b(described.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    return f"{place}:{name}#{digest}" if place else f"{name}#{digest}"


def _own(identity: str) -> str:
    return f"{identity}{OWN}{_token}"


def _home(function: Any) -> tuple[str, str] | None:
    """Name the module whose globals a function sees, and the program if it is the main module."""
    if not isinstance(function, types.FunctionType):
        return None
    names = function.__globals__
    name = names.get("__name__")
    module = sys.modules.get(name) if isinstance(name, str) else None
    if module is None or not isinstance(name, str):
        return None
    if names is not vars(module):
        # The main module of a spawned process has a copy of its globals; an `exec` has others.
        file = names.get("__file__")
        if name not in MAIN or file is None or file != getattr(module, "__file__", None):
            return None
    if name not in MAIN:
        return name, ""
    place = _program(module)
    return None if place is None else ("__main__", place)


def _program(main: types.ModuleType) -> str | None:
    spec = main.__spec__
    # Of a folder or a zip file that is run, this says nothing.
    if spec is not None and spec.name not in MAIN:
        return f"={spec.name}"
    file = getattr(main, "__file__", None)
    return None if file is None else _escaped(os.path.realpath(file))


def _escaped(text: str) -> str:
    for char in "%~@#:":
        text = text.replace(char, f"%{ord(char):X}")
    return text


def _is_one_of_many(function: types.FunctionType, module: str) -> bool:
    """Whether other functions may have the same name with the same right."""
    own = "__main__" if function.__module__ in MAIN else function.__module__
    name = function.__qualname__
    # Registries such as `singledispatch` are given functions that are all called `_`.
    is_local = "<" in name or name.rpartition(".")[2] == "_"
    return is_local or own != module or any(name != "__class__" for name in function.__code__.co_freevars)


def _described(value: Any, depth: int) -> str | None:
    if depth > _DEEPEST:
        return None
    if type(value) in _PLAIN:
        return repr(value)
    for kind, describe in _KINDS.items():
        if type(value) is kind or (kind is type and isinstance(value, type)):
            described: str | None = describe(value, depth + 1)
            return described
    return None


def _described_all(values: Any, depth: int) -> list[str] | None:
    described = [_described(value, depth) for value in values]
    known = [text for text in described if text is not None]
    return known if len(known) == len(described) else None


def _described_class(cls: type, _depth: int) -> str | None:
    module = sys.modules.get(cls.__module__)
    found: Any = module
    for name in cls.__qualname__.split("."):
        found = getattr(found, name, None)
    place: str | None = ""
    if cls.__module__ in MAIN and module is not None:
        place = _program(module)
    described = f"class {place}:{cls.__module__}.{cls.__qualname__}"
    # Another class of that name is another one, also if it took the place of the first.
    first = _classes.setdefault(described, weakref.ref(cls))
    return described if found is cls and first() is cls and place is not None else None


def _described_module(module: types.ModuleType, _depth: int) -> str | None:
    is_known = module.__name__ not in MAIN and sys.modules.get(module.__name__) is module
    return f"module {module.__name__}" if is_known else None


def _described_tuple(items: tuple[Any, ...], depth: int) -> str | None:
    described = _described_all(items, depth)
    return None if described is None else f"tuple({', '.join(described)})"


def _described_set(items: frozenset[Any], depth: int) -> str | None:
    described = _described_all(items, depth)
    return None if described is None else f"frozenset({', '.join(sorted(described))})"


def _described_slice(value: slice, depth: int) -> str | None:
    described = _described_all((value.start, value.stop, value.step), depth)
    return None if described is None else f"slice({', '.join(described)})"


def _described_function(function: types.FunctionType, depth: int) -> str | None:
    home = _home(function)
    code = _described_code(function.__code__, depth)
    captured = _captured(function)
    if home is None or code is None or captured is None:
        return None
    kwargs = [part for item in sorted((function.__kwdefaults__ or {}).items()) for part in item]
    parts = [_described_all(part, depth) for part in (captured, function.__defaults__ or (), kwargs)]
    return None if None in parts else f"def {home} {function.__qualname__!r} {code} {parts}"


def _captured(function: types.FunctionType) -> list[Any] | None:
    """What a function captured, in the order of the names; `None` if that cannot be said."""
    captured: list[Any] = []
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
        if name == "__class__":
            if "<" in function.__qualname__:  # of a class that others may have the name of
                return None
            continue
        try:
            value = cell.cell_contents
        except ValueError:  # not assigned yet
            return None
        # A function that calls itself.
        captured.append("itself" if value is function else (value,))
    return captured


def _described_code(code: types.CodeType, depth: int) -> str | None:
    constants = _described_all(code.co_consts, depth)
    if constants is None:
        return None
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
    steps = (code.co_code.hex(), getattr(code, "co_exceptiontable", b"").hex())
    return f"{code.co_name!r} {steps} {names} {counts} {constants}"


#: How values of these types, and no subclasses of them, are described; classes may be of any metaclass.
_KINDS: dict[type, Any] = {
    types.FunctionType: _described_function,
    types.CodeType: _described_code,
    types.ModuleType: _described_module,
    tuple: _described_tuple,
    frozenset: _described_set,
    slice: _described_slice,
    type: _described_class,
}


def _after_fork() -> None:
    """Tell the functions of this child from those that others make from now on."""
    global _token  # noqa: PLW0603 - one of this process
    _token = os.urandom(8).hex()


os.register_at_fork(after_in_child=_after_fork)
