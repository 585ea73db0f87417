"""What the figures were measured on, and with which libraries."""

from __future__ import annotations

import os
import platform
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path

HERE = Path(__file__).parent
RESULTS = HERE.parents[1] / "docs" / "benchmarks"
_NO_CACHES = ("lmdb", "matplotlib")


def described() -> str:
    """Name the processor, its cores, the Python, the system and the date, in one line."""
    cores = os.cpu_count()
    python = f"{platform.python_implementation()} {platform.python_version()}"
    date = datetime.now(timezone.utc).date().isoformat()
    return f"{_processor()}, {cores} cores; {python}; {_system()}; {date}"


def load() -> str:
    """Tell how busy the machine is: the average of the last minute."""
    return f"{os.getloadavg()[0]:.2f}"


def pinned() -> dict[str, str]:
    """The versions that requirements.txt asks for."""
    lines = (HERE / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if "==" in line)


def installed(name: str) -> str | None:
    """The version of a library that is installed, if it is."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def libraries(*names: str) -> str:
    """List the versions measured, of all caches if no others are named, and what could not be installed."""
    names = names or tuple(name for name in pinned() if name not in _NO_CACHES)
    shown = [
        f"{name} {installed(name) or 'DOES NOT INSTALL HERE: not measured'}" for name in ("zoocache", *names)
    ]
    return ", ".join(shown)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return platform.platform()
