"""Runs one conformance vector: a script of calls, each compared with what it must give."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import wasmtime
from values import Conversion
from wasmtime.component import RecordType

if TYPE_CHECKING:
    from component import Function, Instance
    from wasmtime.component import ResourceAny, ValType

CONFIG: dict[str, Any] = {
    "domain": {"high": 0, "low": 7},
    "order": "alone",
    "max-drift": 500000,
    "hash-seed": 0,
    "node-id": 1,
    "entries-outside": True,
}
#: The resources of interface `engine`, each with one of its methods.
METHODS = {"engine": "state", "entry": "judge", "fill": "as-of"}
STEP_KEYS = {"call", "on", "with", "as", "gives", "saves", "drop"}


class Failure(Exception):
    """What is wrong, and where."""


def run_vector(vector: dict[str, Any], instance: Instance) -> None:
    """Run it on an instance of its own.

    Raises:
        Failure: if anything is not as the vector says.
    """
    run = Run(instance, vector.get("config", {}))
    for place, step in enumerate(vector["steps"], 1):
        try:
            run.step(step)
            if vector.get("always-restore"):
                run.restore()
        except (Failure, LookupError, ValueError, TypeError, wasmtime.WasmtimeError) as error:
            raise Failure(f"step {place}, {text(step)}\n{error}") from error


class Run:
    """The resources and saved results of a vector that runs."""

    def __init__(self, instance: Instance, config: dict[str, Any]) -> None:
        self.instance = instance
        self.config = config
        self.resources: dict[str, ResourceAny] = {}
        self.saved: dict[str, Any] = {}
        self.name = "engine"
        self.values = Conversion(self.resource, self.name_of)
        self.call({"call": "constructor", "with": [config]}, instance.method("engine", "constructor"), [])

    def resource(self, name: str) -> ResourceAny:
        """Find a resource by `@name`."""
        return self.resources[name.removeprefix("@")]

    def name_of(self, resource: ResourceAny) -> str:
        """Give what a call returned the name that its step has for it."""
        self.resources[self.name] = resource
        return f"@{self.name}"

    def restore(self) -> None:
        """Go on with an engine that was saved and restored."""
        self.step({"call": "snapshot", "with": [], "saves": "restored"})
        old = self.resource("@engine")
        self.step({"call": "restore", "with": [self.config, "$restored"], "as": "engine"})
        old.drop(self.instance.store)

    def step(self, step: dict[str, Any]) -> None:
        """Do one step.

        Raises:
            Failure: if its result is another one.
        """
        if unknown := step.keys() - STEP_KEYS:
            raise Failure(f"the step has unknown keys: {', '.join(sorted(unknown))}")
        if "drop" in step:
            self.resources.pop(step["drop"].removeprefix("@")).drop(self.instance.store)
            return
        self.name = step.get("as", "")
        got = self.call(step, *self.target(step))
        expected = self.fill_in(step.get("gives"))
        if "gives" in step:
            if text(got) != text(expected):
                raise Failure(f"expected {text(expected)}\ngot      {text(got)}")
        elif isinstance(got, dict) and "err" in got:
            raise Failure(f"expected no err\ngot      {text(got)}")
        if "saves" in step:
            self.saved[step["saves"]] = got.get("ok", got) if isinstance(got, dict) else got

    def target(self, step: dict[str, Any]) -> tuple[Function, list[ResourceAny]]:
        """Find the function that a step calls, and on what."""
        on, name = step.get("on", "@engine"), step["call"]
        if not on.startswith("@"):
            return self.instance.function(on, name), []
        resource = self.resource(on)
        function = self.instance.method(self.kind(resource), name)
        return function, [] if name == "restore" else [resource]

    def kind(self, resource: ResourceAny) -> str:
        """Name the type of a resource: the one whose methods take it."""
        for kind, method in METHODS.items():
            of: Any = self.instance.method(kind, method).parameters[0]
            if of.ty == resource.type:
                return kind
        raise LookupError("a resource of no known type")

    def call(self, step: dict[str, Any], function: Function, receiver: list[ResourceAny]) -> Any:
        """Call a function with arguments from JSON; its result as JSON, null if it has none."""
        kinds, given = function.parameters[len(receiver) :], step.get("with", [])
        if len(kinds) != len(given):
            raise Failure(f"it has {len(kinds)} arguments, not {len(given)}")
        arguments = [self.argument(kind, item) for kind, item in zip(kinds, given, strict=True)]
        return self.values.lift(function.result, function(*receiver, *arguments))

    def argument(self, kind: ValType, item: Any) -> Any:
        """Make an argument of JSON; what a config leaves out is added."""
        item = self.fill_in(item)
        is_config = isinstance(kind, RecordType) and dict(kind.fields).keys() == CONFIG.keys()
        return self.values.lower(kind, CONFIG | item if is_config else item)

    def fill_in(self, item: Any) -> Any:
        """Put saved results where `$name` stands for them."""
        if isinstance(item, str) and item.startswith("$"):
            return self.saved[item.removeprefix("$")]
        if isinstance(item, list):
            return [self.fill_in(each) for each in item]
        if isinstance(item, dict):
            return {key: self.fill_in(each) for key, each in item.items()}
        return item


def text(item: Any) -> str:
    """Write JSON in one way, so that what is equal has equal texts."""
    return json.dumps(item, ensure_ascii=False, sort_keys=True)
