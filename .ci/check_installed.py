"""Check an installed zoocache from outside: run it with the interpreter of an otherwise empty environment."""

import importlib.metadata
import sys
import tempfile

import zoocache

distribution = importlib.metadata.distribution("zoocache")
files = [str(file) for file in distribution.files or ()]


def require(condition: object, fault: str) -> None:
    """Exit with ``fault`` unless ``condition`` holds."""
    if not condition:
        sys.exit(f"{zoocache.__file__}: {fault}")


require(zoocache.version() == distribution.version, "version() differs from the version of the package")
plugins = [(entry.name, entry.value) for entry in distribution.entry_points if entry.group == "pytest11"]
require(plugins == [("zoocache", "pytest_zoocache")], f"the plugin for pytest is not declared: {plugins}")
require(any(file == "pytest_zoocache/__init__.py" for file in files), "the plugin for pytest is missing")
needed = [line for line in distribution.requires or () if "extra ==" not in line]
require(not needed, f"needs other packages: {needed}")
page = "zoocache/dashboard/page"
for name in (f"{page}/index.html", f"{page}/main.js", f"{page}/style.css", f"{page}/icon.svg"):
    require(name in files, f"{name}, of the dashboard, is missing from the package")
for name in ("LICENSE-MIT", "LICENSE-APACHE", "LICENSE-LMDB", "py.typed", "_native.pyi"):
    require(any(file.endswith("/" + name) for file in files), f"{name} is missing from the package")

calls = []


@zoocache.cacheable(deps=lambda number: [f"number:{number}"])
def double(number: int) -> int:
    """Return twice ``number``, and count the call."""
    calls.append(number)
    return 2 * number


require([double(21), double(21), calls] == [42, 42, [21]], "the second call was not a hit")
zoocache.invalidate("number:21")
require([double(21), calls] == [42, [21, 21]], "the call after invalidate() was not a miss")

with tempfile.TemporaryDirectory() as folder:
    first, second = (zoocache.Cache(storage_url=f"lmdb://{folder}") for _ in range(2))
    first.set("key", ["value"], deps=["tag"])
    require(second.get("key") == ["value"], "what one cache stored in a folder the other did not find")
    second.invalidate("tag")
    require(first.get("key") is None, "what one cache of a folder invalidated the other served")
    del first, second
