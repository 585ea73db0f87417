"""Which function is this: the name that its keys begin with.

Two different functions must never share entries, not even if they have the same qualified name, as two
closures made by one factory, two lambdas of a line, or two definitions in a notebook have. Such functions
get a number after their name. A `namespace` says the opposite: functions of one name and one namespace
are the same function, however often they are made. A `version` other than 1 makes a function another one.
"""

from __future__ import annotations

import hashlib
import threading
import types
from typing import Any, NamedTuple

from zoocache._shared_identity import MAIN, shared_name

#: The longest tag, in characters.
_LONGEST_TAG = 256

#: The name under which a module's globals are marked.
_MARK = "__zoocache_scope__"

#: What names the function that a wrapper is identified as. Its author answers for it that their results tell
#: each other apart by their arguments, as those of one function do.
IDENTIFIES = "__zoocache_identifies__"

_lock = threading.Lock()
#: The functions of each name that another decoration could mean again.
_known: dict[str, list[tuple[Any, str]]] = {}
#: How many functions had each name.
_counts: dict[str, int] = {}


class Identity(NamedTuple):
    """What a function is called."""

    name: str
    #: What it is called where processes share entries, if that is another name.
    shared: str | None

    def tag(self) -> str:
        """Make the implicit tag: one wherever entries rest, as it may be asked for before that is known."""
        return function_tag(self.shared or self.name)


def identify(
    function: Any, namespace: str | None, options: tuple[Any, ...], version: int | str = 1
) -> Identity:
    """Name the function: `module.qualname`, with `~version` and `@namespace` or `#number` where needed.

    Args:
        function: The function to be cached.
        namespace: The user's own distinction, if any.
        version: Tells what its results mean.
        options: Whatever else must be equal for two decorations to share entries.

    Raises:
        TypeError: The callable has no name and no namespace is given.
    """
    # Of a function that was made to cache what becomes of another's results, as decorators do.
    function = getattr(function, IDENTIFIES, function)
    qualname = getattr(function, "__qualname__", None)
    if qualname is None:
        if namespace is None:
            msg = f'{function!r} has no name of its own to make keys of; give namespace="..."'
            raise TypeError(msg)
        qualname = type(function).__qualname__
    module = getattr(function, "__module__", None) or "?"
    # In a process that was spawned, the main module is called otherwise.
    name = _escaped(f"{'__main__' if module in MAIN else module}.{qualname}")
    if version != 1:
        name += f"~{version}" if isinstance(version, int) else f"~'{_escaped(version)}'"
    if namespace is not None:
        return Identity(f"{name}@{namespace}", None)
    identity = _counted(name, _fingerprint(function, options))
    return Identity(identity, shared_name(function, name, identity))


def _counted(name: str, fingerprint: tuple[Any, ...] | None) -> str:
    with _lock:
        for other, identity in _known.get(name, ()):
            if fingerprint is not None and _equal(other, fingerprint):
                return identity
        count = _counts[name] = _counts.get(name, 0) + 1
        identity = name if count == 1 else f"{name}#{count}"
        if fingerprint is not None:
            _known.setdefault(name, []).append((fingerprint, identity))
        return identity


def _escaped(text: str) -> str:
    """Keep the characters that end a part of an identity out of it: names made by hand can hold anything."""
    for char in "%~@#":
        text = text.replace(char, f"%{ord(char):X}")
    return text


class _Scope:
    """What tells the globals of one module, or of one `exec`, from all others, also from later ones."""

    __slots__ = ("owner",)

    def __init__(self, owner: int) -> None:
        self.owner = owner


def _scope(names: dict[str, Any]) -> _Scope:
    """Mark a function's globals. Their address alone may belong to others later."""
    scope = names.get(_MARK)
    if not isinstance(scope, _Scope) or scope.owner != id(names):  # none yet, or that of the original
        scope = names[_MARK] = _Scope(id(names))
    return scope


def _fingerprint(function: Any, options: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """What makes two function objects the same function; `None` if nothing does."""
    parts: list[Any] = []
    for part in (function, *options):
        if isinstance(part, types.FunctionType):
            if part.__closure__:
                return None
            defaults = (*(part.__defaults__ or ()), *(part.__kwdefaults__ or {}).values())
            # With their types: a default of 1 is equal to one of `True`.
            names = (len(part.__defaults__ or ()), *(part.__kwdefaults__ or {}))
            scope = _scope(part.__globals__)
            parts.append((part.__code__, scope, names, tuple(map(type, defaults)), defaults))
        elif callable(part):  # a bound method, a callable object: nobody knows what it holds
            return None
        else:
            parts.append(part)
    return tuple(parts)


def _equal(left: Any, right: Any) -> bool:
    try:
        return bool(left == right)
    except Exception:  # noqa: BLE001 - a default value may compare as it likes
        return False


def function_tag(identity: str) -> str:
    """Make the implicit tag of a function: `fn.` and its identity, in the characters that tags allow.

    One segment, because every entry of the function keeps the tag's path.
    """
    text = "".join(_tag_char(identity, index) for index in range(len(identity)))
    tag = f"fn.{text}"
    if len(tag) <= _LONGEST_TAG:
        return tag
    digest = hashlib.blake2b(identity.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    return f"{tag[: _LONGEST_TAG - 1 - len(digest)].rstrip('.')}~{digest}"


def _tag_char(text: str, index: int) -> str:
    """Write one character of a name in those that tags allow, so that two names never become one."""
    char = text[index]
    if char.isalnum() or char in "_-/@=":
        return char
    if char in "<>#":  # of `<locals>` and of numbered names
        return "+" if char == "#" else "~"
    if char == "." and 0 < index < len(text) - 1 and text[index - 1] != "." != text[index + 1]:
        return char
    return f"%{ord(char):X}"
