"""A cache in a dictionary that asks the engine's component before it serves: `python examples/embed-python`.

It needs the package `wasmtime` and dist/zoocache-engine.wasm, nothing else of zoocache. The engine knows
neither keys nor values: whoever keeps a value keeps its entry beside it.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from wasmtime import Engine, Store
from wasmtime.component import Component, Linker, Record, ResourceAny

COMPONENT = Path(__file__).resolve().parents[2] / "dist/zoocache-engine.wasm"


class Cache:
    """Values by key, each with the entry by which the engine judges it."""

    def __init__(self) -> None:
        runtime = Engine()
        self.store = Store(runtime)
        self.instance = Linker(runtime).instantiate(self.store, Component.from_file(runtime, COMPONENT))
        self.interface = self.instance.get_export_index(self.store, "zoocache:engine/engine@1.0.0")
        domain, config = Record(), Record()  # with attributes that have the names of WIT
        vars(domain).update({"high": 0, "low": 7})
        vars(config).update({"domain": domain, "order": "alone", "max-drift": 500_000})
        vars(config).update({"hash-seed": 0, "node-id": 1, "entries-outside": False})
        self.engine = self.call("[constructor]engine", config)
        self.kept: dict[str, tuple[Any, ResourceAny]] = {}

    def call(self, name: str, *arguments: Any) -> Any:
        """Call a function of the engine by the name it has in the component."""
        index = self.instance.get_export_index(self.store, name, self.interface)
        function = index and self.instance.get_func(self.store, index)
        if not function:
            raise LookupError(name)
        return function(self.store, *arguments)

    def get(self, key: str, tags: list[str], compute: Callable[[], Any]) -> Any:
        """Serve what is kept and fresh, or compute it anew."""
        if key in self.kept:
            value, entry = self.kept[key]
            verdict = self.call("[method]entry.judge", entry).tag
            print(f"{key}: {value} is {verdict}")
            if verdict == "fresh":
                return value
            del self.kept[key]
            entry.drop(self.store)
        fill = self.call("[method]engine.begin", self.engine, time.time_ns() // 1000)  # FIRST
        value = compute()
        entry = self.call("[method]engine.seal", self.engine, fill, tags, None, time.time_ns() // 1000)
        if isinstance(entry, ResourceAny):
            self.kept[key] = value, entry
        fate = "is kept" if key in self.kept else "is not kept, as it changed meanwhile"
        print(f"{key}: {value} was computed, and {fate}")
        return value

    def invalidate(self, tag: str) -> None:
        """Say that what a tag stands for has changed."""
        print(f"{tag} changes")
        self.call("[method]engine.invalidate", self.engine, [tag], time.time_ns() // 1000)


if __name__ == "__main__":
    cache = Cache()
    for change in ["shop:1:milk", "shop:1:tea", "shop:1"]:
        cache.get("price", ["shop:1:tea"], lambda: 3)
        cache.invalidate(change)

    def slowly() -> int:
        """Take so long that it changes before it is done."""
        cache.invalidate("shop:1:tea")
        return 4

    cache.get("price", ["shop:1:tea"], slowly)
