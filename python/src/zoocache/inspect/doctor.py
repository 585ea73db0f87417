"""What is wrong with a place, or soon will be, and how it is mended.

>>> from zoocache.inspect.doctor import examine
>>> [finding.code for finding in examine("lmdb:///nowhere/at/all")]
['missing']

Looking changes nothing, and needs no cache to be there.
"""

from __future__ import annotations

import sys
from importlib import metadata
from typing import TYPE_CHECKING

from zoocache import _native
from zoocache._places import LMDB, on_server, storage
from zoocache._time import milliseconds
from zoocache.inspect import _doctor_folder, _doctor_server
from zoocache.inspect._finding import Finding

if TYPE_CHECKING:
    from zoocache._options import Duration


def examine(
    url: str | None,
    prefix: str | None = None,
    *,
    max_staleness: Duration = 1.0,
    secret: str | bytes | None = None,
) -> list[Finding]:
    """Look for what is wrong.

    Args:
        url: The folder or server; `None` looks at the installation only.
        prefix: That of the application.
        max_staleness: That of the application, which nodes should not be behind.
        secret: That of the application.

    Returns:
        What was found: errors first, then warnings.

    Raises:
        ConfigError: The URL is none.
    """
    findings = _installation(_native.__version__, _installed())
    checked = storage(url)
    if checked is not None and checked.startswith(LMDB):
        findings += _doctor_folder.examine(checked.removeprefix(LMDB), prefix, secret)
    elif checked is not None:
        bound = milliseconds("max_staleness", max_staleness) / 1000
        findings += _doctor_server.examine(checked, on_server(prefix), bound)
    return sorted(findings, key=lambda finding: finding.level != "error")


def _installed() -> str | None:
    try:
        return metadata.version("zoocache")
    except metadata.PackageNotFoundError:
        return None


def _installation(native: str, installed: str | None) -> list[Finding]:
    findings = []
    if installed is not None and native != installed:
        findings.append(
            Finding(
                "mixed-installation",
                "error",
                f"the package is version {installed}, its native part {native}: two installations are mixed",
                f"{sys.executable} -m pip install --force-reinstall zoocache",
            )
        )
    return findings


__all__ = ["Finding", "examine"]
