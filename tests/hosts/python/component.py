"""The engine's component in wasmtime-py: its functions by the names they have in WIT, with their types."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import wasmtime
from wasmtime import component as wasm

if TYPE_CHECKING:
    from pathlib import Path

#: Of all interfaces that the component exports.
PACKAGE, VERSION = "zoocache:engine", "1.0.0"


@dataclass(frozen=True)
class Function:
    """A function of an instance."""

    store: wasmtime.Store
    function: wasm.Func
    parameters: list[wasm.ValType]
    result: wasm.ValType | None

    def __call__(self, *arguments: Any) -> Any:
        """Call it with what wasmtime-py takes for its types."""
        return self.function(self.store, *arguments)


class Component:
    """The component, compiled: once for a process."""

    def __init__(self, path: Path) -> None:
        self._engine = wasmtime.Engine()
        self._linker = wasm.Linker(self._engine)  # with nothing in it, as nothing is imported
        self._component = wasm.Component.from_file(self._engine, path)

    def instance(self) -> Instance:
        """Make an instance, which shares nothing with others."""
        store = wasmtime.Store(self._engine)
        return Instance(store, self._linker.instantiate(store, self._component))


class Instance:
    """An instance, with memory of its own."""

    def __init__(self, store: wasmtime.Store, instance: wasm.Instance) -> None:
        self.store = store
        self._instance = instance
        # A function says what it takes by asking, which takes longer than calling it.
        self.function = functools.cache(self._function)

    def method(self, resource: str, name: str) -> Function:
        """Look up a method, a static function or the constructor of a resource of interface `engine`."""
        if name == "constructor":
            return self.function("engine", f"[constructor]{resource}")
        kind = "static" if name == "restore" else "method"
        return self.function("engine", f"[{kind}]{resource}.{name}")

    def _function(self, interface: str, name: str) -> Function:
        """Look up a function of an interface."""
        exported = self._instance.get_export_index(self.store, f"{PACKAGE}/{interface}@{VERSION}")
        index = exported and self._instance.get_export_index(self.store, name, exported)
        found = index and self._instance.get_func(self.store, index)
        if not found:
            raise LookupError(f"the component has no function {name} in {interface}")
        kind = found.type(self.store)
        return Function(self.store, found, [of for _, of in kind.params], kind.result)
